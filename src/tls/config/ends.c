/* ends.c - what of a configuration has an end, and what breaks then. */
#include <stdio.h>

#include "tls/clients/client.h"
#include "tls/clients/clients.h"
#include "tls/config/config.h"
#include "tls/config/context.h"
#include "tls/config/ocsp.h"
#include "tls/config/site.h"
#include "tls/wire/mixin.h"

#define SUBJECT_MAX 256

struct telling {
    void (*each)(void *ctx, const struct shs_tls_end *end);
    void *ctx;
};

static void tell(const struct telling *to, enum shs_tls_end_kind kind, int64_t since, int64_t when,
                 const char *source, const X509_NAME *name, const char *text)
{
    char subject[SUBJECT_MAX] = "";
    const struct shs_tls_end end = {
        .since = since,
        .when = when,
        .source = source,
        .subject = subject,
        .text = text,
        .kind = kind,
    };

    if (when == INT64_MAX)
        return;
    if (name != NULL)
        (void)shs__client_name_text(name, subject, sizeof subject);
    to->each(to->ctx, &end);
}

static void tell_pair(const struct telling *to, const struct shs_tls_pair *pair)
{
    const char *file = pair->from->certfile == NULL ? "cert_pem" : pair->from->certfile;
    X509 *leaf = pair->identity.leaf;

    tell(to, SHS_TLS_END_CERT, pair->not_before, pair->not_after, file, X509_get_subject_name(leaf),
         "the certificate expires: clients refuse this server");
    for (int i = 0; i < sk_X509_num(pair->identity.chain); i++) {
        X509 *ca = sk_X509_value(pair->identity.chain, i);

        tell(to, SHS_TLS_END_CHAIN, shs__tls_time(X509_get0_notBefore(ca)),
             shs__tls_time(X509_get0_notAfter(ca)), file, X509_get_subject_name(ca),
             "a certificate of the chain expires: clients refuse this server");
    }
    if (pair->ocsp.der != NULL)
        tell(to, SHS_TLS_END_OCSP, pair->ocsp.this_update, pair->ocsp.next_update,
             pair->from->ocspfile, NULL,
             shs__tls_must_staple(leaf) ? "the OCSP response is stale and not stapled any more: "
                                          "clients refuse this server, "
                                          "for its certificate demands one (must-staple)"
                                        : "the OCSP response is stale and not stapled any more");
}

static void tell_clients(const struct telling *to, const struct shs_tls_host *host,
                         const struct shs_tls_clients *clients)
{
    const char *file;
    int64_t since, when;
    int ca;

    if (clients->store == NULL)
        return;
    for (int i = 0; i < sk_X509_num(clients->cas.certs); i++) {
        X509 *cert = sk_X509_value(clients->cas.certs, i);

        tell(to, SHS_TLS_END_CLIENT_CA, shs__tls_time(X509_get0_notBefore(cert)),
             shs__tls_time(X509_get0_notAfter(cert)), host->client_ca, X509_get_subject_name(cert),
             "a client CA expires: its clients are refused");
    }
    for (size_t i = 0; shs__tls_crls_end(&clients->crls, i, &since, &when, &ca, &file); i++) {
        char path[sizeof(struct shs_tls_path_name)];

        snprintf(path, sizeof path, "%.*s", (int)strlen(file) - 2, file + 1); /* without quotes */
        tell(to, SHS_TLS_END_CRL, since, when, path,
             X509_get_subject_name(sk_X509_value(clients->cas.certs, ca)),
             "the CRL lapses: clients of its CA are refused");
    }
}

int shs_tls_each_end(struct shs_server *self,
                     void (*each)(void *ctx, const struct shs_tls_end *end), void *ctx)
{
    const struct telling to = {.each = each, .ctx = ctx};
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);
    struct shs_tls_context *context;

    if (mixin == NULL)
        return SHS_USAGE;
    context = shs__tls_mixin_context(mixin);
    for (size_t i = 0; i < context->pair_count; i++)
        tell_pair(&to, &context->pairs[i]);
    for (size_t h = 0; h < context->config->config.host_count; h++)
        tell_clients(&to, &context->config->config.hosts[h], context->clients[h]);
    shs__tls_context_free(context);
    return SHS_OK;
}
