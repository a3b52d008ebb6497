/*
 * sites.c - from certificates to names, to periods, to sites.
 *
 * Several certificates may fit a name, and which of them are in their dates changes with time. So a
 * name has periods, computed once: in each, the certificates that are valid then; or, when none is,
 * those that come first. A wildcard's stand in for an exact name's while none of those is valid;
 * and for clients that can do nothing with the keys of those that are.
 * All are of the first host that has the name: another host may ask other things of its clients.
 */
#include <stdlib.h>

#include <openssl/err.h>

#include <shs/digest.h>

#include "tls/config/config.h"
#include "tls/config/names.h"
#include "tls/config/site.h"

/* Periods that ended longer ago are left out: clocks are set back by hours, not by years. */
#define PAST_S 86400
#define CHOICES_MAX 64 /* certificates for one name; more are not looked at */

/* The certificates that answer for a name. */
struct tuple {
    unsigned host;
    const struct shs_tls_pair *pairs[SHS_TLS_KINDS];
    bool stands_in[SHS_TLS_KINDS]; /* it is a wildcard's, beside the name's own */
    const char *name;
};

/* A certificate that has a name. */
struct claim {
    unsigned name;
    unsigned order;
    const struct shs_tls_pair *pair;
    struct shs_str text;
};

/* A name's certificates: its own, and those of a wildcard. */
struct choices {
    const struct shs_tls_pair *own[CHOICES_MAX], *wild[CHOICES_MAX];
    size_t own_count, wild_count;
    unsigned host;
    const char *name;
};

struct maker {
    struct shs_tls_context *context;
    struct claim *claims;
    size_t claim_count;
    size_t *first_claim; /* of each name; and one more, the end */
    unsigned name_count;
    struct tuple *tuples; /* of each period */
    size_t period_count, period_cap;
    int64_t now;
};

static int nomem(struct shs_error *err)
{
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory while setting up TLS.");
}

/* -- who claims which name --------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;

    if (x->name != y->name)
        return x->name < y->name ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* All claims, in the order of names, and of certificates within a name. */
static int gather_claims(struct maker *m)
{
    const struct shs_tls_context *context = m->context;
    size_t names = 0, at = 0;

    for (size_t i = 0; i < context->pair_count; i++)
        names += context->pairs[i].name_count;
    m->claims = shs__calloc(names + 1, sizeof *m->claims);
    m->first_claim = shs__calloc(names + 2, sizeof *m->first_claim);
    if (m->claims == NULL || m->first_claim == NULL ||
        shs__tls_names_new(&m->context->names, names) != SHS_OK)
        return SHS_NOMEM;
    for (size_t i = 0; i < context->pair_count; i++) {
        const struct shs_tls_pair *pair = &context->pairs[i];

        for (size_t k = 0; k < pair->name_count; k++) {
            unsigned name = m->name_count;

            if (!shs__tls_names_add(m->context->names, pair->names[k], &name))
                continue; /* no name that a client can ask for */
            m->name_count += name == m->name_count;
            m->claims[m->claim_count] =
                (struct claim){name, (unsigned)m->claim_count, pair, pair->names[k]};
            m->claim_count++;
        }
    }
    if (!shs__tls_names_complete(m->context->names))
        return SHS_NOMEM;
    if (m->claim_count > 0)
        qsort(m->claims, m->claim_count, sizeof *m->claims, by_name);
    for (size_t i = 0; i < m->claim_count; i++) {
        if (i == 0 || m->claims[i].name != m->claims[i - 1].name)
            m->first_claim[at++] = i;
    }
    m->first_claim[at] = m->claim_count;
    return SHS_OK;
}

static size_t collect(const struct maker *m, unsigned name, unsigned host,
                      const struct shs_tls_pair *to[CHOICES_MAX])
{
    size_t count = 0;

    for (size_t i = m->first_claim[name]; i < m->first_claim[name + 1]; i++) {
        const struct shs_tls_pair *pair = m->claims[i].pair;

        if (pair->host == host && count < CHOICES_MAX && (count == 0 || to[count - 1] != pair))
            to[count++] = pair;
    }
    return count;
}

static void choices_of(const struct maker *m, unsigned name, struct choices *out)
{
    const struct claim *first = &m->claims[m->first_claim[name]];
    unsigned wild;

    out->host = first->pair->host;
    out->name = first->text.ptr;
    out->wild_count = 0;
    out->own_count = collect(m, name, out->host, out->own);
    if (first->text.ptr[0] != '*' &&
        shs__tls_names_find_wild(m->context->names, first->text, &wild))
        out->wild_count = collect(m, wild, out->host, out->wild);
}

/* For clients that ask for no name: the first certificate's, or what else has no name. */
static void default_choices(const struct maker *m, struct choices *out)
{
    const struct shs_tls_context *context = m->context;
    const struct shs_tls_pair *first = &context->pairs[0];

    *out = (struct choices){.own = {first}, .own_count = 1};
    for (size_t i = 1; i < context->pair_count && first->name_count == 0; i++) {
        const struct shs_tls_pair *pair = &context->pairs[i];

        if (pair->host == 0 && pair->name_count == 0 && out->own_count < CHOICES_MAX)
            out->own[out->own_count++] = pair;
    }
}

/* -- who answers, and when --------------------------------------------------------------------- */

/* The first of each kind; only those that are valid at `when`, unless that is INT64_MIN. */
static bool first_of_each(struct tuple *tuple, const struct shs_tls_pair *const *pairs,
                          size_t count, int64_t when)
{
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        const struct shs_tls_pair *pair = pairs[i];

        if ((when == INT64_MIN || shs__tls_pair_valid(pair, when)) &&
            tuple->pairs[pair->kind] == NULL) {
            tuple->pairs[pair->kind] = pair;
            any = true;
        }
    }
    return any;
}

/*
 * The name's own are valid, but not every client takes keys of their kinds: one that can do RSA
 * only finds no EC key. A key that everybody takes needs nothing beside it, or the other would be
 * taken before it.
 */
static void add_stand_ins(struct tuple *tuple, const struct choices *from, int64_t when)
{
    struct tuple wild = {.host = from->host};

    if (tuple->pairs[SHS_TLS_KIND_RSA] != NULL ||
        !first_of_each(&wild, from->wild, from->wild_count, when))
        return;
    for (int kind = SHS_TLS_KIND_EC; kind <= SHS_TLS_KIND_RSA; kind++) {
        if (tuple->pairs[kind] != NULL || wild.pairs[kind] == NULL)
            continue;
        tuple->pairs[kind] = wild.pairs[kind];
        tuple->stands_in[kind] = true;
    }
}

static struct tuple choose(const struct choices *from, int64_t when)
{
    struct tuple tuple = {.host = from->host, .name = from->name};

    if (first_of_each(&tuple, from->own, from->own_count, when))
        add_stand_ins(&tuple, from, when);
    else if (!first_of_each(&tuple, from->wild, from->wild_count, when))
        (void)first_of_each(&tuple, from->own, from->own_count, INT64_MIN);
    return tuple;
}

/* The next moment after `when` at which a certificate's dates begin or end; INT64_MAX. */
static int64_t next_change(const struct choices *from, int64_t when)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < from->own_count + from->wild_count; i++) {
        const struct shs_tls_pair *pair =
            i < from->own_count ? from->own[i] : from->wild[i - from->own_count];

        if (pair->not_before > when && pair->not_before < next)
            next = pair->not_before;
        if (pair->not_after > when && pair->not_after < next)
            next = pair->not_after;
    }
    return next;
}

static bool same_pairs(const struct tuple *a, const struct tuple *b)
{
    return memcmp(a->pairs, b->pairs, sizeof a->pairs) == 0 &&
           memcmp(a->stands_in, b->stands_in, sizeof a->stands_in) == 0;
}

/* Both arrays grow together: a period, and the certificates of it. */
static int add_period(struct maker *m, int64_t until, const struct tuple *tuple)
{
    struct shs_tls_context *context = m->context;
    size_t cap = m->period_cap == 0 ? 64 : m->period_cap * 2;
    void *periods, *tuples;

    if (m->period_count == m->period_cap) {
        periods = shs__realloc(context->periods, cap * sizeof *context->periods);
        if (periods == NULL)
            return SHS_NOMEM;
        context->periods = periods;
        tuples = shs__realloc(m->tuples, cap * sizeof *m->tuples);
        if (tuples == NULL)
            return SHS_NOMEM;
        m->tuples = tuples;
        m->period_cap = cap;
    }
    context->periods[m->period_count] = (struct shs_tls_period){.until = until};
    m->tuples[m->period_count++] = *tuple;
    return SHS_OK;
}

/* The periods of a name, from a day ago on. *first is the number of its first. */
static int add_periods(struct maker *m, const struct choices *from, unsigned *first)
{
    int64_t when = m->now - PAST_S, next;
    struct tuple tuple = choose(from, when), then;
    int rc = SHS_OK;

    *first = (unsigned)m->period_count;
    while (rc == SHS_OK && (next = next_change(from, when)) != INT64_MAX) {
        then = choose(from, next);
        if (!same_pairs(&tuple, &then))
            rc = add_period(m, next, &tuple);
        tuple = then;
        when = next;
    }
    return rc == SHS_OK ? add_period(m, INT64_MAX, &tuple) : rc;
}

static int make_periods(struct maker *m)
{
    struct shs_tls_context *context = m->context;
    const struct shs_tls_pair *first = &context->pairs[0];
    unsigned name = 0, probe;
    struct choices choices;
    bool named = false;
    int rc = SHS_OK;

    context->period_of_name = shs__calloc(m->name_count + 1, sizeof *context->period_of_name);
    if (context->period_of_name == NULL)
        return SHS_NOMEM;
    for (unsigned i = 0; rc == SHS_OK && i < m->name_count; i++) {
        choices_of(m, i, &choices);
        rc = add_periods(m, &choices, &context->period_of_name[i]);
    }
    for (size_t k = 0; !named && k < first->name_count; k++) {
        probe = m->name_count; /* it is there already, or it is not a name */
        named =
            shs__tls_names_add(context->names, first->names[k], &probe) && probe < m->name_count;
        name = probe;
    }
    if (rc != SHS_OK || named) {
        context->default_period = named ? context->period_of_name[name] : 0;
        return rc;
    }
    default_choices(m, &choices);
    return add_periods(m, &choices, &context->default_period);
}

/* -- the sites --------------------------------------------------------------------------------- */

/* By whom a ticket is good. A scope that could not be made would be somebody else's, too. */
static int scope_of(struct shs_tls_site *site, unsigned host, struct shs_error *err)
{
    const struct shs_tls_host *h = site->host;
    unsigned char fixed[16] = {'s', 'h', 's', '1'};
    struct shs_sha256 *sha = NULL;
    int rc;

    fixed[4] = (unsigned char)h->client_auth;
    fixed[5] = (unsigned char)((h->client_lax ? 1 : 0) | (h->client_partial ? 2 : 0));
    fixed[6] = (unsigned char)h->client_depth;
    fixed[7] = (unsigned char)(h->crl != NULL);
    memcpy(fixed + 8, &host, sizeof host);
    rc = shs_sha256_new(&sha);
    if (rc == SHS_OK)
        rc = shs_sha256_update(sha, fixed, sizeof fixed);
    if (rc == SHS_OK)
        rc = shs_sha256_update(sha, site->clients->digest, sizeof site->clients->digest);
    if (rc == SHS_OK && site->name != NULL)
        rc = shs_sha256_update(sha, site->name, strlen(site->name));
    if (rc == SHS_OK)
        rc = shs_sha256_final(sha, site->scope);
    shs_sha256_free(sha);
    if (rc != SHS_OK)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory while setting up TLS.");
    return rc;
}

/* The site of these certificates, which is made if there is none. */
static int find_site(struct shs_tls_context *self, const struct tuple *tuple, unsigned *out,
                     size_t *culprit, struct shs_error *err)
{
    const struct shs_tls_host *host = &self->config->config.hosts[tuple->host];
    struct shs_tls_site *site;
    int rc;

    for (size_t i = self->site_count; i > 0; i--) {
        site = &self->sites[i - 1];
        if (site->host == host && memcmp(site->pairs, tuple->pairs, sizeof site->pairs) == 0 &&
            memcmp(site->stands_in, tuple->stands_in, sizeof site->stands_in) == 0) {
            *out = (unsigned)(i - 1);
            return SHS_OK;
        }
    }
    site = &self->sites[self->site_count];
    site->host = host;
    site->clients = self->clients[tuple->host];
    site->name = tuple->name;
    memcpy(site->pairs, tuple->pairs, sizeof site->pairs);
    memcpy(site->stands_in, tuple->stands_in, sizeof site->stands_in);
    rc = scope_of(site, tuple->host, err);
    if (rc == SHS_OK)
        rc = shs__tls_site_open(site, self, err);
    shs__tls_context_give_way(self);
    if (rc == SHS_OK)
        *out = (unsigned)self->site_count++;
    else if (site->culprit != NULL)
        *culprit = (size_t)(site->culprit - self->pairs);
    return rc;
}

const struct shs_tls_site *shs__tls_site_at(const struct shs_tls_context *context,
                                            unsigned first_period, int64_t now)
{
    const struct shs_tls_period *at = &context->periods[first_period];

    while (at->until <= now && at->until != INT64_MAX)
        at++;
    return &context->sites[at->site];
}

int shs__tls_sites_make(struct shs_tls_context *context, int64_t now, size_t *culprit,
                        struct shs_error *err)
{
    struct maker m = {.context = context, .now = now};
    int rc = gather_claims(&m);

    *culprit = SIZE_MAX;
    if (rc == SHS_OK)
        rc = make_periods(&m);
    if (rc == SHS_OK) {
        context->sites = shs__calloc(m.period_count, sizeof *context->sites);
        rc = context->sites == NULL ? SHS_NOMEM : SHS_OK;
    }
    if (rc != SHS_OK) {
        rc = nomem(err);
        goto out;
    }
    /* The default one first: connections begin with it, and it is what the first message is of. */
    rc = find_site(context, &m.tuples[context->default_period],
                   &context->periods[context->default_period].site, culprit, err);
    for (size_t i = 0; rc == SHS_OK && i < m.period_count; i++)
        rc = find_site(context, &m.tuples[i], &context->periods[i].site, culprit, err);
out:
    shs__free(m.claims);
    shs__free(m.first_claim);
    shs__free(m.tuples);
    return rc;
}

void shs__tls_sites_free(struct shs_tls_context *context)
{
    for (size_t i = 0; i < context->site_count; i++)
        SSL_CTX_free(context->sites[i].ssl_ctx);
    shs__tls_names_free(context->names);
    shs__free(context->period_of_name);
    shs__free(context->periods);
    shs__free(context->sites);
    context->names = NULL;
    context->period_of_name = NULL;
    context->periods = NULL;
    context->sites = NULL;
    context->site_count = 0;
}
