/* strict_client.c - see strict_client.h. */
#include "strict_client.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <shs/certs.h>

#include "base/base.h"
#include "certs/look.h"
#include "patience.h"

#define ANSWER_MAX (1 << 20)

/* cmocka's assertions are for the thread of the test alone. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void note_error(struct visit *v, int error)
{
    for (size_t i = 0; i < v->count; i++) {
        if (v->errors[i] == error)
            return;
    }
    MUST(v->count < ERRORS_MAX);
    v->errors[v->count++] = error;
}

static void note(char *words, size_t cap, const char *word)
{
    size_t used = strlen(words);

    snprintf(words + used, cap - used, "%s%s", used > 0 ? " " : "", word);
}

/* -- certificates ------------------------------------------------------------------------------ */

/* Every error is written down and forgiven. */
static int collect(int good, X509_STORE_CTX *ctx)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());

    if (!good)
        note_error(SSL_get_app_data(ssl), X509_STORE_CTX_get_error(ctx));
    return 1;
}

static int collect_crl(int good, X509_STORE_CTX *ctx)
{
    if (!good)
        note_error(X509_STORE_CTX_get_app_data(ctx), X509_STORE_CTX_get_error(ctx));
    return 1;
}

static void look_at_form(struct visit *v, STACK_OF(X509) * chain, const struct shs_condition *c)
{
    const struct shs__look_wish wish = {
        .host = c->host, .now = (int64_t)time(NULL), .strict = true};
    BIO *text = BIO_new(BIO_s_mem());
    struct shs__finding list[32];
    struct shs__look *look = NULL;
    struct shs_error err;
    size_t count;
    char *bytes;
    long len;

    for (int i = 0; i < sk_X509_num(chain); i++)
        MUST(PEM_write_bio_X509(text, sk_X509_value(chain, i)) == 1);
    len = BIO_get_mem_data(text, &bytes);
    MUST(shs__look_bytes(&look, bytes, (size_t)len, &err) == SHS_OK);
    count = shs__look_judge(look, &wish, list, SHS_ARRAY_LEN(list));
    for (size_t i = 0; i < count; i++) {
        if (list[i].level != SHS_FINDING_NOTE)
            note(v->lint, sizeof v->lint, list[i].word);
    }
    shs__look_free(look);
    BIO_free(text);
}

/* -- revocation -------------------------------------------------------------------------------- */

/* What is at a URL of the lab's; the body of a 200, or nothing. */
static size_t fetch(const char *url, const void *sent, size_t sent_len, char *body)
{
    const char *host = strstr(url, "//") + 2, *path = strchr(host, '/'), *colon = strchr(host, ':');
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10))};
    char head[300], *end;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t used = 0;
    ssize_t n;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    n = snprintf(head, sizeof head, "%s %s HTTP/1.0\r\nContent-Length: %zu\r\n\r\n",
                 sent == NULL ? "GET" : "POST", path, sent_len);
    MUST(write(fd, head, (size_t)n) == n);
    if (sent != NULL)
        MUST(write(fd, sent, sent_len) == (ssize_t)sent_len);
    while ((n = read(fd, body + used, ANSWER_MAX - 1 - used)) > 0)
        used += (size_t)n;
    close(fd);
    body[used] = '\0';
    end = strstr(body, "\r\n\r\n");
    if (end == NULL || strncmp(body, "HTTP/1.1 200", 12) != 0)
        return 0;
    used -= (size_t)(end + 4 - body);
    memmove(body, end + 4, used);
    return used;
}

/* Fetches the list that a certificate names. False when it names none. */
static bool add_crl(X509_STORE *store, X509 *cert, char *room)
{
    CRL_DIST_POINTS *points = X509_get_ext_d2i(cert, NID_crl_distribution_points, NULL, NULL);
    const DIST_POINT *point = sk_DIST_POINT_value(points, 0);
    const unsigned char *at = (const unsigned char *)room;
    X509_CRL *crl = NULL;
    size_t len;

    if (point == NULL)
        return false;
    len = fetch(
        (const char *)ASN1_STRING_get0_data(
            sk_GENERAL_NAME_value(point->distpoint->name.fullname, 0)->d.uniformResourceIdentifier),
        NULL, 0, room);
    if (len > 0) {
        crl = d2i_X509_CRL(NULL, &at, (long)len);
        MUST(crl != NULL);
        MUST(X509_STORE_add_crl(store, crl) == 1);
    }
    X509_CRL_free(crl);
    CRL_DIST_POINTS_free(points);
    return true;
}

/* The lists that the certificates name, all but the root's. */
static void look_at_crls(struct visit *v, STACK_OF(X509) * chain, const char *ca_path, char *room)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    unsigned long flags = X509_V_FLAG_EXTENDED_CRL_SUPPORT | X509_V_FLAG_USE_DELTAS;
    X509 *leaf = sk_X509_value(chain, 0);

    MUST(X509_STORE_load_locations(store, ca_path, NULL) == 1);
    if (add_crl(store, leaf, room)) {
        flags |= X509_V_FLAG_CRL_CHECK;
        if (sk_X509_num(chain) > 1 && add_crl(store, sk_X509_value(chain, 1), room))
            flags |= X509_V_FLAG_CRL_CHECK_ALL;
        MUST(X509_STORE_CTX_init(ctx, store, leaf, chain) == 1);
        X509_STORE_CTX_set_app_data(ctx, v);
        X509_STORE_CTX_set_flags(ctx, flags);
        X509_STORE_CTX_set_verify_cb(ctx, collect_crl);
        (void)X509_verify_cert(ctx);
    }
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
}

static OCSP_CERTID *id_of(STACK_OF(X509) * chain)
{
    return OCSP_cert_to_id(NULL, sk_X509_value(chain, 0), sk_X509_value(chain, 1));
}

static void judge_status(struct visit *v, OCSP_BASICRESP *basic, STACK_OF(X509) * chain)
{
    ASN1_GENERALIZEDTIME *from = NULL, *to = NULL;
    OCSP_CERTID *id = id_of(chain);
    int status = V_OCSP_CERTSTATUS_GOOD;
    bool found = OCSP_resp_find_status(basic, id, &status, NULL, NULL, &from, &to) == 1;

    OCSP_CERTID_free(id);
    if (!found) {
        /* Whosever it is, its dates are looked at as well. */
        note(v->ocsp, sizeof v->ocsp, "other-certificate");
        OCSP_single_get0_status(OCSP_resp_get0(basic, 0), NULL, NULL, &from, &to);
    }
    if (status != V_OCSP_CERTSTATUS_GOOD)
        note(v->ocsp, sizeof v->ocsp, OCSP_cert_status_str(status));
    if (X509_cmp_current_time(from) > 0)
        note(v->ocsp, sizeof v->ocsp, "future");
    if (to == NULL || X509_cmp_current_time(to) < 0)
        note(v->ocsp, sizeof v->ocsp, "expired");
}

static void judge_ocsp(struct visit *v, const unsigned char *bytes, long len,
                       STACK_OF(X509) * chain, X509_STORE *store)
{
    OCSP_RESPONSE *response = len > 0 ? d2i_OCSP_RESPONSE(NULL, &bytes, len) : NULL;
    OCSP_BASICRESP *basic = response == NULL ? NULL : OCSP_response_get1_basic(response);

    if (len <= 0)
        note(v->ocsp, sizeof v->ocsp, "none");
    else if (response == NULL)
        note(v->ocsp, sizeof v->ocsp, "no-response");
    else if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        note(v->ocsp, sizeof v->ocsp, OCSP_response_status_str(OCSP_response_status(response)));
    else {
        MUST(basic != NULL);
        if (OCSP_basic_verify(basic, chain, store, 0) != 1)
            note(v->ocsp, sizeof v->ocsp, "signer");
        judge_status(v, basic, chain);
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
}

/* By asking the responder that the certificate names. */
static void ask_responder(struct visit *v, STACK_OF(X509) * chain, X509_STORE *store, char *room)
{
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(sk_X509_value(chain, 0));
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    unsigned char *der = NULL;
    int len;
    size_t got;

    if (sk_OPENSSL_STRING_num(urls) > 0) {
        MUST(OCSP_request_add0_id(request, id_of(chain)) != NULL);
        len = i2d_OCSP_REQUEST(request, &der);
        got = fetch(sk_OPENSSL_STRING_value(urls, 0), der, (size_t)len, room);
        judge_ocsp(v, (unsigned char *)room, (long)got, chain, store);
        OPENSSL_free(der);
    }
    OCSP_REQUEST_free(request);
    X509_email_free(urls);
}

static void look_at_ocsp(struct visit *v, SSL *ssl, STACK_OF(X509) * chain, char *room)
{
    X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
    const unsigned char *staple = NULL;
    long len = SSL_get_tlsext_status_ocsp_resp(ssl, &staple);

    if (len > 0 || X509_get_ext_by_NID(sk_X509_value(chain, 0), NID_tlsfeature, -1) >= 0)
        judge_ocsp(v, staple, len, chain, store);
    ask_responder(v, chain, store, room);
}

/* -- a visit ----------------------------------------------------------------------------------- */

static int dial(const struct shs_lab *lab, const struct shs_condition *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)shs_lab_port(lab))};
    /* A key of 8192 bits is made when the first one asks, which takes what it takes. */
    const struct timeval limit = {.tv_sec = 10 * patience_ms() / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool six = strchr(c->host, ':') != NULL;
    char text[400];
    ssize_t n;

    inet_pton(AF_INET, shs_lab_host(lab), &to.sin_addr);
    MUST(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    n = snprintf(text, sizeof text, "CONNECT %s%s%s:443 HTTP/1.1\r\n\r\n", six ? "[" : "", c->host,
                 six ? "]" : "");
    MUST(write(fd, text, (size_t)n) == n);
    for (n = 0; n < 4 || memcmp(text + n - 4, "\r\n\r\n", 4) != 0; n++) {
        MUST(n < (ssize_t)sizeof text && read(fd, text + n, 1) == 1);
    }
    MUST(memcmp(text, "HTTP/1.1 200", 12) == 0);
    return fd;
}

static void give_certificate(SSL_CTX *ctx, const struct shs_lab *lab)
{
    const char *pem = shs_lab_client_pem(lab);
    struct shs_issued_cert *cert = NULL;
    struct shs_error err;

    MUST(shs_issued_cert_load(&cert, pem, strlen(pem), &err) == SHS_OK);
    MUST(shs_issued_cert_use(cert, ctx, &err) == SHS_OK);
    shs_issued_cert_free(cert);
}

/* Level 0 alone refuses keys of 512 bits. */
static int allow(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid, void *other,
                 void *ex)
{
    SHS_UNUSED(ssl), SHS_UNUSED(ctx), SHS_UNUSED(op), SHS_UNUSED(bits), SHS_UNUSED(nid);
    SHS_UNUSED(other), SHS_UNUSED(ex);
    return 1;
}

static SSL_CTX *make_ctx(const struct shs_lab *lab, unsigned forgives)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    MUST(SSL_CTX_load_verify_locations(ctx, shs_lab_ca_path(lab), NULL) == 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, collect);
    SSL_CTX_set_security_level(ctx, (forgives & WEAK) != 0 ? 0 : 2);
    if ((forgives & WEAK) != 0)
        SSL_CTX_set_security_callback(ctx, allow);
    SSL_CTX_set_min_proto_version(ctx, (forgives & OLD) != 0 ? TLS1_VERSION : TLS1_2_VERSION);
    if ((forgives & TLS12) != 0)
        SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    if ((forgives & SUITES) != 0) {
        MUST(SSL_CTX_set_cipher_list(ctx, "ALL:COMPLEMENTOFALL") == 1);
        MUST(SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_8_SHA256") == 1);
    }
    if ((forgives & CURVES) != 0) {
        MUST(SSL_CTX_set1_groups_list(ctx, "P-256:P-224:P-192:secp256k1:brainpoolP256r1") == 1);
        MUST(SSL_CTX_set1_sigalgs_list(ctx, "ECDSA+SHA256:RSA+SHA256:DSA+SHA256") == 1);
    }
    if ((forgives & LARGE) != 0)
        SSL_CTX_set_max_cert_list(ctx, 1 << 20);
    if ((forgives & CERT) != 0)
        give_certificate(ctx, lab);
    if ((forgives & LATER) != 0)
        SSL_CTX_set_post_handshake_auth(ctx, 1);
    return ctx;
}

static void name_it(SSL *ssl, const struct shs_condition *c, unsigned forgives)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    unsigned char address[16];

    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (inet_pton(AF_INET, c->host, address) == 1 || inet_pton(AF_INET6, c->host, address) == 1) {
        MUST(X509_VERIFY_PARAM_set1_ip_asc(param, c->host) == 1);
    } else {
        SSL_set_tlsext_host_name(ssl, c->host);
        SSL_set1_host(ssl, c->host);
    }
    SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
    if ((forgives & H2) != 0)
        SSL_set_alpn_protos(ssl, (const unsigned char *)"\x02h2\x08http/1.1", 12);
    else if ((forgives & SILENT) == 0)
        SSL_set_alpn_protos(ssl, (const unsigned char *)"\x08http/1.1", 9);
}

/* Is the body as long as it is said to be, or as the chunks say? */
static bool is_whole(const char *answer, size_t len)
{
    const char *body = strstr(answer, "\r\n\r\n"), *length = strstr(answer, "Content-Length: ");

    if (body == NULL)
        return false;
    len -= (size_t)(body + 4 - answer);
    if (length != NULL && length < body)
        return strtoul(length + 16, NULL, 10) == len;
    return strstr(answer, "chunked") == NULL || strstr(body, "\r\n0\r\n\r\n") != NULL;
}

/* From OpenSSL 3.2 on every bad record ends with "record layer failure"; why comes before. */
static int reason_of_error(void)
{
    int reason = ERR_GET_REASON(ERR_peek_last_error());

#ifdef SSL_R_RECORD_LAYER_FAILURE
    if (reason == SSL_R_RECORD_LAYER_FAILURE)
        return ERR_GET_REASON(ERR_peek_error());
#endif
    return reason;
}

static void ask(struct visit *v, SSL *ssl, const struct shs_condition *c, char *room)
{
    char request[400];
    size_t used = 0;
    int n;

    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", c->host);
    (void)SSL_write(ssl, request, (int)strlen(request));
    while ((n = SSL_read(ssl, room + used, (int)(ANSWER_MAX - 1 - used))) > 0)
        used += (size_t)n;
    room[used] = '\0';
    v->end = used == 0 ? NOTHING : CUT;
    if (SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN && is_whole(room, used))
        v->end = PAGE;
    v->reason = reason_of_error();
    if (used > 12)
        v->status = (int)strtol(room + 9, NULL, 10);
}

void strict_visit(struct visit *v, const struct shs_lab *lab, const struct shs_condition *c,
                  unsigned forgives)
{
    char *room = malloc(ANSWER_MAX);
    SSL_CTX *ctx = make_ctx(lab, forgives);
    SSL *ssl = SSL_new(ctx);
    int fd = dial(lab, c);
    STACK_OF(X509) * chain;

    MUST(room != NULL);
    memset(v, 0, sizeof *v);
    SSL_set_app_data(ssl, v);
    name_it(ssl, c, forgives);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) == 1)
        ask(v, ssl, c, room);
    else {
        v->end = HANDSHAKE;
        v->reason = reason_of_error();
    }
    ERR_clear_error();
    chain = SSL_get_peer_cert_chain(ssl);
    if (chain != NULL) {
        look_at_form(v, chain, c);
        look_at_crls(v, chain, shs_lab_ca_path(lab), room);
        if (sk_X509_num(chain) > 1)
            look_at_ocsp(v, ssl, chain, room);
    }
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    free(room);
}
