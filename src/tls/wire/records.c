#include "tls/wire/records.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>

#define HEADER ((size_t)5)
#define TAG ((size_t)16)
#define NONCE ((size_t)12)                         /* of all three suites: N_MAX = N_MIN (5.3) */
#define CIPHERTEXT_MAX (SHS_TLS_RECORD_DATA + 256) /* 5.2 */

/* As libssl has them: records without content in a row, and warnings. */
#define EMPTY_MAX 32
#define WARNINGS_MAX 5

#define KEY_UPDATE 24 /* a handshake message's type (B.3) */
#define MESSAGE_HEADER 4

/* The first allocation of what comes in: most requests fit. */
#define ROOM_FIRST ((size_t)4096)
#define ROOM_MAX (HEADER + CIPHERTEXT_MAX)

/* -- the suites (B.4) -------------------------------------------------------------------------- */

static const struct suite {
    unsigned id;
    const char *cipher, *digest;
    uint8_t key_len, secret_len;
} known[] = {
    {0x1301, "AES-128-GCM", "SHA2-256", 16, 32},
    {0x1302, "AES-256-GCM", "SHA2-384", 32, 48},
    {0x1303, "ChaCha20-Poly1305", "SHA2-256", 32, 32},
};

#define SUITES SHS_ARRAY_LEN(known)

struct shs_tls_suites {
    EVP_CIPHER *ciphers[SUITES];
    EVP_KDF *kdf;
};

struct shs_tls_suites *shs__tls_suites_new(void)
{
    struct shs_tls_suites *self = shs__calloc(1, sizeof *self);
    bool whole = self != NULL;

    if (whole) {
        self->kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
        whole = self->kdf != NULL;
    }
    for (size_t i = 0; whole && i < SUITES; i++) {
        self->ciphers[i] = EVP_CIPHER_fetch(NULL, known[i].cipher, NULL);
        whole = self->ciphers[i] != NULL;
    }
    if (whole)
        return self;
    shs__tls_suites_free(self);
    return NULL;
}

void shs__tls_suites_free(struct shs_tls_suites *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < SUITES; i++)
        EVP_CIPHER_free(self->ciphers[i]);
    EVP_KDF_free(self->kdf);
    shs__free(self);
}

static size_t index_of(unsigned id)
{
    size_t i;

    for (i = 0; i < SUITES && known[i].id != id; i++)
        continue;
    return i;
}

size_t shs__tls_suite_secret_len(unsigned id)
{
    size_t i = index_of(id);

    return i < SUITES ? known[i].secret_len : 0;
}

/* -- keys (7.1 to 7.3) ------------------------------------------------------------------------- */

struct direction {
    uint64_t seq;
    unsigned char iv[NONCE];
    uint16_t at; /* in `material`: its secret, and its key behind it */
    bool seals;  /* it is what goes out */
};

/* What is there only while something is under way. */
struct awake {
    EVP_CIPHER_CTX *ctx[2];  /* of what comes in, of what goes out; NULL: made when it is needed */
    struct shs_buf bytes;    /* of the connection, from the record that is being read on */
    uint16_t plain, trailer; /* at its head: so much plaintext, and what is thrown away behind it */
};

struct shs_tls_records {
    const struct shs_tls_suites *suites;
    struct awake *awake; /* NULL: idle */
    uint8_t suite;       /* its place in known[] */
    uint8_t empties, warnings;
    uint8_t message_len; /* of a handshake message that is not whole */
    unsigned char message[MESSAGE_HEADER + 1];
    struct direction in, out;
    unsigned char
        material[]; /* as long as the suite has them: an idle connection is not much more */
};

static size_t material_len(const struct suite *suite)
{
    return (size_t)suite->secret_len + suite->key_len;
}

static unsigned char *secret_of(struct shs_tls_records *self, const struct direction *d)
{
    return self->material + d->at;
}

static unsigned char *key_of(struct shs_tls_records *self, const struct direction *d)
{
    return self->material + d->at + known[self->suite].secret_len;
}

/* HKDF-Expand-Label(secret, label, "", len): 7.1. `to` may be the secret itself. */
static bool expand(const struct shs_tls_records *self, const unsigned char *secret,
                   const char *label, unsigned char *to, size_t len)
{
    const struct suite *suite = &known[self->suite];
    char prefix[] = "tls13 ", name[16], digest[16], mode[] = "EXPAND_ONLY";
    unsigned char from[SHS_TLS_SECRET_MAX];
    OSSL_PARAM params[6];
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(self->suites->kdf);
    bool done;

    if (ctx == NULL)
        return false;
    (void)snprintf(name, sizeof name, "%s", label);
    (void)snprintf(digest, sizeof digest, "%s", suite->digest);
    memcpy(from, secret, suite->secret_len);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MODE, mode, 0);
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, from, suite->secret_len);
    params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, prefix, strlen(prefix));
    params[4] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, name, strlen(name));
    params[5] = OSSL_PARAM_construct_end();
    done = EVP_KDF_derive(ctx, to, len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    OPENSSL_cleanse(from, sizeof from);
    return done;
}

static bool wake(struct shs_tls_records *self)
{
    if (self->awake != NULL)
        return true;
    self->awake = shs__calloc(1, sizeof *self->awake);
    if (self->awake == NULL)
        return false;
    shs__buf_init(&self->awake->bytes, ROOM_MAX);
    return true;
}

static void forget_ctx(struct shs_tls_records *self, bool seals)
{
    if (self->awake == NULL)
        return;
    EVP_CIPHER_CTX_free(self->awake->ctx[seals]);
    self->awake->ctx[seals] = NULL;
}

/* The traffic key of a secret: 7.3. */
static bool set_keys(struct shs_tls_records *self, struct direction *d)
{
    forget_ctx(self, d->seals);
    return expand(self, secret_of(self, d), "key", key_of(self, d), known[self->suite].key_len) &&
           expand(self, secret_of(self, d), "iv", d->iv, NONCE);
}

/* The next secret, and its keys: 7.2. */
static bool next_keys(struct shs_tls_records *self, struct direction *d)
{
    unsigned char *secret = secret_of(self, d);

    d->seq = 0;
    return expand(self, secret, "traffic upd", secret, known[self->suite].secret_len) &&
           set_keys(self, d);
}

/* The AEAD with this direction's key, and the nonce of its next record: 5.3. NULL: no memory. */
static EVP_CIPHER_CTX *prepare(struct shs_tls_records *self, struct direction *d)
{
    unsigned char nonce[NONCE];
    EVP_CIPHER_CTX *ctx;

    if (!wake(self))
        return NULL;
    ctx = self->awake->ctx[d->seals];
    if (ctx == NULL) {
        ctx = EVP_CIPHER_CTX_new();
        if (ctx == NULL)
            return NULL;
        if (EVP_CipherInit_ex2(ctx, self->suites->ciphers[self->suite], key_of(self, d), NULL,
                               d->seals, NULL) != 1) {
            EVP_CIPHER_CTX_free(ctx);
            return NULL;
        }
        self->awake->ctx[d->seals] = ctx;
    }
    memcpy(nonce, d->iv, NONCE);
    for (size_t i = 0; i < sizeof d->seq; i++)
        nonce[NONCE - 1 - i] ^= (unsigned char)(d->seq >> (8 * i));
    return EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, d->seals, NULL) == 1 ? ctx : NULL;
}

/* -- life -------------------------------------------------------------------------------------- */

int shs__tls_records_new(struct shs_tls_records **out, const struct shs_tls_suites *suites,
                         unsigned id, const struct shs_tls_traffic *in,
                         const struct shs_tls_traffic *out_traffic)
{
    const struct suite *suite = &known[index_of(id)];
    struct shs_tls_records *self = shs__calloc(1, sizeof *self + 2 * material_len(suite));

    if (self == NULL)
        return SHS_NOMEM;
    self->suites = suites;
    self->suite = (uint8_t)(suite - known);
    self->out.at = (uint16_t)material_len(suite);
    self->out.seals = true;
    memcpy(secret_of(self, &self->in), in->secret, suite->secret_len);
    memcpy(secret_of(self, &self->out), out_traffic->secret, suite->secret_len);
    self->in.seq = in->seq;
    self->out.seq = out_traffic->seq;
    if (!set_keys(self, &self->in) || !set_keys(self, &self->out)) {
        shs__tls_records_free(self);
        return SHS_NOMEM;
    }
    *out = self;
    return SHS_OK;
}

static void fall_asleep(struct shs_tls_records *self)
{
    if (self->awake == NULL)
        return;
    forget_ctx(self, false);
    forget_ctx(self, true);
    shs__buf_free(&self->awake->bytes);
    shs__free(self->awake);
    self->awake = NULL;
}

void shs__tls_records_free(struct shs_tls_records *self)
{
    if (self == NULL)
        return;
    fall_asleep(self);
    OPENSSL_cleanse(self, sizeof *self + 2 * material_len(&known[self->suite]));
    shs__free(self);
}

void shs__tls_records_idle(struct shs_tls_records *self)
{
    if (self->awake == NULL || self->awake->bytes.len == 0) {
        fall_asleep(self);
        return;
    }
    forget_ctx(self, false);
    forget_ctx(self, true);
}

/* -- reading ----------------------------------------------------------------------------------- */

static enum shs_tls_opened refuse(struct shs_tls_fault *fault, uint8_t alert, int reason)
{
    fault->alert = alert;
    fault->reason = reason;
    return SHS_TLS_OPENED_FAULT;
}

static size_t length_in(const unsigned char *header)
{
    return (size_t)header[3] << 8 | header[4];
}

/* OpenSSL 3.2 moved the record layer, and changed the order of what it looks at. */
static bool is_before_3_2(void)
{
    return OpenSSL_version_num() < 0x30200000UL;
}

/* Which warnings count: 3.0 has each of them, 3.5 user_canceled alone (those between were not
   tried). */
static bool is_before_3_5(void)
{
    return OpenSSL_version_num() < 0x30500000UL;
}

/*
 * A record's header: DATA when it may be read on. 5.1, 5.2, and 5: after the handshake there is no
 * change_cipher_spec and nothing unprotected. For a version that is not 0x0303, 5.2 names no alert;
 * decode_error is "some field was out of the specified range" (6.2), and what libssl says, except
 * that before 3.2 another major version is protocol_version, whatever the type is.
 */
static enum shs_tls_opened check_header(const unsigned char *header, struct shs_tls_fault *fault)
{
    if (header[1] != 3 && is_before_3_2())
        return refuse(fault, SSL_AD_PROTOCOL_VERSION, SSL_R_WRONG_VERSION_NUMBER);
    if (header[0] != SHS_TLS_DATA)
        return refuse(fault, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);
    if (header[1] != 3 || header[2] != 3)
        return refuse(fault, SSL_AD_DECODE_ERROR, SSL_R_WRONG_VERSION_NUMBER);
    if (length_in(header) > CIPHERTEXT_MAX)
        return refuse(fault, SSL_AD_RECORD_OVERFLOW, SSL_R_ENCRYPTED_LENGTH_TOO_LONG);
    return SHS_TLS_OPENED_DATA;
}

/* Opens the AEAD in place: 5.2. The header is what is authenticated beside it. */
static enum shs_tls_opened decrypt(struct shs_tls_records *self, unsigned char *record, size_t len,
                                   struct shs_tls_fault *fault)
{
    unsigned char *text = record + HEADER;
    EVP_CIPHER_CTX *ctx;
    int n = 0, rest = 0;

    /* One byte at least, the inner type, and the tag. */
    if (len < 1 + TAG)
        return refuse(fault, SSL_AD_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
    ctx = prepare(self, &self->in);
    if (ctx == NULL ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)TAG, text + len - TAG) != 1 ||
        EVP_DecryptUpdate(ctx, NULL, &n, record, (int)HEADER) != 1)
        return SHS_TLS_OPENED_NOMEM;
    if (EVP_DecryptUpdate(ctx, text, &n, text, (int)(len - TAG)) != 1 ||
        EVP_DecryptFinal_ex(ctx, text + n, &rest) != 1)
        return refuse(fault, SSL_AD_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
    self->in.seq++; /* 5.3: of 2^64, which nobody reaches */
    return SHS_TLS_OPENED_DATA;
}

/* 6: what the peer says by an alert. */
static enum shs_tls_opened hear_alert(struct shs_tls_records *self, const unsigned char *text,
                                      size_t len, struct shs_tls_fault *fault)
{
    if (len != 2)
        return refuse(fault, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_INVALID_ALERT);
    if (text[1] != SSL_AD_CLOSE_NOTIFY)
        fault->heard = text[1];
    fault->alert = text[1];
    fault->reason = SSL_AD_REASON_OFFSET + text[1];
    if ((text[1] == SSL_AD_USER_CANCELLED || (text[0] == SSL3_AL_WARNING && is_before_3_5())) &&
        ++self->warnings == WARNINGS_MAX)
        return refuse(fault, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_TOO_MANY_WARN_ALERTS);
    if (text[1] == SSL_AD_USER_CANCELLED)
        return SHS_TLS_OPENED_CANCELS;
    /* 6: the level means nothing any more; all others are errors. */
    return text[1] == SSL_AD_CLOSE_NOTIFY ? SHS_TLS_OPENED_END : SHS_TLS_OPENED_ALERT;
}

/* 4.6.3: a KeyUpdate is whole; `left` bytes follow it in its record. */
static enum shs_tls_opened hear_key_update(struct shs_tls_records *self, size_t body, size_t left,
                                           struct shs_tls_fault *fault)
{
    unsigned asked = self->message[MESSAGE_HEADER];

    self->message_len = 0;
    fault->key_update = true;
    /* 5.1: it changes the key, so it must end its record. */
    if (left > 0)
        return refuse(fault, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_NOT_ON_RECORD_BOUNDARY);
    if (body == 0)
        return refuse(fault, SSL_AD_DECODE_ERROR, SSL_R_BAD_KEY_UPDATE);
    if (asked > 1)
        return refuse(fault, SSL_AD_ILLEGAL_PARAMETER, SSL_R_BAD_KEY_UPDATE);
    if (!next_keys(self, &self->in))
        return SHS_TLS_OPENED_NOMEM;
    return asked == 1 ? SHS_TLS_OPENED_ASKED : SHS_TLS_OPENED_UPDATED;
}

/* Bytes of a handshake message, which may be spread over records: 5.1. The only one that a client
   may send after the handshake is KeyUpdate (4.6), for it was never asked for a certificate. */
static enum shs_tls_opened hear_handshake(struct shs_tls_records *self, const unsigned char *text,
                                          size_t len, struct shs_tls_fault *fault)
{
    size_t body;

    while (self->message_len < MESSAGE_HEADER && len > 0) {
        self->message[self->message_len++] = *text++;
        len--;
    }
    if (self->message_len < MESSAGE_HEADER)
        return SHS_TLS_OPENED_MORE;
    if (self->message[0] != KEY_UPDATE)
        return refuse(fault, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_MESSAGE);
    body = (size_t)self->message[1] << 16 | (size_t)self->message[2] << 8 | self->message[3];
    if (body > 1)
        return refuse(fault, SSL_AD_ILLEGAL_PARAMETER, SSL_R_EXCESSIVE_MESSAGE_SIZE);
    if (body == 0)
        return hear_key_update(self, body, len, fault);
    if (len == 0)
        return SHS_TLS_OPENED_MORE;
    self->message[MESSAGE_HEADER] = *text;
    return hear_key_update(self, body, len - 1, fault);
}

/* The inner type is the last byte that is not padding: 5.4. *len becomes the content's; 0 is no
   type: there is none but zeros. */
static unsigned inner_type(const unsigned char *text, size_t *len)
{
    size_t end = *len - 1;

    while (end > 0 && text[end] == 0)
        end--;
    *len = end;
    return text[end];
}

/* What is in a record that was opened. DATA: `len` bytes are to be given. */
static enum shs_tls_opened hear(struct shs_tls_records *self, unsigned type,
                                const unsigned char *text, size_t len, struct shs_tls_fault *fault)
{
    bool known_type = type == SHS_TLS_DATA || type == SHS_TLS_ALERT || type == SHS_TLS_HANDSHAKE;

    /* 5.2, 5.4. Which fault counts when there are two is not in the RFC: libssl looks at the length
       first, and before 3.2 at the type. */
    if (len > SHS_TLS_RECORD_DATA && (known_type || !is_before_3_2()))
        return refuse(fault, SSL_AD_RECORD_OVERFLOW, SSL_R_DATA_LENGTH_TOO_LONG);
    if (!known_type)
        return refuse(fault, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_RECORD_TYPE);
    if (type != SHS_TLS_DATA && len == 0) /* 5.4 */
        return refuse(fault, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_BAD_LENGTH);
    if (len > 0)
        self->empties = 0;
    else if (++self->empties > EMPTY_MAX)
        return refuse(fault, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_RECORD_TOO_SMALL);
    /* 5.1: nothing comes between the records of one message. (A whole header of one does not keep
       libssl from listening to an alert.) */
    if (self->message_len >= MESSAGE_HEADER && type == SHS_TLS_DATA)
        return refuse(fault, SSL_AD_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_RECORD);
    if (self->message_len > 0 && self->message_len < MESSAGE_HEADER && type != SHS_TLS_HANDSHAKE)
        return refuse(fault, SSL_AD_UNEXPECTED_MESSAGE,
                      SSL_R_MIXED_HANDSHAKE_AND_NON_HANDSHAKE_DATA);
    if (type == SHS_TLS_ALERT)
        return hear_alert(self, text, len, fault);
    if (len > 0)
        self->warnings = 0;
    return type == SHS_TLS_HANDSHAKE ? hear_handshake(self, text, len, fault) : SHS_TLS_OPENED_DATA;
}

/* The next whole record. MORE: there is none. */
static enum shs_tls_opened open_record(struct shs_tls_records *self, struct shs_tls_fault *fault)
{
    struct awake *awake = self->awake;
    enum shs_tls_opened opened;
    unsigned char *record;
    size_t len, content;
    unsigned type;

    for (;;) {
        record = (unsigned char *)shs__buf_head(&awake->bytes);
        if (awake->bytes.len < HEADER)
            return SHS_TLS_OPENED_MORE;
        opened = check_header(record, fault);
        if (opened != SHS_TLS_OPENED_DATA)
            return opened;
        len = length_in(record);
        if (awake->bytes.len < HEADER + len)
            return SHS_TLS_OPENED_MORE;
        opened = decrypt(self, record, len, fault);
        if (opened != SHS_TLS_OPENED_DATA)
            return opened;
        content = len - TAG;
        type = inner_type(record + HEADER, &content);
        opened = hear(self, type, record + HEADER, content, fault);
        if (opened == SHS_TLS_OPENED_DATA && content > 0) {
            shs__buf_consume(&awake->bytes, HEADER);
            awake->plain = (uint16_t)content;
            awake->trailer = (uint16_t)(len - content);
            return opened;
        }
        shs__buf_consume(&awake->bytes, HEADER + len);
        if (opened != SHS_TLS_OPENED_DATA && opened != SHS_TLS_OPENED_MORE)
            return opened;
    }
}

enum shs_tls_opened shs__tls_records_open(struct shs_tls_records *self, void *buf, size_t cap,
                                          size_t *got, struct shs_tls_fault *fault)
{
    struct awake *awake = self->awake;
    enum shs_tls_opened opened;
    size_t len;

    if (awake == NULL)
        return SHS_TLS_OPENED_MORE;
    fault->key_update = false; /* the one before it may have been */
    if (awake->plain == 0) {
        opened = open_record(self, fault);
        if (opened != SHS_TLS_OPENED_DATA)
            return opened;
    }
    len = awake->plain < cap ? awake->plain : cap;
    memcpy(buf, shs__buf_head(&awake->bytes), len);
    awake->plain = (uint16_t)(awake->plain - len);
    shs__buf_consume(&awake->bytes, len + (awake->plain == 0 ? awake->trailer : 0));
    *got = len;
    return SHS_TLS_OPENED_DATA;
}

void *shs__tls_records_room(struct shs_tls_records *self, size_t *room)
{
    size_t want = ROOM_FIRST, have;
    struct awake *awake;

    if (!wake(self))
        return NULL;
    awake = self->awake;
    have = awake->bytes.len;
    /* A record that has begun has room for all of it. */
    if (have >= HEADER)
        want = HEADER + length_in((const unsigned char *)shs__buf_head(&awake->bytes));
    want = want > have ? want - have : HEADER;
    if (shs__buf_reserve(&awake->bytes, want) != SHS_OK)
        return NULL;
    *room = shs__buf_room(&awake->bytes);
    return shs__buf_tail(&awake->bytes);
}

void shs__tls_records_came(struct shs_tls_records *self, size_t len)
{
    self->awake->bytes.len += len;
}

bool shs__tls_records_pending(const struct shs_tls_records *self)
{
    struct awake *awake = self->awake;
    struct shs_tls_fault fault;
    const unsigned char *record;

    if (awake == NULL)
        return false;
    record = (const unsigned char *)shs__buf_head(&awake->bytes);
    if (awake->plain > 0)
        return true;
    return awake->bytes.len >= HEADER && (check_header(record, &fault) != SHS_TLS_OPENED_DATA ||
                                          awake->bytes.len >= HEADER + length_in(record));
}

/* -- writing ----------------------------------------------------------------------------------- */

int shs__tls_records_seal(struct shs_tls_records *self, enum shs_tls_content type, const void *data,
                          size_t len, struct shs_buf *out)
{
    size_t whole = len + SHS_TLS_RECORD_ADDS, inner = whole - HEADER;
    unsigned char inner_byte = (unsigned char)type, *record, *at;
    EVP_CIPHER_CTX *ctx;
    int n = 0, rc;

    if (out->len > out->ceiling || whole > out->ceiling - out->len)
        return SHS_LIMIT;
    rc = shs__buf_reserve(out, whole);
    if (rc != SHS_OK)
        return rc;
    record = (unsigned char *)shs__buf_tail(out);
    at = record + HEADER;
    record[0] = SHS_TLS_DATA; /* 5.2: whatever is in it */
    record[1] = 3;
    record[2] = 3;
    record[3] = (unsigned char)(inner >> 8);
    record[4] = (unsigned char)inner;
    ctx = prepare(self, &self->out);
    if (ctx == NULL || EVP_EncryptUpdate(ctx, NULL, &n, record, (int)HEADER) != 1)
        return SHS_NOMEM;
    if (len > 0) {
        if (EVP_EncryptUpdate(ctx, at, &n, data, (int)len) != 1)
            return SHS_NOMEM;
        at += n;
    }
    if (EVP_EncryptUpdate(ctx, at, &n, &inner_byte, 1) != 1)
        return SHS_NOMEM;
    at += n;
    if (EVP_EncryptFinal_ex(ctx, at, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, (int)TAG, at) != 1)
        return SHS_NOMEM;
    self->out.seq++;
    out->len += whole;
    return SHS_OK;
}

int shs__tls_records_update(struct shs_tls_records *self, struct shs_buf *out)
{
    static const unsigned char message[] = {KEY_UPDATE, 0, 0, 1, 0};
    int rc = shs__tls_records_seal(self, SHS_TLS_HANDSHAKE, message, sizeof message, out);

    if (rc == SHS_OK && !next_keys(self, &self->out))
        return SHS_NOMEM;
    return rc;
}
