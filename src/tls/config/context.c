#include "tls/config/context.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <shs/digest.h>

#include "tls/clients/client.h"
#include "tls/clients/deny.h"
#include "tls/config/config.h"
#include "tls/config/report.h"
#include "tls/config/site.h"
#include "tls/config/source.h"
#include "tls/wire/bio.h"
#include "tls/wire/records.h"
#include "tls/wire/stream.h"

/* Names, and what leads from them to sites. */
#define MEMORY_MAX ((size_t)64 * 1024 * 1024)
#define PAIRS_MAX 100000
/*
 * A reload with more certificates than that which only their trial shows to be bad is not a reload.
 */
#define ROUNDS_MAX 16
#define GIVE_WAY_NS 1000000

/* CAs and CRLs of a host: of one context, and kept by the next when theirs cannot be used. */
struct rules {
    _Atomic unsigned refs;
    struct shs_tls_clients clients;
};

#define RULES(c) SHS_CONTAINER_OF(c, struct rules, clients)

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

/* OpenSSL fails in many ways without memory, and does not always say that it was that. */
static int tell_cause(int rc, struct shs_error *why)
{
    return rc == SHS_TLS && shs__tls_is_short_of_memory() ? nomem(why) : rc;
}

static int kind_of(EVP_PKEY *key)
{
    if (EVP_PKEY_is_a(key, "EC"))
        return SHS_TLS_KIND_EC;
    return EVP_PKEY_is_a(key, "RSA") ? SHS_TLS_KIND_RSA : SHS_TLS_KIND_OTHER;
}

/* Its subjectAltName, NULL for none; *lost: there is one, and no memory for it. */
static GENERAL_NAMES *read_san(const X509 *leaf, bool *lost)
{
    int found = -1;
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &found, NULL);

    if (names == NULL && found >= 0) /* what cannot be read is so a second time */
        names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &found, NULL);
    *lost = names == NULL && found >= 0 && shs__tls_is_short_of_memory();
    ERR_clear_error();
    return names;
}

/* The DNS names in the certificate. */
static int read_names(struct shs_tls_context *self, struct shs_tls_pair *pair)
{
    bool lost;
    GENERAL_NAMES *names = read_san(pair->identity.leaf, &lost);
    int i, count = sk_GENERAL_NAME_num(names);

    if (names == NULL || count <= 0) {
        GENERAL_NAMES_free(names);
        return lost ? SHS_NOMEM : SHS_OK;
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

/* Clients refuse it by its dates: SHS_TLS, which of the two it is in *err. */
static int check_dates(const struct shs_tls_pair *pair, int64_t now, struct shs_error *err)
{
    if (pair->not_after <= now)
        return shs_error_set(err, SHS_TLS, 0, "The certificate in '%s' has expired. Renew it.",
                             source_of(pair));
    if (pair->not_before > now)
        return shs_error_set(err, SHS_TLS, 0,
                             "The certificate in '%s' is not valid yet. Is the clock of this "
                             "machine right?",
                             source_of(pair));
    return SHS_OK;
}

/* What follows from the certificate itself. */
static int describe(struct shs_tls_context *self, struct shs_tls_pair *pair)
{
    const struct shs_tls_host *host = &self->config->config.hosts[pair->host];

    pair->kind = kind_of(pair->identity.key);
    pair->not_before = shs__tls_time(X509_get0_notBefore(pair->identity.leaf));
    pair->not_after = shs__tls_time(X509_get0_notAfter(pair->identity.leaf));
    pair->names = NULL;
    pair->name_count = 0;
    return host->names != NULL ? take_names(self, pair, host->names) : read_names(self, pair);
}

/* The certificate of before is served on, because of *why. */
static int keep_pair(struct shs_tls_context *self, struct shs_tls_pair *pair,
                     const struct shs_tls_pair *before, const struct shs_error *why)
{
    shs__tls_identity_free(&pair->identity);
    if (pair->kept == NULL)
        pair->kept = shs__malloc(sizeof *pair->kept);
    if (pair->kept == NULL || shs__tls_identity_share(&pair->identity, &before->identity) != SHS_OK)
        return SHS_NOMEM;
    *pair->kept = *why;
    return describe(self, pair);
}

/* A certificate that clients will refuse must not replace one that they accept. */
static int load_pair(struct shs_tls_context *self, struct shs_tls_pair *pair, int64_t now,
                     bool strict, const struct shs_tls_pair *before, struct shs_error *err)
{
    struct shs_error why = {.code = SHS_OK};
    int rc = tell_cause(shs__tls_identity_load(&pair->identity, pair->from, &why), &why);

    if (rc == SHS_OK && describe(self, pair) != SHS_OK)
        return nomem(err);
    if (rc == SHS_OK && (strict || (before != NULL && shs__tls_pair_valid(before, now))))
        rc = check_dates(pair, now, &why);
    if (rc == SHS_OK)
        return rc;
    if (rc == SHS_NOMEM || before == NULL) {
        if (err != NULL)
            *err = why;
        return rc;
    }
    if (rc == SHS_TLS && pair->identity.leaf != NULL && pair->not_before > now &&
        pair->not_before < self->valid_at)
        self->valid_at = pair->not_before;
    return keep_pair(self, pair, before, &why) == SHS_OK ? SHS_OK : nomem(err);
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

static int load_response(struct shs_tls_pair *pair, int64_t now, struct shs_error *why)
{
    int rc = shs__tls_ocsp_load(&pair->ocsp, pair->from->ocspfile, pair->identity.leaf,
                                pair->identity.chain, now, why);

    if (rc == SHS_TLS || pair->ocsp.note != NULL) { /* bad is what is so a second time */
        shs__tls_ocsp_free(&pair->ocsp);
        rc = shs__tls_ocsp_load(&pair->ocsp, pair->from->ocspfile, pair->identity.leaf,
                                pair->identity.chain, now, why);
    }
    return tell_cause(rc, why);
}

/*
 * The response to staple. One that is stale or of another certificate is left out, and said; the
 * one of before stays where there is none that can be used.
 */
static int load_staple(const struct shs_tls_context *self, struct shs_tls_pair *pair,
                       const struct shs_tls_pair *before, int64_t now, struct shs_error *err)
{
    struct shs_error why = {.code = SHS_OK};
    int rc;

    if (pair->from->ocspfile == NULL)
        return SHS_OK;
    rc = load_response(pair, now, &why);
    if (!shs__tls_ocsp_fits(&pair->ocsp, now) && before != NULL &&
        shs__tls_ocsp_fits(&before->ocsp, now) &&
        X509_cmp(before->identity.leaf, pair->identity.leaf) == 0)
        if (shs__tls_ocsp_share(&pair->ocsp, &before->ocsp) != SHS_OK)
            return nomem(err);
    if (rc == SHS_OK || (rc != SHS_NOMEM && self->beside)) {
        if (rc != SHS_OK) {
            pair->ocsp.kept = true;
            rc = shs__tls_ocsp_note(&pair->ocsp, &why);
        }
        return rc == SHS_OK ? rc : nomem(err);
    }
    if (err != NULL)
        *err = why;
    return rc;
}

static bool same_chain(const STACK_OF(X509) * a, const STACK_OF(X509) * b)
{
    bool same = sk_X509_num(a) == sk_X509_num(b);

    for (int i = 0; same && i < sk_X509_num(a); i++)
        same = X509_cmp(sk_X509_value(a, i), sk_X509_value(b, i)) == 0;
    return same;
}

static bool same_pair(const struct shs_tls_pair *a, const struct shs_tls_pair *b)
{
    return X509_cmp(a->identity.leaf, b->identity.leaf) == 0 &&
           same_chain(a->identity.chain, b->identity.chain);
}

static int complete_pairs(struct shs_tls_context *self, const struct shs_tls_context *before,
                          int64_t now, struct shs_error *err)
{
    STACK_OF(X509) *pool = make_pool(self);
    int rc = pool == NULL ? nomem(err) : SHS_OK;

    for (size_t i = 0; rc == SHS_OK && i < self->pair_count; i++) {
        struct shs_tls_pair *pair = &self->pairs[i];
        const struct shs_tls_pair *old = before == NULL ? NULL : &before->pairs[i];

        shs__tls_ocsp_free(&pair->ocsp);
        if (shs__tls_identity_complete(&pair->identity, pool, &pair->unused) != SHS_OK)
            rc = nomem(err);
        else
            rc = load_staple(self, pair, old, now, err);
        pair->same = rc == SHS_OK && old != NULL && same_pair(pair, old);
    }
    sk_X509_pop_free(pool, X509_free);
    return rc;
}

static int load_pairs(struct shs_tls_context *self, const struct shs_tls_context *before,
                      int64_t now, bool strict, struct shs_error *err)
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
            size_t at = self->pair_count++;
            struct shs_tls_pair *pair = &self->pairs[at];

            pair->from = &config->hosts[h].certs[i];
            pair->host = (unsigned)h;
            rc =
                load_pair(self, pair, now, strict, before == NULL ? NULL : &before->pairs[at], err);
            shs__tls_context_give_way(self);
        }
    }
    return rc == SHS_OK ? complete_pairs(self, before, now, err) : rc;
}

/* -- the rules for clients --------------------------------------------------------------------- */

static void drop_rules(struct shs_tls_clients *clients)
{
    struct rules *rules = clients == NULL ? NULL : RULES(clients);

    if (rules == NULL || atomic_fetch_sub_explicit(&rules->refs, 1, memory_order_acq_rel) != 1)
        return;
    shs__tls_clients_free(&rules->clients);
    shs__free(rules);
}

/* Whose file it was that could not be used, by the message about it. */
static const char *file_of(const struct shs_tls_host *host, const struct shs_error *why)
{
    struct shs_tls_path_name name;

    if (host->crl == NULL)
        return host->client_ca;
    if (strstr(why->text, host->crl) != NULL)
        return host->crl;
    shs__tls_path_name(&name, host->crl);
    return strstr(why->text, name.text) != NULL ? host->crl : host->client_ca;
}

static void report_rules(struct shs_tls_report *report, const struct shs_tls_host *host,
                         const struct shs_tls_clients *now, const struct shs_tls_clients *then)
{
    bool same = now == then || memcmp(now->digest, then->digest, sizeof now->digest) == 0;

    if (host->client_ca == NULL)
        return;
    shs__tls_report_add(report, same ? SHS_TLS_FILE_SAME : SHS_TLS_FILE_TAKEN, host->client_ca,
                        NULL);
    shs__tls_report_add(report, same ? SHS_TLS_FILE_SAME : SHS_TLS_FILE_TAKEN, host->crl, NULL);
}

static int load_rules(struct rules *rules, const struct shs_tls_host *host, struct shs_error *why)
{
    int rc = shs__tls_clients_load(&rules->clients, host, why);

    if (rc == SHS_TLS) /* bad is what is so a second time */
        rc = shs__tls_clients_load(&rules->clients, host, why);
    return tell_cause(rc, why);
}

static int load_clients(struct shs_tls_context *self, const struct shs_tls_context *before,
                        struct shs_tls_report *report, struct shs_error *err)
{
    const struct shs_tls_config *config = &self->config->config;
    int rc = SHS_OK;

    self->clients = shs__calloc(config->host_count, sizeof *self->clients);
    if (self->clients == NULL)
        return nomem(err);
    for (size_t h = 0; rc == SHS_OK && h < config->host_count; h++) {
        struct rules *rules = shs__calloc(1, sizeof *rules);
        struct shs_error why = {.code = SHS_OK};

        if (rules == NULL)
            return nomem(err);
        atomic_init(&rules->refs, 1);
        rc = load_rules(rules, &config->hosts[h], &why);
        if (rc == SHS_OK) {
            self->clients[h] = &rules->clients;
            self->clients[h]->clock_offset_s = config->clock_offset_s;
            if (before != NULL)
                report_rules(report, &config->hosts[h], self->clients[h], before->clients[h]);
            continue;
        }
        shs__free(rules);
        if (rc == SHS_NOMEM || before == NULL) {
            if (err != NULL)
                *err = why;
            return rc;
        }
        self->clients[h] = before->clients[h];
        atomic_fetch_add_explicit(&RULES(self->clients[h])->refs, 1, memory_order_relaxed);
        shs__tls_report_add(report, SHS_TLS_FILE_KEPT, file_of(&config->hosts[h], &why), &why);
        rc = SHS_OK;
    }
    return rc;
}

/* Not waiting: a pipe that nobody reads must not hold up a handshake. */
static int open_keylog(struct shs_tls_context *self, const struct shs_tls_context *before,
                       struct shs_tls_report *report, struct shs_error *err)
{
    const char *path = self->config->config.keylog;
    struct shs_tls_path_name name;
    struct shs_error why;
    char text[96];
    int failed;

    if (path == NULL)
        return SHS_OK;
    self->keylog_fd =
        open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    if (self->keylog_fd >= 0)
        return SHS_OK;
    failed = errno;
    shs__tls_path_name(&name, path);
    shs_error_set(&why, SHS_TLS, failed, "Cannot open the key log %s: %s.%s", name.text,
                  failed == ENXIO ? "it is a pipe that nobody reads"
                                  : shs__strerror(failed, text, sizeof text),
                  failed == EISDIR ? " Name a file in it."
                                   : " Name a file that this process may write.");
    if (before != NULL && before->keylog_fd >= 0)
        self->keylog_fd = fcntl(before->keylog_fd, F_DUPFD_CLOEXEC, 0);
    if (self->keylog_fd >= 0) {
        shs__tls_report_add(report, SHS_TLS_FILE_KEPT, path, &why);
        return SHS_OK;
    }
    if (err != NULL)
        *err = why;
    return SHS_TLS;
}

/* -- making one -------------------------------------------------------------------------------- */

static struct shs_tls_context *allocate(void)
{
    struct shs_tls_context *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return NULL;
    atomic_init(&self->refs, 1);
    self->keylog_fd = -1;
    self->stays = SHS_TLS_STAYS_NOT_ASKED;
    self->bio_method = shs__tls_bio_method_new();
    if (self->bio_method != NULL)
        return self;
    shs__free(self);
    return NULL;
}

int shs__tls_live_keylog_new(struct shs_tls_live_keylog **out, int fd)
{
    struct shs_tls_live_keylog *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return SHS_NOMEM;
    atomic_init(&self->refs, 1);
    self->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (self->fd < 0) {
        shs__free(self);
        return SHS_IO;
    }
    *out = self;
    return SHS_OK;
}

void shs__tls_live_keylog_free(struct shs_tls_live_keylog *self)
{
    if (self == NULL || atomic_fetch_sub(&self->refs, 1) != 1)
        return;
    (void)close(self->fd);
    shs__free(self);
}

void shs__tls_context_set_live(struct shs_tls_context *self, struct shs_tls_live_keylog *live)
{
    atomic_fetch_add(&live->refs, 1);
    self->live = live;
    for (size_t i = 0; i < self->site_count; i++)
        SSL_CTX_set_keylog_callback(self->sites[i].ssl_ctx, shs__tls_on_keylog);
}

/* From the certificates to what is served with, and, beside another context, tried. */
static int open_sites(struct shs_tls_context *self, int64_t now, size_t *culprit,
                      struct shs_error *err)
{
    int rc = shs__tls_sites_make(self, now, culprit, err);

    if (rc != SHS_OK)
        return rc;
    self->ssl_ctx = shs__tls_site_at(self, self->default_period, INT64_MIN)->ssl_ctx;
    for (size_t i = 0; i < self->site_count; i++)
        SSL_CTX_set_msg_callback(self->sites[i].ssl_ctx, shs__tls_stream_message);
    return self->beside ? shs__tls_context_try_each(self, culprit, err) : SHS_OK;
}

static void close_sites(struct shs_tls_context *self)
{
    self->ssl_ctx = NULL;
    shs__tls_sites_free(self);
}

/* An SSL_CTX that was made without memory may lack a part for good, and say so in a trial only. */
static int open_sites_twice(struct shs_tls_context *self, int64_t now, size_t *culprit,
                            struct shs_error *err)
{
    int rc = open_sites(self, now, culprit, err);

    if (rc == SHS_TLS) {
        close_sites(self);
        rc = open_sites(self, now, culprit, err);
    }
    return tell_cause(rc, err);
}

int shs__tls_context_try(struct shs_tls_context *self, struct shs_error *err)
{
    size_t culprit;
    int rc = shs__tls_context_try_each(self, &culprit, err);

    if (rc != SHS_TLS)
        return rc;
    SSL_CTX_free(self->ssl_ctx);
    close_sites(self);
    rc = open_sites(self, shs__tls_now(self), &culprit, err);
    if (rc == SHS_OK) {
        SSL_CTX_up_ref(self->ssl_ctx);
        rc = shs__tls_context_try_each(self, &culprit, err);
    } else {
        self->ssl_ctx = NULL;
    }
    return tell_cause(rc, err);
}

/*
 * What OpenSSL refuses, or what fails its trial, is replaced by what was there before: then all of
 * it is made once more. Each round has one such certificate less.
 */
static int settle(struct shs_tls_context *self, const struct shs_tls_context *before, int64_t now,
                  struct shs_error *err)
{
    struct shs_error why = {.code = SHS_OK};
    size_t culprit;
    int rc;

    for (unsigned round = 0;; round++) {
        rc = open_sites_twice(self, now, &culprit, &why);
        if (rc == SHS_OK || rc == SHS_NOMEM || before == NULL || culprit == SIZE_MAX ||
            self->pairs[culprit].kept != NULL || round == ROUNDS_MAX)
            break;
        close_sites(self);
        if (keep_pair(self, &self->pairs[culprit], &before->pairs[culprit], &why) != SHS_OK)
            return nomem(err);
        rc = complete_pairs(self, before, now, err);
        if (rc != SHS_OK)
            return rc;
    }
    if (rc == SHS_OK)
        SSL_CTX_up_ref(self->ssl_ctx);
    else
        self->ssl_ctx = NULL;
    if (rc != SHS_OK && err != NULL)
        *err = why;
    return rc;
}

static void report_pairs(const struct shs_tls_context *self, const struct shs_tls_context *before,
                         struct shs_tls_report *report)
{
    for (size_t i = 0; i < self->pair_count; i++) {
        const struct shs_tls_pair *pair = &self->pairs[i];
        enum shs_tls_file_state state = SHS_TLS_FILE_TAKEN;

        if (pair->kept != NULL)
            state = SHS_TLS_FILE_KEPT;
        else if (pair->same)
            state = SHS_TLS_FILE_SAME;
        shs__tls_report_add(report, state, source_of(pair), pair->kept);
        /* Kept together, said once. */
        if (state != SHS_TLS_FILE_KEPT)
            shs__tls_report_add(report, state, pair->from->keyfile, NULL);
        if (pair->ocsp.kept)
            shs__tls_report_add(report, SHS_TLS_FILE_KEPT, pair->from->ocspfile, pair->ocsp.note);
        else
            shs__tls_report_add(report,
                                shs__tls_ocsp_same(&pair->ocsp, &before->pairs[i].ocsp)
                                    ? SHS_TLS_FILE_SAME
                                    : SHS_TLS_FILE_TAKEN,
                                pair->from->ocspfile, NULL);
    }
    report->valid_at = self->valid_at;
}

/* What the two ways to make one have in common. */
struct recipe {
    const struct shs_tls_config *config;
    struct shs_tls_tickets *tickets;
    struct shs_tls_deny *deny;
    const struct shs_tls_context *before;
    struct shs_tls_report *report;
    int64_t now;
    bool strict;
};

/* May connections leave libssl? Under FIPS it is the validated module's protocol that counts. */
static void open_records(struct shs_tls_context *self)
{
    if (self->config->config.records != SHS_TLS_RECORDS_DIRECT)
        return;
    self->stays = SHS_TLS_STAYS_FIPS;
    if (EVP_default_properties_is_fips_enabled(NULL) == 1)
        return;
    self->suites = shs__tls_suites_new();
    self->stays = self->suites == NULL ? SHS_TLS_STAYS_SUITE : SHS_TLS_STAYS_NOT_YET;
}

static int fill(struct shs_tls_context *self, const struct recipe *of, struct shs_error *err)
{
    int rc = load_clients(self, of->before, of->report, err);

    if (rc == SHS_OK)
        rc = load_pairs(self, of->before, of->now, of->strict, err);
    if (rc == SHS_OK)
        rc = open_keylog(self, of->before, of->report, err);
    if (rc == SHS_OK)
        rc = settle(self, of->before, of->now, err);
    if (rc == SHS_OK && of->before != NULL)
        report_pairs(self, of->before, of->report);
    return rc;
}

static int make(struct shs_tls_context **out, const struct recipe *of, struct shs_error *err)
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
    rc = shs__tls_config_copy(copy, of->config, err);
    if (rc != SHS_OK) {
        shs__free(copy);
        goto out;
    }
    self->config = copy;
    self->fingerprint = copy->config.fingerprint;
    open_records(self);
    self->beside = of->before != NULL;
    self->valid_at = INT64_MAX;
    self->tickets = shs__tls_tickets_ref(of->tickets);
    self->deny = of->deny == NULL ? NULL : shs__tls_deny_ref(of->deny);
    rc = fill(self, of, err);
    if (rc != SHS_OK)
        goto out;
    *out = self;
    self = NULL;
out:
    shs__tls_context_free(self);
    ERR_clear_error();
    return rc;
}

int shs__tls_context_build(struct shs_tls_context **out, const struct shs_tls_config *config,
                           struct shs_tls_tickets *tickets, struct shs_tls_deny *deny, int64_t now,
                           bool strict, struct shs_error *err)
{
    const struct recipe recipe = {
        .config = config, .tickets = tickets, .deny = deny, .now = now, .strict = strict};

    return make(out, &recipe, err);
}

int shs__tls_context_rebuild(struct shs_tls_context **out, const struct shs_tls_context *before,
                             int64_t now, struct shs_tls_report *report, struct shs_error *err)
{
    const struct recipe recipe = {
        .config = &before->config->config,
        .tickets = before->tickets,
        .deny = before->deny,
        .before = before,
        .report = report,
        .now = now,
    };

    return make(out, &recipe, err);
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
        return shs_error_set(err, rc, 0, "%s", shs__tls_tickets_trouble(rc));
    rc = shs__tls_context_build(out, &simple.config, tickets, NULL,
                                shs__wall_s(simple.config.clock_offset_s), false, err);
    shs__tls_tickets_free(tickets);
    return rc;
}

int64_t shs__tls_now(const struct shs_tls_context *self)
{
    return shs__wall_s(self->config->config.clock_offset_s);
}

bool shs__tls_context_same_rules(const struct shs_tls_context *a, const struct shs_tls_context *b)
{
    bool same = a->config->config.host_count == b->config->config.host_count;

    for (size_t h = 0; same && h < a->config->config.host_count; h++)
        same =
            memcmp(a->clients[h]->digest, b->clients[h]->digest, sizeof a->clients[h]->digest) == 0;
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
    shs__tls_sites_free(self);
    for (size_t i = 0; i < self->pair_count; i++) {
        shs__tls_identity_free(&self->pairs[i].identity);
        shs__tls_ocsp_free(&self->pairs[i].ocsp);
        shs__free(self->pairs[i].kept);
    }
    for (size_t h = 0; self->clients != NULL && h < self->config->config.host_count; h++)
        drop_rules(self->clients[h]);
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
    shs__tls_live_keylog_free(self->live);
}

void shs__tls_context_free(struct shs_tls_context *self)
{
    if (self == NULL || atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(self->ssl_ctx);
    free_server_part(self);
    shs__tls_suites_free(self->suites);
    BIO_meth_free(self->bio_method);
    shs__free(self);
}
