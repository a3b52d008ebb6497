#include "tls/config/context.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <shs/digest.h>

#include "tls/clients/client.h"
#include "tls/clients/deny.h"
#include "tls/config/config.h"
#include "tls/config/names.h"
#include "tls/config/site.h"
#include "tls/wire/bio.h"
#include "tls/wire/stream.h"

/* Names, and what leads from them to sites. */
#define MEMORY_MAX ((size_t)64 * 1024 * 1024)
#define PAIRS_MAX 100000
#define GIVE_WAY_NS 1000000

/* The certificates that answer for a name. */
struct tuple {
    unsigned host;
    const struct shs_tls_pair *pairs[SHS_TLS_KINDS];
    const char *name;
};

void shs__tls_context_give_way(const struct shs_tls_context *self)
{
    const struct timespec moment = {.tv_nsec = GIVE_WAY_NS};

    if (self->beside)
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
}

/* -- loading ----------------------------------------------------------------------------------- */

static int nomem(struct shs_error *err)
{
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory while setting up TLS.");
}

static int kind_of(EVP_PKEY *key)
{
    if (EVP_PKEY_is_a(key, "EC"))
        return SHS_TLS_KIND_EC;
    return EVP_PKEY_is_a(key, "RSA") ? SHS_TLS_KIND_RSA : SHS_TLS_KIND_OTHER;
}

/* The DNS names in the certificate. */
static int read_names(struct shs_tls_context *self, struct shs_tls_pair *pair)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(pair->identity.leaf, NID_subject_alt_name, NULL, NULL);
    int i, count = sk_GENERAL_NAME_num(names);

    ERR_clear_error();
    if (names == NULL || count <= 0) {
        GENERAL_NAMES_free(names);
        return SHS_OK;
    }
    pair->names = shs__arena_alloc(self->memory, (size_t)count * sizeof *pair->names);
    for (i = 0; pair->names != NULL && i < count; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        struct shs_str text;

        if (name->type != GEN_DNS)
            continue;
        text = (struct shs_str){(const char *)ASN1_STRING_get0_data(name->d.dNSName),
                                (size_t)ASN1_STRING_length(name->d.dNSName)};
        if (text.len == 0 || memchr(text.ptr, '\0', text.len) != NULL)
            continue;
        text = shs__arena_copy(self->memory, text);
        if (text.ptr == NULL)
            break;
        pair->names[pair->name_count++] = text;
    }
    i = pair->names != NULL && i == count ? SHS_OK : SHS_NOMEM;
    GENERAL_NAMES_free(names);
    return i;
}

/* The names of a host that says them itself. */
static int take_names(struct shs_tls_context *self, struct shs_tls_pair *pair,
                      const char *const *names)
{
    size_t count = 0;

    while (names[count] != NULL)
        count++;
    pair->names = shs__arena_alloc(self->memory, (count + 1) * sizeof *pair->names);
    if (pair->names == NULL)
        return SHS_NOMEM;
    for (size_t i = 0; i < count; i++)
        pair->names[pair->name_count++] = shs__str(names[i]);
    return SHS_OK;
}

static const char *source_of(const struct shs_tls_pair *pair)
{
    return pair->from->certfile == NULL ? "cert_pem" : pair->from->certfile;
}

/* A certificate that clients will refuse must not replace one that they accept. */
static int check_dates(const struct shs_tls_pair *pair, int64_t now, struct shs_error *err)
{
    if (shs__tls_time(X509_get0_notAfter(pair->identity.leaf)) <= now)
        return shs_error_set(err, SHS_TLS, 0, "The certificate in '%s' has expired. Renew it.",
                             source_of(pair));
    if (shs__tls_time(X509_get0_notBefore(pair->identity.leaf)) > now)
        return shs_error_set(err, SHS_TLS, 0,
                             "The certificate in '%s' is not valid yet. Is the clock of this "
                             "machine right?",
                             source_of(pair));
    return SHS_OK;
}

static int load_pair(struct shs_tls_context *self, struct shs_tls_pair *pair, int64_t now,
                     bool strict, struct shs_error *err)
{
    const struct shs_tls_host *host = &self->config->config.hosts[pair->host];
    int rc = shs__tls_identity_load(&pair->identity, pair->from, err);

    if (rc == SHS_OK && strict)
        rc = check_dates(pair, now, err);
    if (rc != SHS_OK)
        return rc;
    pair->kind = kind_of(pair->identity.key);
    rc = host->names != NULL ? take_names(self, pair, host->names) : read_names(self, pair);
    return rc == SHS_OK ? rc : nomem(err);
}

/* Every CA certificate that came with any of the certificates. */
static STACK_OF(X509) * make_pool(const struct shs_tls_context *self)
{
    STACK_OF(X509) *pool = sk_X509_new_null();

    for (size_t i = 0; pool != NULL && i < self->pair_count; i++) {
        STACK_OF(X509) *chain = self->pairs[i].identity.chain;

        for (int k = 0; k < sk_X509_num(chain); k++) {
            X509 *cert = sk_X509_value(chain, k);

            if (X509_check_ca(cert) != 0 && X509_up_ref(cert) == 1 && sk_X509_push(pool, cert) == 0)
                X509_free(cert);
        }
    }
    return pool;
}

static int complete_pairs(struct shs_tls_context *self, int64_t now, struct shs_error *err)
{
    STACK_OF(X509) *pool = make_pool(self);
    int rc = pool == NULL ? nomem(err) : SHS_OK;

    for (size_t i = 0; rc == SHS_OK && i < self->pair_count; i++) {
        struct shs_tls_pair *pair = &self->pairs[i];

        if (shs__tls_identity_complete(&pair->identity, pool, &pair->unused) != SHS_OK)
            rc = nomem(err);
        else if (pair->from->ocspfile != NULL)
            rc = shs__tls_ocsp_load(&pair->ocsp, pair->from->ocspfile, pair->identity.leaf,
                                    pair->identity.chain, now, err);
    }
    sk_X509_pop_free(pool, X509_free);
    return rc;
}

static int load_pairs(struct shs_tls_context *self, int64_t now, bool strict, struct shs_error *err)
{
    const struct shs_tls_config *config = &self->config->config;
    size_t count = 0, h, i;
    int rc = SHS_OK;

    for (h = 0; h < config->host_count; h++)
        count += config->hosts[h].cert_count;
    if (count > PAIRS_MAX)
        return shs_error_set(err, SHS_LIMIT, 0, "More than %d certificates.", PAIRS_MAX);
    self->pairs = shs__calloc(count, sizeof *self->pairs);
    if (self->pairs == NULL)
        return nomem(err);
    for (h = 0; h < config->host_count; h++) {
        for (i = 0; rc == SHS_OK && i < config->hosts[h].cert_count; i++) {
            struct shs_tls_pair *pair = &self->pairs[self->pair_count++];

            pair->from = &config->hosts[h].certs[i];
            pair->host = (unsigned)h;
            rc = load_pair(self, pair, now, strict, err);
            shs__tls_context_give_way(self);
        }
    }
    return rc == SHS_OK ? complete_pairs(self, now, err) : rc;
}

/* -- from names to sites ----------------------------------------------------------------------- */

static void scope_of(struct shs_tls_site *site, unsigned host)
{
    const struct shs_tls_host *h = site->host;
    unsigned char fixed[16] = {'s', 'h', 's', '1'};
    struct shs_sha256 *sha = NULL;

    fixed[4] = (unsigned char)h->client_auth;
    fixed[5] = (unsigned char)h->client_lax;
    fixed[6] = (unsigned char)h->client_depth;
    fixed[7] = (unsigned char)(h->crl != NULL);
    memcpy(fixed + 8, &host, sizeof host);
    if (shs_sha256_new(&sha) != SHS_OK || shs_sha256_update(sha, fixed, sizeof fixed) != SHS_OK ||
        shs_sha256_update(sha, site->clients->digest, sizeof site->clients->digest) != SHS_OK ||
        (site->name != NULL && shs_sha256_update(sha, site->name, strlen(site->name)) != SHS_OK) ||
        shs_sha256_final(sha, site->scope) != SHS_OK)
        (void)RAND_bytes(site->scope, sizeof site->scope); /* of nobody else */
    shs_sha256_free(sha);
}

/* The site of these certificates, which is made if there is none. */
static int find_site(struct shs_tls_context *self, const struct tuple *tuple, unsigned *out,
                     struct shs_error *err)
{
    const struct shs_tls_host *host = &self->config->config.hosts[tuple->host];
    struct shs_tls_site *site;
    int rc;

    for (size_t i = self->site_count; i > 0; i--) {
        site = &self->sites[i - 1];
        if (site->host == host && memcmp(site->pairs, tuple->pairs, sizeof site->pairs) == 0) {
            *out = (unsigned)(i - 1);
            return SHS_OK;
        }
    }
    site = &self->sites[self->site_count];
    site->host = host;
    site->clients = &self->clients[tuple->host];
    site->name = tuple->name;
    memcpy(site->pairs, tuple->pairs, sizeof site->pairs);
    scope_of(site, tuple->host);
    rc = shs__tls_site_open(site, self, err);
    shs__tls_context_give_way(self);
    if (rc == SHS_OK)
        *out = (unsigned)self->site_count++;
    return rc;
}

/* Which certificates answer for each name; the first of a kind, of the first host, wins. */
static unsigned fill_tuples(struct shs_tls_context *self, struct tuple *tuples)
{
    unsigned count = 0;

    for (size_t i = 0; i < self->pair_count; i++) {
        const struct shs_tls_pair *pair = &self->pairs[i];

        for (size_t k = 0; k < pair->name_count; k++) {
            unsigned at = count;
            struct tuple *tuple;

            if (!shs__tls_names_add(self->names, pair->names[k], &at))
                continue; /* no name that a client can ask for */
            tuple = &tuples[at];
            if (at == count) {
                tuple->host = pair->host;
                tuple->name = pair->names[k].ptr;
                count++;
            }
            if (tuple->host == pair->host && tuple->pairs[pair->kind] == NULL)
                tuple->pairs[pair->kind] = pair;
        }
    }
    return count;
}

/* For clients that ask for no name, or for one that is not here. */
static struct tuple default_tuple(const struct shs_tls_context *self, const struct tuple *tuples)
{
    const struct shs_tls_pair *first = &self->pairs[0];
    struct tuple tuple = {.host = 0};
    unsigned at;

    for (size_t k = 0; k < first->name_count; k++) {
        struct shs_str name = first->names[k];
        char probe[SHS_TLS_NAME_MAX + 1];

        if (name.len == 0 || name.len > SHS_TLS_NAME_MAX)
            continue;
        memcpy(probe, name.ptr, name.len);
        if (probe[0] == '*')
            probe[0] = 'x'; /* any label will do */
        if (shs__tls_names_find(self->names, (struct shs_str){probe, name.len}, &at) &&
            tuples[at].pairs[first->kind] == first)
            return tuples[at];
    }
    tuple.pairs[first->kind] = first;
    for (size_t i = 1; i < self->pair_count; i++) {
        const struct shs_tls_pair *pair = &self->pairs[i];

        if (pair->host == 0 && pair->name_count == 0 && first->name_count == 0 &&
            tuple.pairs[pair->kind] == NULL)
            tuple.pairs[pair->kind] = pair;
    }
    return tuple;
}

static int make_sites(struct shs_tls_context *self, struct shs_error *err)
{
    struct tuple *tuples, first;
    size_t names = 0;
    unsigned count, i, at = 0;
    int rc;

    for (i = 0; i < self->pair_count; i++)
        names += self->pairs[i].name_count;
    tuples = shs__calloc(names + 1, sizeof *tuples);
    self->sites = shs__calloc(names + 1, sizeof *self->sites);
    self->site_of_name = shs__calloc(names + 1, sizeof *self->site_of_name);
    if (tuples == NULL || self->sites == NULL || self->site_of_name == NULL ||
        shs__tls_names_new(&self->names, names) != SHS_OK) {
        shs__free(tuples);
        return nomem(err);
    }
    count = fill_tuples(self, tuples);
    first = default_tuple(self, tuples);
    rc = find_site(self, &first, &at, err);
    self->default_site = at;
    for (i = 0; rc == SHS_OK && i < count; i++)
        rc = find_site(self, &tuples[i], &self->site_of_name[i], err);
    shs__free(tuples);
    return rc;
}

static int load_clients(struct shs_tls_context *self, struct shs_error *err)
{
    const struct shs_tls_config *config = &self->config->config;
    int rc = SHS_OK;

    self->clients = shs__calloc(config->host_count, sizeof *self->clients);
    if (self->clients == NULL)
        return nomem(err);
    for (size_t h = 0; rc == SHS_OK && h < config->host_count; h++)
        rc = shs__tls_clients_load(&self->clients[h], &config->hosts[h], err);
    return rc;
}

static int open_keylog(struct shs_tls_context *self, struct shs_error *err)
{
    const char *path = self->config->config.keylog;
    char text[96];

    if (path == NULL)
        return SHS_OK;
    self->keylog_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (self->keylog_fd >= 0)
        return SHS_OK;
    return shs_error_set(err, SHS_TLS, errno, "Cannot open the key log '%s': %s.", path,
                         shs__strerror(errno, text, sizeof text));
}

/* -- making one -------------------------------------------------------------------------------- */

static struct shs_tls_context *allocate(void)
{
    struct shs_tls_context *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return NULL;
    atomic_init(&self->refs, 1);
    self->keylog_fd = -1;
    self->bio_method = shs__tls_bio_method_new();
    if (self->bio_method != NULL)
        return self;
    shs__free(self);
    return NULL;
}

int shs__tls_context_build(struct shs_tls_context **out, const struct shs_tls_config *config,
                           struct shs_tls_tickets *tickets, struct shs_tls_deny *deny, int64_t now,
                           bool strict, struct shs_error *err)
{
    struct shs_tls_context *self = allocate();
    struct shs_tls_config_copy *copy = shs__calloc(1, sizeof *copy);
    struct shs_arena *memory = shs__calloc(1, sizeof *memory);
    int rc;

    if (self == NULL || copy == NULL || memory == NULL) {
        rc = nomem(err);
        shs__free(copy);
        shs__free(memory);
        goto out;
    }
    self->memory = memory;
    shs__arena_init(memory, MEMORY_MAX);
    rc = shs__tls_config_copy(copy, config, err);
    if (rc != SHS_OK) {
        shs__free(copy);
        goto out;
    }
    self->config = copy;
    self->fingerprint = copy->config.fingerprint;
    self->beside = strict;
    self->tickets = shs__tls_tickets_ref(tickets);
    self->deny = deny == NULL ? NULL : shs__tls_deny_ref(deny);
    rc = load_clients(self, err);
    if (rc == SHS_OK)
        rc = load_pairs(self, now, strict, err);
    if (rc == SHS_OK)
        rc = open_keylog(self, err);
    if (rc == SHS_OK)
        rc = make_sites(self, err);
    if (rc != SHS_OK)
        goto out;
    self->ssl_ctx = self->sites[self->default_site].ssl_ctx;
    SSL_CTX_up_ref(self->ssl_ctx);
    for (size_t i = 0; i < self->site_count; i++)
        SSL_CTX_set_msg_callback(self->sites[i].ssl_ctx, shs__tls_stream_message);
    *out = self;
    self = NULL;
out:
    shs__tls_context_free(self);
    ERR_clear_error();
    return rc;
}

int shs__tls_context_new(struct shs_tls_context **out, const struct shs_options *opt,
                         struct shs_error *err)
{
    struct shs_tls_simple_config simple;
    struct shs_tls_tickets *tickets;
    int rc;

    shs__tls_simple_config(&simple, opt);
    rc = shs__tls_tickets_new(&tickets, simple.config.ticket_epoch_s);
    if (rc != SHS_OK)
        return shs_error_set(err, rc, 0, "OpenSSL could not be set up for TLS.");
    rc =
        shs__tls_context_build(out, &simple.config, tickets, NULL, (int64_t)time(NULL), false, err);
    shs__tls_tickets_free(tickets);
    return rc;
}

bool shs__tls_context_same_rules(const struct shs_tls_context *a, const struct shs_tls_context *b)
{
    bool same = a->config->config.host_count == b->config->config.host_count;

    for (size_t h = 0; same && h < a->config->config.host_count; h++)
        same = memcmp(a->clients[h].digest, b->clients[h].digest, sizeof a->clients[h].digest) == 0;
    return same;
}

int shs__tls_context_wrap(struct shs_tls_context **out, SSL_CTX *ssl_ctx)
{
    struct shs_tls_context *self = allocate();

    if (self == NULL)
        return SHS_NOMEM;
    SSL_CTX_set_msg_callback(ssl_ctx, shs__tls_stream_message);
    self->ssl_ctx = ssl_ctx;
    *out = self;
    return SHS_OK;
}

struct shs_tls_context *shs__tls_context_ref(struct shs_tls_context *self)
{
    atomic_fetch_add_explicit(&self->refs, 1, memory_order_relaxed);
    return self;
}

static void free_server_part(struct shs_tls_context *self)
{
    for (size_t i = 0; i < self->site_count; i++)
        SSL_CTX_free(self->sites[i].ssl_ctx);
    for (size_t i = 0; i < self->pair_count; i++) {
        shs__tls_identity_free(&self->pairs[i].identity);
        shs__tls_ocsp_free(&self->pairs[i].ocsp);
    }
    if (self->clients != NULL) {
        for (size_t h = 0; h < self->config->config.host_count; h++)
            shs__tls_clients_free(&self->clients[h]);
    }
    shs__tls_names_free(self->names);
    shs__free(self->site_of_name);
    shs__free(self->sites);
    shs__free(self->pairs);
    shs__free(self->clients);
    shs__tls_tickets_free(self->tickets);
    shs__tls_deny_free(self->deny);
    if (self->memory != NULL)
        shs__arena_free(self->memory);
    shs__free(self->memory);
    if (self->config != NULL)
        shs__tls_config_free(self->config);
    shs__free(self->config);
    if (self->keylog_fd >= 0)
        close(self->keylog_fd);
}

void shs__tls_context_free(struct shs_tls_context *self)
{
    if (self == NULL || atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(self->ssl_ctx);
    free_server_part(self);
    BIO_meth_free(self->bio_method);
    shs__free(self);
}
