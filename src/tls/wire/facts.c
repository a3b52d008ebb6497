#include "tls/wire/facts.h"

#include <openssl/obj_mac.h>

#include "tls/clients/keys.h"
#include "tls/config/config.h"
#include "tls/config/context.h"
#include "tls/config/site.h"

/* The names of RFC 8446, 4.2.7. */
static const char *group_name(SSL *ssl)
{
    switch (SSL_get_negotiated_group(ssl)) {
    case NID_X25519:
        return "x25519";
    case NID_X448:
        return "x448";
    case NID_X9_62_prime256v1:
        return "secp256r1";
    case NID_secp384r1:
        return "secp384r1";
    case NID_secp521r1:
        return "secp521r1";
    default:
        return "";
    }
}

/* The names of RFC 8446, 4.2.3. */
static const char *signature_name(SSL *ssl)
{
    int kind = 0, hash = 0;

    if (SSL_session_reused(ssl) == 1 || SSL_get_signature_type_nid(ssl, &kind) != 1)
        return "";
    (void)SSL_get_signature_nid(ssl, &hash);
    switch (kind) {
    case EVP_PKEY_ED25519:
        return "ed25519";
    case EVP_PKEY_ED448:
        return "ed448";
    case EVP_PKEY_EC:
        return hash == NID_sha256   ? "ecdsa_secp256r1_sha256"
               : hash == NID_sha384 ? "ecdsa_secp384r1_sha384"
                                    : "ecdsa_secp521r1_sha512";
    case EVP_PKEY_RSA_PSS:
        return hash == NID_sha256   ? "rsa_pss_rsae_sha256"
               : hash == NID_sha384 ? "rsa_pss_rsae_sha384"
                                    : "rsa_pss_rsae_sha512";
    case EVP_PKEY_RSA:
        return hash == NID_sha256   ? "rsa_pkcs1_sha256"
               : hash == NID_sha384 ? "rsa_pkcs1_sha384"
                                    : "rsa_pkcs1_sha512";
    default:
        return "";
    }
}

/* As a string: the one of ours that was agreed on. */
static const char *alpn_name(SSL *ssl, const struct shs_tls_context *context)
{
    const char *const *ours = context->config == NULL ? NULL : context->config->config.alpn;
    const unsigned char *name = NULL;
    unsigned len = 0;

    SSL_get0_alpn_selected(ssl, &name, &len);
    for (; len > 0 && ours != NULL && *ours != NULL; ours++) {
        if (strlen(*ours) == len && memcmp(*ours, name, len) == 0)
            return *ours;
    }
    return "";
}

/* Of a client with a certificate. */
static int take_client(struct shs_tls_facts *self, SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    struct shs_client_keys keys;

    self->peer = SSL_get1_peer_certificate(ssl);
    if (self->peer == NULL)
        return SHS_OK;
    if (chain != NULL && (self->chain = X509_chain_up_ref(chain)) == NULL)
        return SHS_NOMEM;
    /* Of a resumed session there was no chain in this handshake; its ticket says it. */
    if (!shs__tls_client_keys(ssl, &keys))
        return SHS_OK;
    self->cas = shs__malloc(sizeof keys);
    if (self->cas == NULL)
        return SHS_NOMEM;
    *self->cas = keys;
    return SHS_OK;
}

int shs__tls_facts_take(struct shs_tls_facts *self, SSL *ssl, const struct shs_tls_context *context)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    self->site = shs__tls_site_of(ssl);
    self->version = SSL_get_version(ssl);
    self->cipher = SSL_get_cipher_name(ssl);
    self->group = group_name(ssl);
    self->signature = signature_name(ssl);
    self->alpn = alpn_name(ssl, context);
    self->verify_result = (int)SSL_get_verify_result(ssl);
    self->security_level = (int8_t)SSL_get_security_level(ssl);
    self->tls13 = SSL_version(ssl) == TLS1_3_VERSION;
    self->resumed = SSL_session_reused(ssl) == 1;
    if (SSL_is_server(ssl) != 1)
        return SHS_OK;
    if (name != NULL) {
        size_t size = strlen(name) + 1;

        self->sni = shs__malloc(size);
        if (self->sni == NULL)
            return SHS_NOMEM;
        memcpy(self->sni, name, size);
    }
    return take_client(self, ssl);
}

void shs__tls_facts_free(struct shs_tls_facts *self)
{
    shs__free(self->sni);
    shs__free(self->cas);
    X509_free(self->peer);
    sk_X509_pop_free(self->chain, X509_free);
}
