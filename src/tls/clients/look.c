#include "tls/clients/look.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/clients/client.h"
#include "tls/clients/clients.h"
#include "tls/config/pem.h"
#include "tls/config/source.h"
#include "tls/openssl.h"

/* What a client may send: 32 KiB (site.c), in base64 and with words between. */
#define FILE_MAX ((size_t)1024 * 1024)
/* As a handshake has it (site.c). */
#define AUTH_LEVEL 2

struct shs_client_look {
    struct shs_client_record *record; /* NULL: refused */
    struct shs_error why;
};

static int read_blocks(const struct shs_buf *bytes, const char *name, STACK_OF(X509) * certs,
                       struct shs_error *err)
{
    struct shs_tls_pem_block block;
    struct shs_tls_pem pem;
    int rc = SHS_OK;

    shs__tls_pem_begin(&pem, shs__buf_head(bytes), bytes->len, name);
    while (rc == SHS_OK && (rc = shs__tls_pem_next(&pem, &block, err)) == SHS_OK) {
        X509 *cert = NULL;

        if (shs__tls_pem_is_certificate(&block))
            rc = shs__tls_pem_certificate(&cert, &pem, &block, err);
        if (cert != NULL && sk_X509_push(certs, cert) == 0) {
            X509_free(cert);
            rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a certificate.");
        }
        shs__tls_pem_drop(&block);
    }
    return rc == SHS_CLOSED ? SHS_OK : rc;
}

static int read_file(const char *file, STACK_OF(X509) * certs, struct shs_error *err)
{
    char named[sizeof(struct shs_tls_path_name) + 32];
    struct shs_tls_path_name name;
    struct shs_buf bytes;
    int rc = shs__tls_read_file(&bytes, file, FILE_MAX, "certificate", err);

    shs__tls_path_name(&name, file);
    snprintf(named, sizeof named, "the file %s", name.text);
    if (rc == SHS_OK && bytes.len > 0)
        rc = read_blocks(&bytes, named, certs, err);
    shs__buf_free(&bytes);
    if (rc == SHS_OK && sk_X509_num(certs) == 0)
        rc = shs_error_set(err, SHS_TLS, 0, "There is no certificate (PEM) in %s.", named);
    return rc;
}

static int judge(struct shs_client_look *self, STACK_OF(X509) * certs,
                 const struct shs_tls_clients *clients)
{
    X509 *leaf = sk_X509_shift(certs);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    struct shs_tls_refusal refusal;
    struct shs_tls_until until;
    int rc = SHS_NOMEM;

    if (ctx != NULL && shs__tls_clients_prepare(ctx, clients, leaf, certs, AUTH_LEVEL)) {
        rc = SHS_OK;
        if (!shs__tls_clients_judge(ctx, clients, NULL, &until, &refusal, &self->record)) {
            shs__client_record_free(self->record);
            self->record = NULL;
            shs__tls_refusal_text(&self->why, refusal.reason, &refusal);
        } else {
            self->record->identity.reason = SHS_CLIENT_OK;
        }
    }
    X509_STORE_CTX_free(ctx);
    X509_free(leaf);
    ERR_clear_error();
    return rc;
}

int shs__client_look_new(struct shs_client_look **out, const char *certfile,
                         const struct shs_tls_host *host, struct shs_error *err)
{
    struct shs_client_look *self = shs__openssl_ready() ? shs__calloc(1, sizeof *self) : NULL;
    STACK_OF(X509) *certs = sk_X509_new_null();
    struct shs_tls_clients clients;
    int rc = SHS_NOMEM;

    memset(&clients, 0, sizeof clients);
    if (self != NULL && certs != NULL) {
        rc = read_file(certfile, certs, err);
        if (rc == SHS_OK)
            rc = shs__tls_clients_load(&clients, host, err);
        if (rc == SHS_OK)
            rc = judge(self, certs, &clients);
    }
    shs__tls_clients_free(&clients);
    sk_X509_pop_free(certs, X509_free);
    if (rc != SHS_OK) {
        shs__client_look_free(self);
        return rc == SHS_NOMEM ? shs_error_set(err, rc, 0, "Out of memory for a certificate.") : rc;
    }
    *out = self;
    return SHS_OK;
}

void shs__client_look_free(struct shs_client_look *self)
{
    if (self == NULL)
        return;
    shs__client_record_free(self->record);
    shs__free(self);
}

const struct shs_client_identity *shs__client_look_identity(const struct shs_client_look *self,
                                                            const char **why)
{
    *why = self->why.text;
    return self->record == NULL ? NULL : &self->record->identity;
}
