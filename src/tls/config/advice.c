/*
 * advice.c - what the owner of the certificates should know, and the list of them.
 */
#include <stdio.h>

#include <openssl/x509v3.h>

#include "tls/clients/client.h"
#include "tls/config/config.h"
#include "tls/config/context.h"
#include "tls/config/site.h"
#include "tls/config/source.h"

#define RSA_BITS_ADVISED 3072
#define DAY 86400
#define NAMES_MAX 4096

/* Days before its end at which a certificate is spoken of while it is served; 0: it has ended. */
static const int64_t days_warned[] = {30, 7, 1, 0};

/* "certificate in 'a.pem'" */
struct naming {
    struct shs_tls_path_name path;
};

static const char *name_of(struct naming *to, const struct shs_tls_pair *pair)
{
    if (pair->from->certfile == NULL)
        return "cert_pem";
    shs__tls_path_name(&to->path, pair->from->certfile);
    return to->path.text;
}

/* The certificate's dates against `now`; false when there is nothing to say. */
static bool advise_dates(const struct shs_tls_pair *pair, int64_t now, struct shs_error *note)
{
    int64_t left = pair->not_after - now;
    struct naming name;

    if (left <= 0)
        shs_error_set(note, SHS_TLS, 0,
                      "The certificate in %s has expired (%d days ago): clients will refuse it. "
                      "Renew it.",
                      name_of(&name, pair), (int)(-left / DAY));
    else if (pair->not_before > now)
        shs_error_set(note, SHS_TLS, 0,
                      "The certificate in %s is not valid yet: clients will refuse it. Is the "
                      "clock of this machine right?",
                      name_of(&name, pair));
    else if (left <= days_warned[0] * DAY)
        shs_error_set(note, SHS_TLS, 0,
                      "The certificate in %s expires in less than %d day%s. Renew it.",
                      name_of(&name, pair), (int)(left / DAY) + 1, left < DAY ? "" : "s");
    else
        return false;
    return true;
}

/* Clients of today look for names in subjectAltName, and nowhere else (RFC 9525, 2). */
static bool advise_names(const struct shs_tls_pair *pair, struct shs_error *note)
{
    struct naming name;

    if (X509_get_ext_by_NID(pair->identity.leaf, NID_subject_alt_name, -1) >= 0)
        return false;
    shs_error_set(note, SHS_TLS, 0,
                  "The certificate in %s has no subjectAltName: clients of today refuse it, "
                  "whatever its common name is. Have it made with one.",
                  name_of(&name, pair));
    return true;
}

static bool advise_private(const char *path, const char *what, const char *who,
                           struct shs_error *note)
{
    struct shs_tls_path_name name;

    if (path == NULL || !shs__tls_open_to_others(path))
        return false;
    shs__tls_path_name(&name, path);
    shs_error_set(note, SHS_TLS, 0, "Others may read or write %s '%.90s', and then %s: chmod o= %s",
                  what, path, who, name.text);
    return true;
}

/* The file that has the private key in it. */
static bool advise_secret(const struct shs_tls_pair *pair, struct shs_error *note)
{
    const char *path = pair->from->keyfile != NULL || pair->from->key_pem != NULL
                           ? pair->from->keyfile
                           : pair->from->certfile;

    return advise_private(path, "the private key", "pretend to be this server", note);
}

static bool advise_kept(const struct shs_tls_pair *pair, struct shs_error *note)
{
    if (pair->ocsp.note == NULL || pair->ocsp.kept)
        return false;
    *note = *pair->ocsp.note;
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

static bool advise_staple(const struct shs_tls_pair *pair, int64_t now, struct shs_error *note)
{
    struct naming name;

    if (shs__tls_ocsp_fits(&pair->ocsp, now) || !shs__tls_must_staple(pair->identity.leaf))
        return false;
    shs_error_set(note, SHS_TLS, 0,
                  "The certificate in %s demands a stapled OCSP response (must-staple), and there "
                  "is none to staple: clients that look will refuse it.",
                  name_of(&name, pair));
    return true;
}

static bool advise_pair(const struct shs_tls_pair *pair, unsigned index, unsigned *said,
                        int64_t now, struct shs_error *note)
{
    return (advise_dates(pair, now, note) && (*said)++ == index) ||
           (advise_names(pair, note) && (*said)++ == index) ||
           (advise_key(pair->identity.leaf, note) && (*said)++ == index) ||
           (advise_chain(pair, note) && (*said)++ == index) ||
           (advise_kept(pair, note) && (*said)++ == index) ||
           (advise_staple(pair, now, note) && (*said)++ == index) ||
           (advise_secret(pair, note) && (*said)++ == index);
}

bool shs__tls_context_advice(const struct shs_tls_context *self, unsigned index, int64_t now,
                             struct shs_error *note)
{
    const struct shs_tls_config *config = self->config == NULL ? NULL : &self->config->config;
    size_t hosts = config == NULL ? 0 : config->host_count;
    unsigned said = 0;

    for (size_t i = 0; i < self->pair_count; i++) {
        if (advise_pair(&self->pairs[i], index, &said, now, note))
            return true;
    }
    for (size_t h = 0; h < hosts; h++) {
        for (unsigned i = 0; shs__tls_clients_advice(self->clients[h], i, now, note); i++) {
            if (said++ == index)
                return true;
        }
    }
    return config != NULL &&
           ((advise_private(config->keylog, "the key log", "decrypt the traffic", note) &&
             said++ == index) ||
            (advise_private(config->ticket_secret, "the ticket secret", "decrypt the traffic",
                            note) &&
             said++ == index));
}

/* -- what becomes due while it is served ------------------------------------------------------- */

/* The last moment of these two in (since, now]. */
static bool is_due(int64_t when, int64_t since, int64_t now)
{
    return since < when && when <= now;
}

static bool pair_is_due(const struct shs_tls_pair *pair, int64_t since, int64_t now)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(days_warned); i++) {
        if (is_due(pair->not_after - days_warned[i] * DAY, since, now))
            return true;
    }
    return false;
}

static bool staple_is_due(const struct shs_tls_pair *pair, int64_t since, int64_t now,
                          struct shs_error *note)
{
    struct shs_tls_path_name name;

    if (pair->ocsp.der == NULL || !is_due(pair->ocsp.next_update, since, now))
        return false;
    shs__tls_path_name(&name, pair->from->ocspfile);
    shs_error_set(note, SHS_TLS, 0,
                  "The OCSP response in %s has become stale, and is not stapled any more. Fetch a "
                  "new one.",
                  name.text);
    return true;
}

bool shs__tls_context_due(const struct shs_tls_context *self, unsigned index, int64_t since,
                          int64_t now, struct shs_error *note)
{
    unsigned said = 0;

    for (size_t i = 0; i < self->pair_count; i++) {
        const struct shs_tls_pair *pair = &self->pairs[i];

        if ((pair_is_due(pair, since, now) && advise_dates(pair, now, note) && said++ == index) ||
            (staple_is_due(pair, since, now, note) && said++ == index))
            return true;
    }
    return false;
}

int64_t shs__tls_context_next_due(const struct shs_tls_context *self, int64_t now)
{
    int64_t next = INT64_MAX, when;

    for (size_t i = 0; i < self->pair_count; i++) {
        const struct shs_tls_pair *pair = &self->pairs[i];

        for (size_t k = 0; k < SHS_ARRAY_LEN(days_warned); k++) {
            when = pair->not_after - days_warned[k] * DAY;
            if (when > now && when < next)
                next = when;
        }
        when = pair->ocsp.der == NULL ? INT64_MAX : pair->ocsp.next_update;
        if (when > now && when < next)
            next = when;
    }
    return next;
}

int64_t shs__tls_context_expiry(const struct shs_tls_context *self)
{
    int64_t first = INT64_MAX;

    for (size_t i = 0; i < self->pair_count; i++) {
        if (self->pairs[i].not_after < first)
            first = self->pairs[i].not_after;
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
