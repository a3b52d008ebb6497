#include "tls/wire/bio.h"

/* The first allocation of `out`: a server's flight with a small chain and a ticket fits. */
#define OUT_FIRST ((size_t)4096)
/* As much of plain text as is kept, to find a Host field in it. */
#define PLAIN_KEPT ((size_t)4096)

/* OpenSSL 3.2 and later ask for five bytes first, a record's head. */
static int keep_the_rest(struct shs_tls_bio *self)
{
    size_t got = 0;

    if (self->out.len >= PLAIN_KEPT)
        return SHS_OK;
    if (shs__buf_reserve(&self->out, PLAIN_KEPT - self->out.len) != SHS_OK)
        return SHS_NOMEM;
    if (shs__stream_read(self->lower, shs__buf_tail(&self->out), PLAIN_KEPT - self->out.len,
                         &got) == SHS_OK)
        self->out.len += got;
    return SHS_OK; /* whatever else there was to read, or went wrong: that is the text */
}

static bool is_plain_text(struct shs_tls_bio *self, const char *buf, size_t len)
{
    /* A TLS record begins with 20 to 23, an SSLv2 hello with a byte over 127: no letter. */
    if (buf[0] < 'A' || buf[0] > 'Z')
        return false;
    self->plain = true;
    self->status = SHS_PROTO;
    if (shs__buf_append(&self->out, buf, len < PLAIN_KEPT ? len : PLAIN_KEPT) != SHS_OK ||
        keep_the_rest(self) != SHS_OK)
        self->status = SHS_NOMEM;
    return true;
}

static int bio_read(BIO *bio, char *buf, size_t cap, size_t *got)
{
    struct shs_tls_bio *self = BIO_get_data(bio);
    int rc;

    BIO_clear_retry_flags(bio);
    if (self->stop || self->plain || cap == 0)
        return -1;
    if (self->handshaking && self->out.len > 0) {
        self->wait = SHS_WAIT_READ;
        BIO_set_retry_read(bio);
        return -1;
    }
    rc = shs__stream_read(self->lower, buf, cap, got);
    if (rc == SHS_WAIT_READ || rc == SHS_WAIT_WRITE) {
        self->wait = (int8_t)rc;
        BIO_set_retry_read(bio);
        return -1;
    }
    if (rc != SHS_OK) {
        /* The end is not told as BIO_eof: OpenSSL would make a fatal error and an alert of it. */
        self->status = (int8_t)rc;
        return -1;
    }
    if (self->sniff && self->bytes_in == 0 && is_plain_text(self, buf, *got))
        return -1;
    self->bytes_in += *got;
    return 1;
}

static int bio_write(BIO *bio, const char *buf, size_t len, size_t *put)
{
    struct shs_tls_bio *self = BIO_get_data(bio);
    size_t first = self->out.cap == 0 && len < OUT_FIRST ? OUT_FIRST : len;
    int rc = SHS_OK;

    BIO_clear_retry_flags(bio);
    if (self->stop)
        return -1; /* OpenSSL goes on with what it has read, but nothing comes of it */
    /* Application data asks for room first; a handshake, and what a peer can make OpenSSL say by
       itself, do not. */
    if (shs__tls_bio_room(self) < len)
        rc = shs__tls_bio_flush(self);
    if (rc >= 0 && shs__tls_bio_room(self) == 0) {
        BIO_set_retry_write(bio);
        return -1;
    }
    if (len > shs__tls_bio_room(self))
        len = shs__tls_bio_room(self);
    if (rc >= 0)
        rc = shs__buf_reserve(&self->out, first < shs__tls_bio_room(self) ? first : len);
    if (rc >= 0)
        rc = shs__buf_append(&self->out, buf, len);
    if (rc < 0) {
        self->status = (int8_t)rc;
        return -1;
    }
    *put = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    struct shs_tls_bio *self = BIO_get_data(bio);

    SHS_UNUSED(num);
    SHS_UNUSED(ptr);
    switch (cmd) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_WPENDING:
        return self == NULL ? 0 : (long)self->out.len;
    default:
        return 0; /* also "no" to kernel TLS and to "is this the end" */
    }
}

BIO_METHOD *shs__tls_bio_method_new(void)
{
    /* No index of its own (BIO_get_new_index): a process has 128 of them, none is given back, and
       nobody looks for this BIO by its type. */
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "shs_stream");

    if (method == NULL)
        return NULL;
    if (BIO_meth_set_read_ex(method, bio_read) != 1 ||
        BIO_meth_set_write_ex(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

BIO *shs__tls_bio_new(const BIO_METHOD *method, struct shs_tls_bio *self)
{
    BIO *bio = BIO_new(method);

    if (bio == NULL)
        return NULL;
    BIO_set_data(bio, self);
    BIO_set_init(bio, 1);
    return bio;
}

int shs__tls_bio_flush(struct shs_tls_bio *self)
{
    size_t put = 0;
    int rc;

    if (self->plain)
        return SHS_OK; /* what is there is not ours to say */
    while (self->out.len > 0) {
        rc = shs__stream_write(self->lower, shs__buf_head(&self->out), self->out.len, &put);
        if (rc != SHS_OK)
            return rc;
        shs__buf_consume(&self->out, put);
    }
    return shs__stream_flush(self->lower);
}
