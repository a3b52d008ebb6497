/* plain.c - the lab's plain HTTP: CONNECT, and what is to be known of the lab. */
#include <arpa/inet.h>
#include <stdio.h>

#include <openssl/evp.h>

#include "base/chars.h"
#include "lab/talk.h"

#define BODY_MAX 65536u
#define HOST_MAX 300u
#define ANSWER_CEILING ((size_t)2 << 20)
#define LOG_CEILING ((size_t)2 << 20)

/* -- answers ----------------------------------------------------------------------------------- */

static int put(struct shs_buf *out, const char *status, const char *type, const char *fields,
               const void *body, size_t len)
{
    int rc = shs__buf_printf(out,
                             "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
                             "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                             "Connection: close\r\n\r\n",
                             status, type, len, fields);

    return rc == SHS_OK ? shs__buf_append(out, body, len) : rc;
}

static int put_text(struct shs_buf *out, const char *status, const char *type, const char *text)
{
    return put(out, status, type, "", text, strlen(text));
}

static int put_crl(struct shs_lab *lab, const char *name, struct shs_buf *out)
{
    const char *dot = strrchr(name, '.');
    enum shs__lab_ca which =
        dot == NULL ? LAB_CA_COUNT : shs__lab_ca_find(name, (size_t)(dot - name));
    struct shs_error err = {.code = SHS_OK};
    void *bytes = NULL;
    size_t len = 0;
    bool der = dot != NULL && strcmp(dot, ".der") == 0;
    int rc;

    if (which == LAB_CA_COUNT || (!der && strcmp(dot, ".pem") != 0))
        return put_text(out, "404 Not Found", "text/plain", "There is no such CRL.\n");
    rc = shs__lab_crl(lab, which, der, &bytes, &len, &err);
    if (rc == SHS_CLOSED)
        return put_text(out, "503 Service Unavailable", "text/plain",
                        "This CRL cannot be had: that is the condition.\n");
    if (rc != SHS_OK)
        return put_text(out, "500 Internal Server Error", "text/plain", err.text);
    rc =
        put(out, "200 OK", der ? "application/pkix-crl" : "application/x-pem-file", "", bytes, len);
    shs_bytes_free(bytes, len);
    return rc;
}

/* An authority's certificate, for clients that follow authorityInfoAccess. */
static int put_issuer(struct shs_lab *lab, const char *name, struct shs_buf *out)
{
    const char *dot = strrchr(name, '.');
    enum shs__lab_ca which =
        dot == NULL ? LAB_CA_COUNT : shs__lab_ca_find(name, (size_t)(dot - name));
    struct shs_ca *ca = NULL;
    const void *der;
    size_t len = 0;

    if (which == LAB_CA_COUNT || shs__lab_ca(lab, which, &ca, NULL) != SHS_OK)
        return put_text(out, "404 Not Found", "text/plain", "There is no such authority.\n");
    der = shs_ca_der(ca, &len);
    return put(out, "200 OK", "application/pkix-cert", "", der, len);
}

static int put_ocsp(struct shs_lab *lab, struct shs_str request, struct shs_buf *out)
{
    struct shs_error err = {.code = SHS_OK};
    void *bytes = NULL;
    size_t len = 0;
    int rc = shs__lab_ocsp(lab, request.ptr, request.len, &bytes, &len, &err);

    if (rc != SHS_OK)
        return put_text(out, "500 Internal Server Error", "text/plain", err.text);
    rc = put(out, "200 OK", "application/ocsp-response", "", bytes, len);
    shs_bytes_free(bytes, len);
    return rc;
}

/* GET /ocsp/BASE64 (RFC 6960 A.1): percent-encoded base64 of the request. */
static int put_ocsp_get(struct shs_lab *lab, const char *text, struct shs_buf *out)
{
    unsigned char plain[1024] = {0}, der[1024] = {0};
    size_t len = 0;
    int got;

    for (; *text != '\0' && len + 4 < sizeof plain; text++) {
        if (*text == '%' && shs__hex_value(text[1]) < 16 && shs__hex_value(text[2]) < 16) {
            plain[len++] = (unsigned char)(shs__hex_value(text[1]) * 16 + shs__hex_value(text[2]));
            text += 2;
        } else {
            plain[len++] = (unsigned char)*text;
        }
    }
    while (len % 4 != 0)
        plain[len++] = '=';
    got = EVP_DecodeBlock(der, plain, (int)len);
    for (size_t i = len; got > 0 && i > 0 && plain[i - 1] == '='; i--)
        got--;
    return put_ocsp(lab, (struct shs_str){(const char *)der, got < 0 ? 0 : (size_t)got}, out);
}

static int put_log(struct shs_lab *lab, struct shs_buf *out)
{
    struct shs_buf text;
    int rc;

    shs__buf_init(&text, LOG_CEILING);
    rc = shs__lab_journal_print(lab, &text);
    if (rc == SHS_OK)
        rc = put(out, "200 OK", "application/jsonl", "", shs__buf_head(&text), text.len);
    shs__buf_free(&text);
    return rc;
}

static int put_hello(struct shs_lab *lab, struct shs_buf *out)
{
    int rc;

    pthread_mutex_lock(&lab->log_lock);
    rc = lab->last_hello == NULL ? put_text(out, "404 Not Found", "text/plain", "Nobody came.\n")
                                 : put_text(out, "200 OK", "application/json", lab->last_hello);
    pthread_mutex_unlock(&lab->log_lock);
    return rc;
}

static int put_pac(struct shs_lab *lab, struct shs_buf *out)
{
    char text[600];

    snprintf(text, sizeof text,
             "function FindProxyForURL(url, host) {\n"
             "  return dnsDomainIs(host, \".%s\") ? \"PROXY %s\" : \"DIRECT\";\n}\n",
             lab->domain, lab->base_url + strlen("http://"));
    return put_text(out, "200 OK", "application/x-ns-proxy-autoconfig", text);
}

int shs__lab_plain_answer(struct shs_lab *lab, const char *method, const char *path,
                          struct shs_str body, struct shs_buf *out)
{
    if (strcmp(method, "POST") == 0 && strncmp(path, "/ocsp", 5) == 0)
        return put_ocsp(lab, body, out);
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return put(out, "405 Method Not Allowed", "text/plain", "Allow: GET, HEAD\r\n", "", 0);
    if (strcmp(path, "/") == 0)
        return put(out, "200 OK", "text/html; charset=utf-8",
                   "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
                   "script-src 'unsafe-inline'\r\n",
                   lab->page, strlen(lab->page));
    if (strcmp(path, "/manifest.json") == 0)
        return put_text(out, "200 OK", "application/json", lab->manifest);
    if (strcmp(path, "/ca.pem") == 0)
        return put_text(out, "200 OK", "application/x-pem-file", lab->ca_pem);
    if (strcmp(path, "/ca.p12") == 0)
        return put(out, "200 OK", "application/x-pkcs12", "", shs__buf_head(&lab->ca_p12),
                   lab->ca_p12.len);
    if (strcmp(path, "/proxy.pac") == 0)
        return put_pac(lab, out);
    if (strcmp(path, "/hello") == 0)
        return put_hello(lab, out);
    if (strcmp(path, "/log") == 0)
        return put_log(lab, out);
    if (strcmp(path, "/redirected") == 0)
        return put_text(out, "200 OK", "text/plain", "Here without TLS.\n");
    if (strncmp(path, "/hsts", 5) == 0)
        return put(out, "200 OK", "text/plain", "Strict-Transport-Security: max-age=31536000\r\n",
                   "Over plain HTTP that field says nothing.\n", 41);
    if (strncmp(path, "/crl/", 5) == 0)
        return put_crl(lab, path + 5, out);
    if (strncmp(path, "/aia/", 5) == 0)
        return put_issuer(lab, path + 5, out);
    if (strncmp(path, "/ocsp/", 6) == 0)
        return put_ocsp_get(lab, path + 6, out);
    return put_text(out, "404 Not Found", "text/plain",
                    "The lab has / /manifest.json /ca.pem /ca.p12 /crl/ /aia/ /ocsp /proxy.pac "
                    "/hello /log here;\nits conditions are names over TLS, and / lists them.\n");
}

/* -- the request ------------------------------------------------------------------------------- */

/* A field's value, or NULL; `head` is NUL-terminated. */
static const char *find_field(const char *head, const char *name)
{
    size_t len = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            line += len + 1;
            return line + strspn(line, " \t");
        }
    }
    return NULL;
}

/* The end of the head in `in`, 0 while it is not there. */
static size_t head_end(const struct shs__lab_talk *talk)
{
    const char *at =
        talk->in.len == 0 ? NULL : memmem(shs__buf_head(&talk->in), talk->in.len, "\r\n\r\n", 4);

    return at == NULL ? 0 : (size_t)(at - shs__buf_head(&talk->in)) + 4;
}

static int read_head(struct shs__lab_talk *talk, char *head)
{
    size_t end;
    int rc = SHS_OK;

    while (rc == SHS_OK && (end = head_end(talk)) == 0) {
        if (talk->in.len >= LAB_REQUEST_MAX)
            return SHS_LIMIT;
        rc = shs__lab_talk_read(talk);
    }
    if (rc != SHS_OK)
        return rc;
    if (end >= LAB_REQUEST_MAX)
        return SHS_LIMIT;
    memcpy(head, shs__buf_head(&talk->in), end);
    head[end] = '\0';
    shs__buf_consume(&talk->in, end);
    return SHS_OK;
}

static int read_body(struct shs__lab_talk *talk, const char *head)
{
    const char *length = find_field(head, "Content-Length");
    size_t wanted = 0;
    int rc = SHS_OK;

    for (; length != NULL && *length >= '0' && *length <= '9' && wanted <= BODY_MAX; length++)
        wanted = wanted * 10 + (size_t)(*length - '0');
    if (wanted > BODY_MAX)
        return SHS_LIMIT;
    while (rc == SHS_OK && talk->in.len < wanted)
        rc = shs__lab_talk_read(talk);
    return rc;
}

static const char no[] = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n"
                         "Content-Length: 43\r\nConnection: close\r\n\r\n"
                         "This is a lab, and no proxy to other hosts\n";

/* Who asks a proxy for a host comes to the lab, whatever the name, and nowhere else: a name of the
   lab's domain (or loopback) is demanded, so that nobody takes the lab for a proxy. */
static bool is_ours(const struct shs_lab *lab, const char *host)
{
    size_t len = strlen(host), domain_len = strlen(lab->domain);
    struct in_addr address;

    if (len >= domain_len && strcasecmp(host + len - domain_len, lab->domain) == 0 &&
        (len == domain_len || host[len - domain_len - 1] == '.'))
        return true;
    for (size_t i = 0; i < lab->count; i++) {
        if (strcasecmp(host, lab->units[i].public.host) == 0)
            return true;
    }
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

/* "a.test." is the same name as "a.test". */
static void cut_last_dot(char *host)
{
    size_t len = strlen(host);

    if (len > 1 && host[len - 1] == '.')
        host[len - 1] = '\0';
}

static int connect_to(struct shs__lab_talk *talk, char *target)
{
    static const char yes[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    char *colon = strrchr(target, ':');
    size_t len;

    if (colon != NULL) {
        *colon = '\0';
        cut_last_dot(target);
    }
    if (talk->lab->no_connect || colon == NULL || !is_ours(talk->lab, target)) {
        (void)shs__lab_talk_send(talk, no, sizeof no - 1);
        return SHS_CLOSED;
    }
    /* "[::1]" without its brackets. */
    len = strlen(target);
    if (target[0] == '[' && target[len - 1] == ']') {
        target[len - 1] = '\0';
        target++;
    }
    snprintf(talk->target, sizeof talk->target, "%s", target);
    shs__lab_talk_came(talk, talk->target);
    return shs__lab_talk_send(talk, yes, sizeof yes - 1);
}

/* "/path" of "/path" or "http://host/path" (a proxy is asked so); NULL: neither. */
static const char *path_of(const char *target)
{
    const char *slash;

    if (target[0] == '/')
        return target;
    if (strncmp(target, "http://", 7) != 0)
        return NULL;
    slash = strchr(target + 7, '/');
    return slash == NULL ? "/" : slash;
}

/* "http://host/path" of another's host: a page of the lab would be taken for that one's. */
static bool is_elsewhere(const struct shs_lab *lab, const char *target)
{
    char host[HOST_MAX], *colon;

    if (strncmp(target, "http://", 7) != 0)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)strcspn(target + 7, "/?"), target + 7);
    colon = strrchr(host, ':');
    if (colon != NULL && colon[strspn(colon + 1, "0123456789") + 1] == '\0')
        *colon = '\0';
    cut_last_dot(host);
    return !is_ours(lab, host);
}

static int answer(struct shs__lab_talk *talk, const char *method, const char *target,
                  const char *head)
{
    const char *path = path_of(target);
    struct shs_buf out;
    int rc = read_body(talk, head);

    if (rc != SHS_OK)
        return rc;
    shs__buf_init(&out, ANSWER_CEILING);
    if (is_elsewhere(talk->lab, target))
        rc = shs__buf_append(&out, no, sizeof no - 1);
    else if (path == NULL)
        rc = put_text(&out, "400 Bad Request", "text/plain", "What is asked for?\n");
    else
        rc = shs__lab_plain_answer(talk->lab, method, path,
                                   (struct shs_str){shs__buf_head(&talk->in), talk->in.len}, &out);
    if (rc == SHS_OK && strcmp(method, "HEAD") == 0) {
        const char *end = memmem(shs__buf_head(&out), out.len, "\r\n\r\n", 4);

        out.len = (size_t)(end - shs__buf_head(&out)) + 4;
    }
    if (rc == SHS_OK)
        rc = shs__lab_talk_send(talk, shs__buf_head(&out), out.len);
    shs__buf_free(&out);
    return rc == SHS_OK ? SHS_CLOSED : rc;
}

int shs__lab_plain(struct shs__lab_talk *talk)
{
    static const char bad[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"
                              "Connection: close\r\n\r\n";
    char *head = shs__malloc(LAB_REQUEST_MAX + 1), *copy = NULL, *method, *target, *save;
    int rc = head == NULL ? SHS_NOMEM : read_head(talk, head);

    if (rc == SHS_OK && (copy = shs__strdup(head)) == NULL)
        rc = SHS_NOMEM;
    if (rc == SHS_OK) {
        method = strtok_r(copy, " \r\n", &save);
        target = method == NULL ? NULL : strtok_r(NULL, " \r\n", &save);
        if (target == NULL) {
            (void)shs__lab_talk_send(talk, bad, sizeof bad - 1);
            rc = SHS_CLOSED;
        } else if (strcmp(method, "CONNECT") == 0) {
            rc = connect_to(talk, target);
        } else {
            rc = answer(talk, method, target, head);
        }
    }
    shs__free(head);
    shs__free(copy);
    return rc;
}
