/*
 * basic_auth.c - <shs/middleware.h>: a name and a password before anything is answered.
 *
 * Follows RFC 7617, and RFC 9110 section 11.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include <shs/digest.h>
#include <shs/middleware.h>
#include <shs/text.h>

#include "base/base.h"
#include "handler/auth_checks.h"
#include "handler/authorization.h"
#include "handler/chain.h"
#include "handler/client_key.h"
#include "handler/password.h"

#define CREDENTIALS_MAX 1024
#define KEY_LEN 32
#define REALM_MAX 100

struct shs_basic_auth {
    struct shs_http_handler next, handler;
    struct shs_users *users;
    char *challenge;
    unsigned char key[KEY_LEN]; /* of the digests: memory alone does not give a password away */
    uint64_t address_key[2];
    struct shs_checks *checks;
    struct shs_middleware middleware;
};

/* -- what the request says --------------------------------------------------------------------- */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes base64 (RFC 4648 section 4): how many bytes, or -1 for what is none, or too long. */
static int decode_base64(struct shs_str s, char out[CREDENTIALS_MAX])
{
    unsigned bits = 0, have = 0;
    size_t len = 0;

    while (s.len > 0 && s.ptr[s.len - 1] == '=')
        s.len--;
    if (s.len % 4 == 1 || s.len / 4 * 3 + 3 > CREDENTIALS_MAX)
        return -1;
    for (size_t i = 0; i < s.len; i++) {
        int value = base64_value(s.ptr[i]);

        if (value < 0)
            return -1;
        bits = (bits << 6 | (unsigned)value) & 0xffffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[len++] = (char)(bits >> have & 0xff);
        }
    }
    return (int)len;
}

static int digest_of(const struct shs_basic_auth *self, struct shs_str token,
                     unsigned char out[SHS_SHA256_LEN])
{
    struct shs_sha256 *sha;
    int rc = shs_sha256_new(&sha);

    if (rc != SHS_OK)
        return rc;
    rc = shs_sha256_update(sha, self->key, KEY_LEN);
    if (rc == SHS_OK)
        rc = shs_sha256_update(sha, token.ptr, token.len);
    if (rc == SHS_OK)
        rc = shs_sha256_final(sha, out);
    shs_sha256_free(sha);
    return rc;
}

/* -- the answer -------------------------------------------------------------------------------- */

enum verdict { LET_IN, REFUSED, TOO_BUSY };

static int verify(struct shs_basic_auth *self, struct shs_str token, bool *right)
{
    char text[CREDENTIALS_MAX];
    int len = decode_base64(token, text), rc = SHS_OK;
    const char *colon = len <= 0 ? NULL : memchr(text, ':', (size_t)len);

    *right = false;
    if (colon != NULL)
        rc = shs__password_check(
            self->users, (struct shs_str){text, (size_t)(colon - text)},
            (struct shs_str){colon + 1, (size_t)len - (size_t)(colon + 1 - text)}, right);
    explicit_bzero(text, sizeof text);
    return rc;
}

static int judge(struct shs_basic_auth *self, const struct shs_request *req, enum verdict *out)
{
    struct shs_check check;
    struct shs_str token;
    bool right = false;
    int rc = SHS_OK;

    *out = REFUSED;
    if (!shs__authorization(req, "Basic", &token))
        return SHS_OK;
    SHS_RETURN_IF_ERROR(digest_of(self, token, check.digest));
    check.address = shs__client_key(self->address_key, req);
    switch (shs__checks_enter(self->checks, &check)) {
    case SHS_CHECK_RIGHT:
        *out = LET_IN;
        break;
    case SHS_CHECK_WRONG:
        break;
    case SHS_CHECK_YOURS:
        rc = verify(self, token, &right);
        shs__checks_done(self->checks, &check, right, rc != SHS_OK);
        *out = right ? LET_IN : REFUSED;
        break;
    case SHS_CHECK_TOO_MANY:
        *out = TOO_BUSY;
        break;
    }
    explicit_bzero(check.digest, sizeof check.digest);
    return rc;
}

/* Who was let in, for the handler and the log. */
static int keep_user(struct shs_request *req)
{
    char text[CREDENTIALS_MAX];
    struct shs_str token;
    const char *colon;
    int len, rc;

    if (!shs__authorization(req, "Basic", &token))
        return SHS_OK;
    len = decode_base64(token, text);
    colon = len <= 0 ? NULL : memchr(text, ':', (size_t)len);
    rc = colon == NULL ? SHS_OK
                       : shs_request_set_user(req, (struct shs_str){text, (size_t)(colon - text)});
    explicit_bzero(text, sizeof text);
    return rc;
}

static int send_text(struct shs_response *res, const char *text)
{
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain; charset=utf-8"));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Cache-Control", "no-store"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, text, strlen(text));
}

static int auth_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                       const struct shs_next *next)
{
    struct shs_basic_auth *self = ctx;
    enum verdict verdict;

    SHS_RETURN_IF_ERROR(judge(self, req, &verdict));
    switch (verdict) {
    case LET_IN:
        SHS_RETURN_IF_ERROR(keep_user(req));
        break;
    case REFUSED:
        SHS_RETURN_IF_ERROR(shs_send_response(res, 401));
        SHS_RETURN_IF_ERROR(shs_send_header(res, "WWW-Authenticate", self->challenge));
        return send_text(res, "A user name and a password are needed.\n");
    case TOO_BUSY:
        SHS_RETURN_IF_ERROR(shs_send_response(res, 503));
        SHS_RETURN_IF_ERROR(shs_send_header(res, "Retry-After", "5"));
        return send_text(res, "Too many passwords are being checked. Please try again.\n");
    }
    return shs_next_call(next, req, res);
}

static int auth_any(struct shs_request *req, struct shs_response *res)
{
    struct shs_basic_auth *self = shs_request_ctx(req);
    struct shs_next next = {NULL, &self->next, NULL};

    return auth_handle(req, res, self, &next);
}

/* -- life -------------------------------------------------------------------------------------- */

static int prepare(struct shs_basic_auth *self, const char *file, const char *realm,
                   struct shs_error *err)
{
#ifndef SHS_HAVE_CRYPT
    return shs_error_set(err, SHS_USAGE, 0,
                         "This build has no libcrypt: passwords cannot be verified. Install "
                         "libcrypt-dev and build again.");
#endif
    if (!shs_is_field_value(shs__str(realm)) || strlen(realm) > REALM_MAX ||
        strpbrk(realm, "\"\\") != NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "The realm is too long, or has a quote or a control character.");
    if (getrandom(self->key, sizeof self->key, 0) != (ssize_t)sizeof self->key ||
        getrandom(self->address_key, sizeof self->address_key, 0) !=
            (ssize_t)sizeof self->address_key)
        return shs_error_set(err, SHS_IO, errno, "The system's random numbers are not ready.");
    self->challenge = shs__asprintf("Basic realm=\"%s\", charset=\"UTF-8\"", realm);
    if (self->challenge == NULL || shs__checks_new(&self->checks, SHS_CHECKS_WAIT_MS) != SHS_OK)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for passwords.");
    return shs__users_load(&self->users, file, err);
}

int shs_basic_auth_new(struct shs_basic_auth **out, const struct shs_http_handler *next,
                       const char *file, const char *realm, struct shs_error *err)
{
    struct shs_basic_auth *self = shs__calloc(1, sizeof *self);
    int rc;

    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for passwords.");
    shs__stand_before(&self->next, &self->handler, "BasicAuth", auth_any, next, self);
    self->middleware = (struct shs_middleware){"BasicAuth", auth_handle, self};
    rc = prepare(self, file, realm, err);
    if (rc != SHS_OK) {
        shs_basic_auth_free(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}

void shs_basic_auth_free(struct shs_basic_auth *self)
{
    if (self == NULL)
        return;
    shs__users_free(self->users);
    shs__free(self->challenge);
    shs__checks_free(self->checks);
    explicit_bzero(self->key, sizeof self->key);
    shs__free(self);
}

const struct shs_http_handler *shs_basic_auth_handler(const struct shs_basic_auth *self)
{
    return &self->handler;
}

const struct shs_middleware *shs_basic_auth_middleware(const struct shs_basic_auth *self)
{
    return &self->middleware;
}
