#include "tls/wire/door.h"

#include <openssl/crypto.h>

#include "base/chars.h"

/* NSS's key log format: label, 32 bytes of client random, the secret; in hexadecimal. */
#define RANDOM_DIGITS ((size_t)64)

struct shs_tls_door *shs__tls_door_new(void)
{
    return shs__calloc(1, sizeof(struct shs_tls_door));
}

void shs__tls_door_free(struct shs_tls_door *self)
{
    if (self == NULL)
        return;
    OPENSSL_cleanse(self, sizeof *self);
    shs__free(self);
}

/* So many bytes of it; 0 when it is not a secret. */
static uint8_t read_secret(unsigned char to[SHS_TLS_SECRET_MAX], const char *text)
{
    uint8_t len = 0;

    for (; text[0] != '\0'; text += 2, len++) {
        unsigned high = shs__hex_value(text[0]), low = high > 15 ? 16 : shs__hex_value(text[1]);

        if (low > 15 || len == SHS_TLS_SECRET_MAX)
            return 0;
        to[len] = (unsigned char)(high << 4 | low);
    }
    return len;
}

/* What comes behind that label and the random, or NULL. */
static const char *after(const char *line, const char *label)
{
    size_t len = strlen(label);

    if (strncmp(line, label, len) != 0 || strnlen(line + len, RANDOM_DIGITS + 1) <= RANDOM_DIGITS)
        return NULL;
    line += len + RANDOM_DIGITS;
    return *line == ' ' ? line + 1 : NULL;
}

void shs__tls_door_secret(struct shs_tls_door *self, const char *line)
{
    const char *text = after(line, "CLIENT_TRAFFIC_SECRET_0 ");

    if (text != NULL) {
        self->secret_len[0] = read_secret(self->in.secret, text);
        return;
    }
    text = after(line, "SERVER_TRAFFIC_SECRET_0 ");
    if (text != NULL)
        self->secret_len[1] = read_secret(self->out.secret, text);
}

void shs__tls_door_message(struct shs_tls_door *self, bool written, int content_type,
                           const unsigned char *bytes, size_t len)
{
    struct shs_tls_traffic *traffic = written ? &self->out : &self->in;

    switch (content_type) {
    case SSL3_RT_HEADER:
        if (!written && len == 5)
            self->bytes += 5 + ((uint64_t)bytes[3] << 8 | bytes[4]);
        return;
    case SSL3_RT_INNER_CONTENT_TYPE: /* one for each record that is protected as TLS 1.3 does it */
        traffic->seq++;
        return;
    case SSL3_RT_HANDSHAKE:
        /* What follows is under the traffic secrets: RFC 8446, 7.3, and 5.3 for the number. */
        if (len > 0 && bytes[0] == SSL3_MT_FINISHED)
            traffic->seq = 0;
        return;
    default:
        return;
    }
}

void shs__tls_door_gave(struct shs_tls_door *self)
{
    self->given = self->in.seq;
}

/* The number of its suite, RFC 8446, B.4. */
static unsigned suite_of(const SSL *ssl)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);

    return cipher == NULL ? 0 : SSL_CIPHER_get_protocol_id(cipher);
}

enum shs_tls_stays shs__tls_door_judge(const struct shs_tls_door *self, const SSL *ssl)
{
    const SSL_SESSION *session = SSL_get_session(ssl);
    size_t len = shs__tls_suite_secret_len(suite_of(ssl));

    if (SSL_version(ssl) != TLS1_3_VERSION)
        return SHS_TLS_STAYS_VERSION;
    if (len == 0)
        return SHS_TLS_STAYS_SUITE;
    if (session != NULL && SSL_SESSION_get_max_fragment_length(session) != 0)
        return SHS_TLS_STAYS_FRAGMENTS;
    if (self->secret_len[0] != len || self->secret_len[1] != len)
        return SHS_TLS_STAYS_SECRETS;
    return SHS_TLS_STAYS_NOT_YET;
}

struct shs_tls_records *shs__tls_door_open(const struct shs_tls_door *self, const SSL *ssl,
                                           const struct shs_tls_suites *suites, uint64_t bytes_in,
                                           enum shs_tls_stays *why)
{
    struct shs_tls_records *records = NULL;

    *why = SHS_TLS_STAYS_NOT_YET;
    if (self->bytes != bytes_in || self->given != self->in.seq || SSL_has_pending(ssl) != 0 ||
        SSL_want_write(ssl) || SSL_in_init(ssl) || SSL_get_shutdown(ssl) != 0)
        return NULL;
    *why = SHS_TLS_STAYS_MEMORY;
    (void)shs__tls_records_new(&records, suites, suite_of(ssl), &self->in, &self->out);
    return records;
}
