/*
 * bearer.c - <shs/middleware.h>: a token instead of a name and a password.
 *
 * A token is random and long, so its plain digest is as good as a slow one. Follows RFC 6750.
 */
#include <shs/digest.h>
#include <shs/middleware.h>
#include <shs/text.h>

#include "base/base.h"
#include "base/chars.h"
#include "handler/authorization.h"
#include "handler/chain.h"

#define TOKENS_MAX 10000u
#define TOKEN_MAX 4096u
#define REALM_MAX 100

struct token {
    unsigned char digest[SHS_SHA256_LEN];
    char *user;
};

struct shs_bearer {
    struct shs_http_handler next, handler;
    struct shs_middleware middleware;
    struct token *tokens;
    size_t count;
    shs_bearer_fn *verify;
    void *ctx;
    char *challenge, *refusal;
};

/* token68 of RFC 9110 section 11.2, of what has a byte at least. */
static bool is_token68(struct shs_str s)
{
    while (s.len > 1 && s.ptr[s.len - 1] == '=')
        s.len--;
    for (size_t i = 0; i < s.len; i++) {
        if (!shs__char_is(s.ptr[i], SHS_CHAR_SEGMENT) && s.ptr[i] != '+' && s.ptr[i] != '/')
            return false;
    }
    return true;
}

static int digest_of(struct shs_str token, unsigned char out[SHS_SHA256_LEN])
{
    struct shs_sha256 *sha;
    int rc = shs_sha256_new(&sha);

    if (rc != SHS_OK)
        return rc;
    rc = shs_sha256_update(sha, token.ptr, token.len);
    if (rc == SHS_OK)
        rc = shs_sha256_final(sha, out);
    shs_sha256_free(sha);
    return rc;
}

/* Whose token it is; all are looked at. *good when there is one, *user "" when it has no name. */
static int look_up(const struct shs_bearer *self, struct shs_str token, bool *good,
                   struct shs_str *user)
{
    unsigned char digest[SHS_SHA256_LEN];

    *good = false;
    SHS_RETURN_IF_ERROR(digest_of(token, digest));
    for (size_t i = 0; i < self->count; i++) {
        if (shs_equal_secret(digest, self->tokens[i].digest, sizeof digest)) {
            *good = true;
            *user = shs__str(self->tokens[i].user);
        }
    }
    return SHS_OK;
}

static int refuse(struct shs_response *res, const char *challenge)
{
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "WWW-Authenticate", challenge));
    return shs_send_page(res, 401, "A valid bearer token is needed: Authorization: Bearer TOKEN.");
}

static int bearer_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                         const struct shs_next *next)
{
    const struct shs_bearer *self = ctx;
    struct shs_str token, user = {NULL, 0};
    bool good = false;

    if (!shs__authorization(req, "Bearer", &token))
        return refuse(res, self->challenge);
    if (token.len > TOKEN_MAX || !is_token68(token))
        return refuse(res, self->refusal);
    SHS_RETURN_IF_ERROR(look_up(self, token, &good, &user));
    if (!good && self->verify != NULL) {
        SHS_RETURN_IF_ERROR(self->verify(self->ctx, req, token, &user));
        good = user.ptr != NULL;
    }
    if (!good)
        return refuse(res, self->refusal);
    if (user.len > 0)
        SHS_RETURN_IF_ERROR(shs_request_set_user(req, user));
    return shs_next_call(next, req, res);
}

static int bearer_any(struct shs_request *req, struct shs_response *res)
{
    struct shs_bearer *self = shs_request_ctx(req);
    struct shs_next next = {NULL, &self->next, NULL};

    return bearer_handle(req, res, self, &next);
}

/* -- life -------------------------------------------------------------------------------------- */

static bool read_digest(const char *hex, unsigned char out[SHS_SHA256_LEN])
{
    if (strlen(hex) != 2 * SHS_SHA256_LEN)
        return false;
    for (size_t i = 0; i < SHS_SHA256_LEN; i++) {
        unsigned high = shs__hex_value(hex[2 * i]), low = shs__hex_value(hex[2 * i + 1]);

        if (high > 15 || low > 15)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static int copy_tokens(struct shs_bearer *self, const struct shs_bearer_token *tokens,
                       struct shs_error *err)
{
    size_t count = 0;

    while (tokens[count].sha256 != NULL && count <= TOKENS_MAX)
        count++;
    if (count > TOKENS_MAX)
        return shs_error_set(err, SHS_USAGE, 0, "There are more than %u tokens.", TOKENS_MAX);
    self->tokens = shs__calloc(count + 1, sizeof *self->tokens);
    if (self->tokens == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for tokens.");
    for (; self->count < count; self->count++) {
        struct token *t = &self->tokens[self->count];
        const char *user = tokens[self->count].user;

        if (!read_digest(tokens[self->count].sha256, t->digest))
            return shs_error_set(err, SHS_USAGE, 0,
                                 "Token %zu: its digest must be the 64 hexadecimal digits of "
                                 "SHA-256.",
                                 self->count + 1);
        t->user = shs__strdup(user == NULL ? "" : user);
        if (t->user == NULL)
            return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for tokens.");
    }
    return SHS_OK;
}

static int prepare(struct shs_bearer *self, const struct shs_bearer_token *tokens,
                   const char *realm, struct shs_error *err)
{
    if (tokens == NULL && self->verify == NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "Bearer needs tokens, or a function that verifies them.");
    if (!shs_is_field_value(shs__str(realm)) || strlen(realm) > REALM_MAX ||
        strpbrk(realm, "\"\\") != NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "The realm is too long, or has a quote or a control character.");
    self->challenge = shs__asprintf("Bearer realm=\"%s\"", realm);
    self->refusal = shs__asprintf("Bearer realm=\"%s\", error=\"invalid_token\"", realm);
    if (self->challenge == NULL || self->refusal == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for tokens.");
    return tokens == NULL ? SHS_OK : copy_tokens(self, tokens, err);
}

int shs_bearer_new(struct shs_bearer **out, const struct shs_http_handler *next,
                   const struct shs_bearer_token *tokens, shs_bearer_fn *verify, void *ctx,
                   const char *realm, struct shs_error *err)
{
    struct shs_bearer *self = shs__calloc(1, sizeof *self);
    int rc;

    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for tokens.");
    self->verify = verify;
    self->ctx = ctx;
    shs__stand_before(&self->next, &self->handler, "Bearer", bearer_any, next, self);
    self->middleware = (struct shs_middleware){"Bearer", bearer_handle, self};
    rc = prepare(self, tokens, realm, err);
    if (rc != SHS_OK) {
        shs_bearer_free(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}

void shs_bearer_free(struct shs_bearer *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; self->tokens != NULL && i < self->count; i++)
        shs__free(self->tokens[i].user);
    shs__free(self->tokens);
    shs__free(self->challenge);
    shs__free(self->refusal);
    shs__free(self);
}

const struct shs_http_handler *shs_bearer_handler(const struct shs_bearer *self)
{
    return &self->handler;
}

const struct shs_middleware *shs_bearer_middleware(const struct shs_bearer *self)
{
    return &self->middleware;
}
