/*
 * advice.c - what the owner of the certificates should know, and the list of them.
 */
#include <stdio.h>

#include "tls/clients/client.h"
#include "tls/config/config.h"
#include "tls/config/context.h"
#include "tls/config/site.h"

#define RSA_BITS_ADVISED 3072
#define DAYS_WARNED 14
#define DAY 86400
#define NAMES_MAX 4096

/* The certificate's dates against `now`; false when there is nothing to say. */
static bool advise_dates(const X509 *leaf, int64_t now, struct shs_error *note)
{
    int64_t left = shs__tls_time(X509_get0_notAfter(leaf)) - now;

    if (left < 0)
        shs_error_set(
            note, SHS_TLS, 0,
            "The certificate has expired (%d days ago): clients will refuse it. Renew it.",
            (int)(-left / DAY));
    else if (shs__tls_time(X509_get0_notBefore(leaf)) > now)
        shs_error_set(note, SHS_TLS, 0,
                      "The certificate is not valid yet: clients will refuse it. Is the clock of "
                      "this machine right?");
    else if (left < (int64_t)DAYS_WARNED * DAY)
        shs_error_set(note, SHS_TLS, 0, "The certificate expires in less than %d days. Renew it.",
                      (int)(left / DAY) + 1);
    else
        return false;
    return true;
}

static bool advise_key(const X509 *leaf, struct shs_error *note)
{
    EVP_PKEY *key = X509_get0_pubkey(leaf);

    if (key == NULL || !EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) <= RSA_BITS_ADVISED)
        return false;
    shs_error_set(note, SHS_TLS, 0,
                  "The certificate has an RSA key of %d bits: a handshake costs about ten times "
                  "that of 2048 bits, and more of P-256. Consider an EC P-256 key.",
                  EVP_PKEY_get_bits(key));
    return true;
}

static bool advise_chain(const struct shs_tls_pair *pair, struct shs_error *note)
{
    if (pair->unused == 0)
        return false;
    shs_error_set(note, SHS_TLS, 0,
                  "%u certificate(s) in '%s' are not part of the chain and are not sent.",
                  pair->unused, pair->from->certfile == NULL ? "cert_pem" : pair->from->certfile);
    return true;
}

static bool advise_staple(const struct shs_tls_pair *pair, struct shs_error *note)
{
    if (pair->ocsp.der != NULL || !shs__tls_must_staple(pair->identity.leaf))
        return false;
    shs_error_set(note, SHS_TLS, 0,
                  "The certificate demands a stapled OCSP response (must-staple), and no file with "
                  "one is given: clients that look will refuse it.");
    return true;
}

bool shs__tls_context_advice(const struct shs_tls_context *self, unsigned index, int64_t now,
                             struct shs_error *note)
{
    size_t hosts = self->config == NULL ? 0 : self->config->config.host_count;
    unsigned said = 0;

    for (size_t i = 0; i < self->pair_count; i++) {
        const struct shs_tls_pair *pair = &self->pairs[i];

        if ((advise_dates(pair->identity.leaf, now, note) && said++ == index) ||
            (advise_key(pair->identity.leaf, note) && said++ == index) ||
            (advise_chain(pair, note) && said++ == index) ||
            (advise_staple(pair, note) && said++ == index))
            return true;
    }
    for (size_t h = 0; h < hosts; h++) {
        for (unsigned i = 0; shs__tls_clients_advice(&self->clients[h], i, now, note); i++) {
            if (said++ == index)
                return true;
        }
    }
    return false;
}

int64_t shs__tls_context_expiry(const struct shs_tls_context *self)
{
    int64_t first = INT64_MAX, t;

    for (size_t i = 0; i < self->pair_count; i++) {
        t = shs__tls_time(X509_get0_notAfter(self->pairs[i].identity.leaf));
        if (t < first)
            first = t;
    }
    return first;
}

void shs__tls_context_each(const struct shs_tls_context *self,
                           void (*each)(void *ctx, const struct shs_tls_cert_info *cert), void *ctx)
{
    for (size_t i = 0; i < self->pair_count; i++) {
        const struct shs_tls_pair *pair = &self->pairs[i];
        struct shs_client_record *record = NULL;
        struct shs_tls_cert_info info;
        char names[NAMES_MAX] = "";
        size_t used = 0;

        if (shs__client_record_new(&record, pair->identity.leaf) != SHS_OK)
            return;
        for (size_t k = 0; k < pair->name_count && used + pair->names[k].len + 2 < NAMES_MAX; k++) {
            if (used > 0)
                names[used++] = ' ';
            memcpy(names + used, pair->names[k].ptr, pair->names[k].len);
            used += pair->names[k].len;
        }
        names[used] = '\0';
        info = (struct shs_tls_cert_info){
            .source = pair->from->certfile == NULL ? "cert_pem" : pair->from->certfile,
            .subject = record->identity.subject.ptr,
            .serial = record->identity.serial.ptr,
            .sha256 = record->identity.cert_sha256,
            .names = names,
            .not_before = record->identity.not_before,
            .not_after = record->identity.not_after,
        };
        each(ctx, &info);
        shs__client_record_free(record);
    }
}
