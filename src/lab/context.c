/* context.c - the SSL_CTX of a condition. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/dh.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>

#include "certs/words.h"
#include "lab/lab.h"

/* All that this OpenSSL can do: a condition says which of it. */
#define ALL_CIPHERS "ALL:!aNULL:!eNULL:!PSK:!SRP:@SECLEVEL=0"
#define USUAL_GROUPS "X25519:P-256:X448:P-521:P-384"
#define ALL_SIGNATURES                                                                             \
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:ed448:rsa_pss_pss_sha256:rsa_pss_pss_sha384:"  \
    "rsa_pss_pss_sha512:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:RSA+SHA256:"   \
    "RSA+SHA384:RSA+SHA512:ECDSA+SHA224:RSA+SHA224:DSA+SHA256:DSA+SHA384:DSA+SHA512:ECDSA+SHA1:"   \
    "RSA+SHA1:DSA+SHA1"
#define MANY_TICKETS 20
#define SMALL_FRAGMENT 512
#define PADDING 4096

static int fail(struct shs__lab_unit *unit, struct shs_error *err, const char *what)
{
    char text[96];

    snprintf(text, sizeof text, "%s for %s", what, unit->row->id);
    return shs__certs_fail(err, text);
}

/* -- Diffie-Hellman ---------------------------------------------------------------------------- */

static EVP_PKEY *dh_from(OSSL_LIB_CTX *lib, const BIGNUM *p, const BIGNUM *g)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(lib, "DH", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (build != NULL && ctx != NULL && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_FFC_P, p) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_FFC_G, g))
        params = OSSL_PARAM_BLD_to_param(build);
    if (params != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEY_PARAMETERS, params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* p: a product of two primes. */
static bool composite(BIGNUM *p, BN_CTX *ctx)
{
    BIGNUM *a = BN_new(), *b = BN_new();
    bool good = a != NULL && b != NULL && BN_generate_prime_ex(a, 1024, 0, NULL, NULL, NULL) == 1 &&
                BN_generate_prime_ex(b, 1024, 0, NULL, NULL, NULL) == 1 &&
                BN_mul(p, a, b, ctx) == 1;

    BN_free(a);
    BN_free(b);
    return good;
}

/* p with 3 dividing p - 1, and g of order 3: g = h^((p-1)/3), not 1. */
static bool subgroup(BIGNUM *p, BIGNUM *g, BN_CTX *ctx)
{
    BIGNUM *three = BN_new(), *one = BN_new(), *e = BN_new(), *h = BN_new();
    bool good = three != NULL && one != NULL && e != NULL && h != NULL &&
                BN_set_word(three, 3) == 1 && BN_one(one) == 1 &&
                BN_generate_prime_ex(p, 2048, 0, three, one, NULL) == 1 && BN_sub(e, p, one) == 1 &&
                BN_div(e, NULL, e, three, ctx) == 1 && BN_set_word(h, 2) == 1;

    do {
        good = good && BN_mod_exp(g, h, e, p, ctx) == 1 && BN_add_word(h, 1) == 1;
    } while (good && BN_is_one(g));
    BN_free(three);
    BN_free(one);
    BN_free(e);
    BN_free(h);
    return good;
}

static EVP_PKEY *make_dh(OSSL_LIB_CTX *lib, enum shs__lab_dh kind)
{
    BIGNUM *p = BN_new(), *g = BN_new();
    BN_CTX *ctx = BN_CTX_new();
    EVP_PKEY *key = NULL;
    bool good = p != NULL && g != NULL && ctx != NULL && BN_set_word(g, 2) == 1;

    if (good && kind == LAB_DH_2048)
        good = BN_get_rfc3526_prime_2048(p) != NULL;
    else if (good && kind == LAB_DH_1024)
        good = BN_get_rfc2409_prime_1024(p) != NULL;
    else if (good && kind == LAB_DH_512)
        good = BN_generate_prime_ex(p, 512, 0, NULL, NULL, NULL) == 1;
    else if (good && kind == LAB_DH_COMPOSITE)
        good = composite(p, ctx);
    else if (good)
        good = subgroup(p, g, ctx);
    if (good)
        key = dh_from(lib, p, g);
    BN_free(p);
    BN_free(g);
    BN_CTX_free(ctx);
    return key;
}

/* OpenSSL's own refuses short keys at every level. */
static int allow_all(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid, void *other,
                     void *ex)
{
    SHS_UNUSED(ssl);
    SHS_UNUSED(ctx);
    SHS_UNUSED(op);
    SHS_UNUSED(bits);
    SHS_UNUSED(nid);
    SHS_UNUSED(other);
    SHS_UNUSED(ex);
    return 1;
}

/* -- callbacks --------------------------------------------------------------------------------- */

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char h1[] = "\x08http/1.1", h2[] = "\x02h2", other[] = "\x06lab/99";
    const struct shs__lab_unit *unit = arg;
    const unsigned char *wanted = h1;
    unsigned wanted_len = sizeof h1 - 1;
    unsigned char *chosen;

    SHS_UNUSED(ssl);
    if (unit->row->make.alpn == LAB_ALPN_UNOFFERED) {
        *out = other + 1;
        *out_len = other[0];
        return SSL_TLSEXT_ERR_OK;
    }
    if (unit->row->make.alpn == LAB_ALPN_H2) {
        wanted = h2;
        wanted_len = sizeof h2 - 1;
    }
    if (SSL_select_next_proto(&chosen, out_len, wanted, wanted_len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return unit->row->make.alpn == LAB_ALPN_H2 ? SSL_TLSEXT_ERR_ALERT_FATAL
                                                   : SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int staple(SSL *ssl, void *arg)
{
    const struct shs__lab_unit *unit = arg;
    unsigned char *copy = OPENSSL_memdup(unit->staple, unit->staple_len);

    if (copy == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)unit->staple_len) != 1) {
        OPENSSL_free(copy);
        return SSL_TLSEXT_ERR_NOACK;
    }
    return SSL_TLSEXT_ERR_OK;
}

static int accept_any(int ok, X509_STORE_CTX *ctx)
{
    SHS_UNUSED(ok);
    SHS_UNUSED(ctx);
    return 1;
}

/* The keys change with each ticket: one that comes back is unknown, and nothing is wrong. */
static int rotate_tickets(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                          EVP_MAC_CTX *mac, int make)
{
    unsigned char key[32], mac_key[32];
    OSSL_PARAM params[3];

    SHS_UNUSED(ssl);
    if (make == 0)
        return 0;
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key, sizeof mac_key);
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0);
    params[2] = OSSL_PARAM_construct_end();
    if (RAND_bytes(key, sizeof key) != 1 || RAND_bytes(mac_key, sizeof mac_key) != 1 ||
        RAND_bytes(name, 16) != 1 || RAND_bytes(iv, 16) != 1 ||
        EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key, iv) != 1 ||
        EVP_MAC_CTX_set_params(mac, params) != 1)
        return -1;
    return 1;
}

/* There are suites with a PSK, and nobody has the key. */
static unsigned no_psk(SSL *ssl, const char *identity, unsigned char *psk, unsigned cap)
{
    SHS_UNUSED(ssl);
    SHS_UNUSED(identity);
    SHS_UNUSED(psk);
    SHS_UNUSED(cap);
    return 0;
}

/* -- the context ------------------------------------------------------------------------------- */

static int version_number(int version)
{
    return version == 10   ? TLS1_VERSION
           : version == 11 ? TLS1_1_VERSION
           : version == 12 ? TLS1_2_VERSION
                           : TLS1_3_VERSION;
}

/* What does not need a certificate: also what shs__lab_probe tries. All is said,
   and nothing left to the system's openssl.cnf. */
static bool set_protocol(SSL_CTX *ctx, const struct shs__lab_make *make)
{
    int min = make->min != 0 ? make->min : make->max != 0 && make->max < 12 ? make->max : 12;
    int max = make->max != 0 ? make->max : 13;

    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_security_callback(ctx, allow_all);
    SSL_CTX_clear_options(ctx, SSL_CTX_get_options(ctx)); /* whatever openssl.cnf has set */
    SSL_CTX_set_options(
        ctx, SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF |
                 (make->no_ems ? SSL_OP_NO_EXTENDED_MASTER_SECRET : 0) |
                 (make->no_etm ? SSL_OP_NO_ENCRYPT_THEN_MAC : 0) |
                 (make->edit == LAB_EDIT_LEGACY ? SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION : 0));
    return SSL_CTX_set_min_proto_version(ctx, version_number(min)) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, version_number(max)) == 1 &&
           SSL_CTX_set_cipher_list(ctx, make->ciphers != NULL ? make->ciphers : ALL_CIPHERS) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, make->suites != NULL
                                             ? make->suites
                                             : "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                               "TLS_CHACHA20_POLY1305_SHA256") == 1 &&
           SSL_CTX_set1_sigalgs_list(ctx, ALL_SIGNATURES) == 1 &&
           SSL_CTX_set1_groups_list(ctx, make->groups != NULL ? make->groups : USUAL_GROUPS) == 1;
}

const char *shs__lab_probe(struct shs_lab *lab, const struct shs__lab_row *row)
{
    const struct shs__lab_make *make = &row->make;
    const char *why = make->never;
    SSL_CTX *ctx;

    if (why != NULL ||
        (make->ciphers == NULL && make->suites == NULL && make->groups == NULL && make->max == 0))
        return why;
    ctx = SSL_CTX_new_ex(lab->lib, NULL, TLS_server_method());
    if (ctx == NULL || !set_protocol(ctx, make))
        why = make->ciphers != NULL  ? "this OpenSSL has none of the cipher suites"
              : make->groups != NULL ? "this OpenSSL has not the group"
              : make->suites != NULL ? "this OpenSSL has not the cipher suite"
                                     : "this OpenSSL has not the protocol version";
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return why;
}

static bool set_client_ca(SSL_CTX *ctx, const struct shs_ca *trusted, const struct shs_ca *hinted)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);

    return X509_STORE_add_cert(store, trusted->cert) == 1 &&
           SSL_CTX_add_client_CA(ctx, hinted->cert) == 1;
}

static int set_clients(struct shs_lab *lab, struct shs__lab_unit *unit, SSL_CTX *ctx,
                       struct shs_error *err)
{
    struct shs_ca *clients = NULL, *stranger = NULL;
    enum shs__lab_clients kind = unit->row->make.clients;
    int mode = SSL_VERIFY_PEER, rc;

    if (kind == LAB_CLIENTS_NONE)
        return SHS_OK;
    if (kind == LAB_CLIENTS_ANY) {
        SSL_CTX_set_verify(ctx, mode, accept_any);
        return SHS_OK;
    }
    rc = shs__lab_ca(lab, LAB_CA_CLIENTS, &clients, err);
    if (rc == SHS_OK)
        rc = shs__lab_ca(lab, LAB_CA_STRANGER, &stranger, err);
    if (rc != SHS_OK)
        return rc;
    if (kind == LAB_CLIENTS_REQUIRED || kind == LAB_CLIENTS_FOREIGN)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    if (kind == LAB_CLIENTS_LATER)
        mode |= SSL_VERIFY_POST_HANDSHAKE;
    SSL_CTX_set_verify(ctx, mode, NULL);
    X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(ctx), (time_t)shs__lab_now(lab));
    return set_client_ca(ctx, kind == LAB_CLIENTS_FOREIGN ? stranger : clients,
                         kind == LAB_CLIENTS_FOREIGN ? stranger : clients)
               ? SHS_OK
               : fail(unit, err, "Asking for client certificates");
}

static bool set_tickets(SSL_CTX *ctx, const struct shs__lab_unit *unit)
{
    switch (unit->row->make.tickets) {
    case LAB_TICKETS_USUAL:
        break;
    case LAB_TICKETS_NONE:
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        return SSL_CTX_set_num_tickets(ctx, 0) == 1;
    case LAB_TICKETS_MANY:
        return SSL_CTX_set_num_tickets(ctx, MANY_TICKETS) == 1;
    case LAB_TICKETS_ROTATED:
        return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, rotate_tickets) == 1;
    case LAB_TICKETS_BRIEF:
        SSL_CTX_set_timeout(ctx, 1);
        break;
    case LAB_TICKETS_IDS:
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        break;
    }
    return true;
}

/* Opens no file: the lab has the descriptor. Whole lines, so that nothing mixes. */
static void keylog(const SSL *ssl, const char *line)
{
    struct shs_lab *lab = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    char *text = shs__asprintf("%s\n", line), why[96];
    bool lost = text == NULL || shs__write_all(lab->keylog_fd, text, strlen(text)) != SHS_OK;

    /* A full disk is no reason to end the connection, but one to say so, once. */
    if (lost && !atomic_exchange(&lab->keylog_lost, true))
        shs_server_log(lab->server, SHS_LOG_WARNING, "the key log cannot be written: %s",
                       text == NULL ? "out of memory" : shs__strerror(errno, why, sizeof why));
    shs__free(text);
}

static int set_rest(struct shs_lab *lab, struct shs__lab_unit *unit, SSL_CTX *ctx,
                    struct shs_error *err)
{
    const struct shs__lab_make *make = &unit->row->make;
    unsigned char sid[SSL_MAX_SID_CTX_LENGTH] = {0};
    size_t len = strlen(unit->row->id);
    EVP_PKEY *dh;

    memcpy(sid, unit->row->id, len < sizeof sid ? len : sizeof sid);
    if (SSL_CTX_set_session_id_context(ctx, sid, sizeof sid) != 1 || !set_tickets(ctx, unit))
        return fail(unit, err, "Setting sessions");
    if (make->alpn != LAB_ALPN_NONE)
        SSL_CTX_set_alpn_select_cb(ctx, select_alpn, unit);
    if (unit->staple != NULL) {
        SSL_CTX_set_tlsext_status_cb(ctx, staple);
        SSL_CTX_set_tlsext_status_arg(ctx, unit);
    }
    if (make->app == LAB_APP_FRAGMENTS)
        SSL_CTX_set_max_send_fragment(ctx, SMALL_FRAGMENT);
    if (make->app == LAB_APP_PADDED)
        SSL_CTX_set_block_padding(ctx, PADDING);
    if (make->early_data)
        SSL_CTX_set_max_early_data(ctx, 16384);
    if (make->psk)
        SSL_CTX_set_psk_server_callback(ctx, no_psk);
    if (lab->keylog_fd >= 0) {
        SSL_CTX_set_app_data(ctx, lab);
        SSL_CTX_set_keylog_callback(ctx, keylog);
    }
    if (make->dh != LAB_DH_NONE) {
        dh = make_dh(lab->lib, make->dh);
        if (dh == NULL || SSL_CTX_set0_tmp_dh_pkey(ctx, dh) != 1) {
            EVP_PKEY_free(dh);
            return fail(unit, err, "Setting Diffie-Hellman");
        }
    }
    return set_clients(lab, unit, ctx, err);
}

static int make_context(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err)
{
    SSL_CTX *ctx = NULL;
    int rc = unit->cert == NULL ? shs__lab_make_cert(lab, unit, err) : SHS_OK;

    if (rc != SHS_OK)
        return rc;
    ERR_clear_error();
    ctx = SSL_CTX_new_ex(lab->lib, NULL, TLS_server_method());
    if (ctx == NULL)
        return fail(unit, err, "Making a context");
    if (!set_protocol(ctx, &unit->row->make))
        rc = fail(unit, err, "Setting the protocol");
    else
        rc = shs_issued_cert_use(unit->cert, ctx, err);
    if (rc == SHS_OK)
        rc = set_rest(lab, unit, ctx, err);
    if (rc == SHS_OK)
        unit->ctx = ctx;
    else
        SSL_CTX_free(ctx);
    return rc;
}

int shs__lab_context(struct shs_lab *lab, struct shs__lab_unit *unit, SSL_CTX **out,
                     struct shs_error *err)
{
    int rc;

    pthread_mutex_lock(&unit->lock);
    rc = unit->ctx != NULL ? SHS_OK : make_context(lab, unit, err);
    *out = unit->ctx;
    pthread_mutex_unlock(&unit->lock);
    return rc;
}
