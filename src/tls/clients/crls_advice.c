#include "tls/clients/crl.h"

#include <stdio.h>
#include <time.h>

#include "tls/clients/client.h"

static void time_text(int64_t when, char *buf, size_t cap)
{
    time_t t = (time_t)when;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(buf, cap, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(buf, cap, "long ago");
}

/* A fresh complete one of the same CA. */
static bool has_fresh(const struct shs_tls_crls *self, const struct shs_tls_crl *than, int64_t now)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct shs_tls_crl *item = &self->all[i];

        if (item->ca == than->ca && item->base == NULL && shs__tls_crl_is_fresh(item, now) &&
            X509_NAME_cmp(X509_CRL_get_issuer(item->crl), X509_CRL_get_issuer(than->crl)) == 0)
            return true;
    }
    return false;
}

static void issuer_text(const struct shs_tls_crl *item, char *buf, size_t cap)
{
    if (!shs__client_name_text(X509_CRL_get_issuer(item->crl), buf, cap))
        snprintf(buf, cap, "(no memory for its name)");
}

static void advise_brought(const struct shs_tls_crls *self, const struct shs_tls_crl *item,
                           struct shs_error *note)
{
    char name[64];

    issuer_text(item, name, sizeof name);
    if (shs__tls_crls_has_name_of_ours(self, item->crl)) {
        shs_error_set(note, SHS_TLS, 0,
                      "The CRL in %s is signed with another key than '%s' has in the client CA "
                      "file: it counts for clients that bring a CA with that key along. If that "
                      "key is out of use, take the CRL away.",
                      item->name.text, name);
        return;
    }
    shs_error_set(note, SHS_TLS, 0,
                  "The CRL in %s is of '%s', which is not in the client CA file: it counts for "
                  "clients that bring this CA along, and is checked then.",
                  item->name.text, name);
}

static void advise_early(const struct shs_tls_crls *self, const struct shs_tls_crl *item,
                         int64_t now, struct shs_error *note)
{
    char name[64], since[32];

    issuer_text(item, name, sizeof name);
    time_text(item->since, since, sizeof since);
    shs_error_set(
        note, SHS_TLS, 0, "The %s in %s is not good before %s, its thisUpdate: clients of '%s' %s",
        item->base == NULL ? "CRL" : "delta CRL", item->name.text, since, name,
        has_fresh(self, item, now) ? "are judged by another until then."
                                   : "are refused until then. Is the clock of this machine right?");
}

static void advise_stale(const struct shs_tls_crls *self, const struct shs_tls_crl *item,
                         int64_t now, struct shs_error *note)
{
    char name[64], since[32];

    issuer_text(item, name, sizeof name);
    time_text(item->next, since, sizeof since);
    shs_error_set(note, SHS_TLS, 0,
                  "The %s in %s is past its nextUpdate since %s: clients of '%s' %s",
                  item->base == NULL ? "CRL" : "delta CRL", item->name.text, since, name,
                  has_fresh(self, item, now) ? "are judged by another that is fresh."
                                             : "are refused. Fetch a new one.");
}

/* CAs that no CRL speaks of: their clients will be refused. *first: of them. */
static unsigned count_without(const struct shs_tls_crls *self, int *first)
{
    unsigned count = 0;

    for (int ca = 0; ca < shs__tls_crls_ca_count(self); ca++) {
        bool found = false;

        for (size_t i = 0; !found && i < self->count; i++)
            found =
                self->all[i].base == NULL &&
                (self->all[i].ca == ca ||
                 shs__tls_cas_find(self->cas, shs__tls_crls_ca_at(self, ca)) == self->all[i].ca);
        if (!found && count++ == 0)
            *first = ca;
    }
    return count;
}

bool shs__tls_crls_advice(const struct shs_tls_crls *self, unsigned index, int64_t now,
                          struct shs_error *note)
{
    unsigned said = 0, without;
    char name[64];
    int first = 0;

    for (size_t i = 0; i < self->count; i++) {
        if (self->all[i].next <= now && said++ == index) {
            advise_stale(self, &self->all[i], now, note);
            return true;
        }
        if (self->all[i].since > now && said++ == index) {
            advise_early(self, &self->all[i], now, note);
            return true;
        }
        if (self->all[i].ca == SHS__TLS_CRL_BROUGHT && said++ == index) {
            advise_brought(self, &self->all[i], note);
            return true;
        }
    }
    without = self->count == 0 ? 0 : count_without(self, &first);
    if (without == 0 || said != index)
        return false;
    if (!shs__client_name_text(X509_get_subject_name(shs__tls_crls_ca_at(self, first)), name,
                               sizeof name))
        snprintf(name, sizeof name, "(no memory for its name)");
    shs_error_set(note, SHS_TLS, 0,
                  "%u client CA(s) have no CRL, '%s'%s: with CRLs in use, clients of such a CA are "
                  "refused. Fetch its CRL (a root has one for the CAs below it).",
                  without, name, without > 1 ? " and others" : "");
    return true;
}

/* Do they cover the same? A delta never stands in for a whole one, nor one part for another. */
static bool is_alike(const struct shs_tls_crl *a, const struct shs_tls_crl *b)
{
    return a->ca == b->ca && (a->base == NULL) == (b->base == NULL) && a->point == NULL &&
           b->point == NULL;
}

bool shs__tls_crls_end(const struct shs_tls_crls *self, size_t i, int64_t *since, int64_t *when,
                       int *ca, const char **file)
{
    if (i >= self->count)
        return false;
    *since = self->all[i].since;
    *when = self->all[i].next;
    *ca = self->all[i].ca;
    *file = self->all[i].name.text;
    for (size_t k = 0; k < self->count; k++) {
        if (k != i && is_alike(&self->all[k], &self->all[i]) &&
            (self->all[k].next > *when || (self->all[k].next == *when && k < i))) {
            *when = INT64_MAX;
            break;
        }
    }
    return true;
}
