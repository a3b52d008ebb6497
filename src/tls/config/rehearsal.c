/*
 * rehearsal.c - a handshake in memory with each certificate, before anybody is served with it.
 */
#include <time.h>

#include <openssl/err.h>

#include "tls/config/context.h"
#include "tls/config/names.h"
#include "tls/config/site.h"
#include "tls/wire/stream.h"

#define PIPE_SIZE ((size_t)256 * 1024)
#define STEPS_MAX 64
#define ALL_EC "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512"
#define ALL_RSA "RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512"

/* A client that takes this kind of certificate only, and whatever the server allows. */
static struct shs_tls_context *make_client(const struct shs_tls_site *site, int kind)
{
    const struct shs_tls_host *host = site->host;
    struct shs_tls_context *client = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    bool good = ctx != NULL;

    if (good && kind != SHS_TLS_KIND_OTHER)
        good = SSL_CTX_set1_sigalgs_list(ctx, kind == SHS_TLS_KIND_EC ? ALL_EC : ALL_RSA) == 1;
    if (good && host->groups != NULL)
        good = SSL_CTX_set1_groups_list(ctx, host->groups) == 1;
    if (good) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
        good = shs__tls_context_wrap(&client, ctx) == SHS_OK;
    }
    if (!good)
        SSL_CTX_free(ctx);
    return client;
}

/* True once the client has all that the server has to prove. */
static bool converse(struct shs_tls_stream *server, struct shs_tls_stream *client)
{
    int theirs = SHS_WAIT_READ, ours = SHS_WAIT_READ;

    for (int i = 0; i < STEPS_MAX && theirs > 0; i++) {
        theirs = shs__tls_stream_handshake(client);
        if (theirs == SHS_OK)
            break;
        if (ours > 0)
            ours = shs__tls_stream_handshake(server);
        (void)shs__stream_flush(&server->base); /* its alert, too */
    }
    return theirs == SHS_OK;
}

static bool same_leaf(SSL *ssl, X509 *leaf)
{
    X509 *got = SSL_get0_peer_certificate(ssl);

    return got != NULL && X509_cmp(got, leaf) == 0;
}

/* A TLS 1.2 server that demands a certificate says so before it has proven all: that is enough. */
static bool wants_certificate(const struct shs_tls_stream *server)
{
    return server->client_reason == SHS_CLIENT_NONE;
}

/*
 * A name is asked for where it leads to the site now. A site of another time, of a wildcard, or of
 * no name is put on trial whatever the name.
 */
static bool asks_by_name(const struct shs_tls_context *self, const struct shs_tls_site *site)
{
    unsigned found;

    return site->name != NULL && site->name[0] != '*' &&
           shs__tls_names_find(self->names, shs__str(site->name), &found) &&
           shs__tls_site_at(self, self->period_of_name[found], shs__tls_now(self)) == site;
}

/* Curves that hardly a client speaks: then no signature is in common. NULL: it is not that. */
static const char *strange_curve(EVP_PKEY *key, char *name, size_t cap)
{
    static const char *const usual[] = {"prime256v1", "secp384r1", "secp521r1"};

    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
        EVP_PKEY_get_group_name(key, name, cap, NULL) != 1)
        return NULL;
    for (size_t i = 0; i < SHS_ARRAY_LEN(usual); i++) {
        if (strcmp(name, usual[i]) == 0)
            return NULL;
    }
    return name;
}

/* What came of it, in a sentence. */
static int judge(const struct shs_tls_site *site, const struct shs_tls_pair *pair,
                 struct shs_tls_stream *server, struct shs_tls_stream *client, bool done,
                 struct shs_error *err)
{
    const char *file = pair->from->certfile == NULL ? "cert_pem" : pair->from->certfile;
    struct shs_error why = {.code = SHS_OK};
    char curve[64];

    if (!done && !wants_certificate(server) &&
        strange_curve(pair->identity.key, curve, sizeof curve) != NULL)
        return shs_error_set(err, SHS_TLS, 0,
                             "A handshake with the certificate in '%.80s' fails: its key is on the "
                             "curve %s, which TLS clients do not take. Make a key on P-256, P-384 "
                             "or P-521 (prime256v1, secp384r1, secp521r1), or an RSA key.",
                             file, curve);
    if (!done && !wants_certificate(server)) {
        (void)shs__stream_describe(server->failed != SHS_OK ? &server->base : &client->base,
                                   SHS_TLS, &why);
        return shs_error_set(err, why.code == SHS_NOMEM ? SHS_NOMEM : SHS_TLS, 0,
                             "A handshake with the certificate in '%.80s' fails: %.120s", file,
                             why.text);
    }
    if (shs__tls_is_established(client) && !same_leaf(client->ssl, pair->identity.leaf))
        return shs_error_set(err, SHS_TLS, 0,
                             "A handshake for '%.80s' does not give the certificate in '%.80s'.",
                             site->name == NULL ? "" : site->name, file);
    return SHS_OK;
}

/*
 * Does openssl.cnf have records padded (RecordPadding)? It says so for every SSL_CTX of the process,
 * the client's too, and OpenSSL does not tell. No block is filled by one byte and by two.
 */
static bool pads(struct shs_tls_stream *client)
{
    size_t before = client->bio.out.len, put = 0;

    return shs__tls_is_established(client) && client->facts.tls13 &&
           shs__stream_write(&client->base, "x", 1, &put) == SHS_OK &&
           shs__stream_write(&client->base, "xx", 2, &put) == SHS_OK &&
           client->bio.out.len - before != 3 + 2 * SHS_TLS_RECORD_ADDS;
}

static int rehearse(struct shs_tls_context *self, const struct shs_tls_site *site,
                    const struct shs_tls_pair *pair, struct shs_error *err)
{
    struct shs_tls_context *context = make_client(site, pair->kind);
    struct shs_stream *near_end = NULL, *far_end = NULL;
    struct shs_tls_stream *server = NULL, *client = NULL;
    bool by_name = asks_by_name(self, site), done;
    int rc = SHS_NOMEM;

    if (context == NULL || shs__memory_stream_pair(&near_end, &far_end, PIPE_SIZE, 0) != SHS_OK ||
        shs__tls_stream_new(&server, self, near_end) != SHS_OK ||
        shs__tls_stream_new(&client, context, far_end) != SHS_OK ||
        (by_name && SSL_set_tlsext_host_name(client->ssl, site->name) != 1)) {
        shs_error_set(err, rc, 0, "Out of memory for a handshake in memory.");
        goto out;
    }
    self->on_trial = by_name ? NULL : site;
    done = converse(server, client);
    self->on_trial = NULL;
    rc = judge(site, pair, server, client, done, err);
    if (self->stays == SHS_TLS_STAYS_NOT_YET && pads(client))
        self->stays = SHS_TLS_STAYS_PADDING;
out:
    if (server != NULL)
        server->base.cls->free(&server->base);
    if (client != NULL)
        client->base.cls->free(&client->base);
    if (near_end != NULL)
        near_end->cls->free(near_end);
    if (far_end != NULL)
        far_end->cls->free(far_end);
    shs__tls_context_free(context);
    ERR_clear_error();
    return rc;
}

int shs__tls_context_try_each(struct shs_tls_context *self, size_t *culprit, struct shs_error *err)
{
    int rc = SHS_OK;

    for (size_t i = 0; rc == SHS_OK && i < self->site_count; i++) {
        for (size_t k = 0; rc == SHS_OK && k < SHS_TLS_KINDS; k++) {
            const struct shs_tls_pair *pair = self->sites[i].pairs[k];

            if (pair == NULL)
                continue;
            rc = rehearse(self, &self->sites[i], pair, err);
            if (rc != SHS_OK)
                *culprit = (size_t)(pair - self->pairs);
            shs__tls_context_give_way(self);
        }
    }
    return rc;
}
