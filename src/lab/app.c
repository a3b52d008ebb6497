/* app.c - the request over TLS, and its answer: right, or wrong in the condition's way. */
#include <stdio.h>

#include <openssl/err.h>

#include "lab/talk.h"

#define BODY_LEN 10000
#define BODY_SENT 128
#define KEY_UPDATES 40
#define ANSWER_CEILING ((size_t)1 << 20)

/* -- the request ------------------------------------------------------------------------------- */

/* Its head, NUL-terminated, into `head`. */
static int read_request(struct shs__lab_talk *talk, char *head, size_t cap)
{
    size_t used = 0, got = 0;
    int rc = SHS_OK;

    head[0] = '\0';
    while (rc == SHS_OK && strstr(head, "\r\n\r\n") == NULL) {
        if (used + 1 >= cap)
            return SHS_LIMIT;
        rc = shs__lab_app_read(talk, head + used, cap - 1 - used, &got);
        if (rc == SHS_OK) {
            used += got;
            head[used] = '\0';
        }
    }
    return rc;
}

/* The two first words of the head, cut off by NULs. */
static bool split_request(char *head, char **method, char **path)
{
    char *space = strchr(head, ' '), *end;

    if (space == NULL)
        return false;
    *space = '\0';
    *method = head;
    *path = space + 1;
    end = *path + strcspn(*path, " \r\n");
    if (*end != ' ')
        return false;
    *end = '\0';
    return true;
}

/* -- ends -------------------------------------------------------------------------------------- */

static int close_notify(struct shs__lab_talk *talk)
{
    ERR_clear_error();
    (void)SSL_shutdown(talk->ssl);
    return shs__lab_wire_flush(talk);
}

static int write_text(struct shs__lab_talk *talk, const char *text)
{
    return shs__lab_app_write(talk, text, strlen(text));
}

/* -- the usual page ---------------------------------------------------------------------------- */

static int make_page(const struct shs__lab_unit *unit, const char *fields, struct shs_buf *out)
{
    const struct shs_condition *c = &unit->public;
    const char *verdict =
        c->expect == SHS_LAB_ACCEPT   ? "A client that shows this page has done right."
        : c->expect == SHS_LAB_REJECT ? "You should not see this page: a careful client refuses it."
                                      : "Good clients differ: some show this page, some refuse it.";
    struct shs_buf body;
    int rc;

    shs__buf_init(&body, 8192);
    rc = shs__buf_printf(&body,
                         "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
                         "<meta name=\"viewport\" content=\"width=device-width\">"
                         "<meta name=\"color-scheme\" content=\"light dark\">"
                         "<title>%s</title><body style=\"font:16px system-ui;margin:2em;"
                         "max-width:40em\"><h1>%s</h1><p>%s</p><p><strong>%s</strong></p></html>\n",
                         c->id, c->id, c->served, verdict);
    if (rc == SHS_OK)
        rc = shs__buf_printf(out,
                             "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
                             "Content-Length: %zu\r\nX-Lab-Id: %s\r\n%sConnection: close\r\n\r\n",
                             body.len, c->id, fields);
    if (rc == SHS_OK)
        rc = shs__buf_append(out, shs__buf_head(&body), body.len);
    shs__buf_free(&body);
    return rc;
}

/* The lab's own pages to who asks for a name that is not a condition. */
static int make_stranger_page(struct shs__lab_talk *talk, const char *method, const char *path,
                              struct shs_buf *out)
{
    struct shs_str none = {NULL, 0};

    return shs__lab_plain_answer(talk->lab, method, path, none, out);
}

static int send_page(struct shs__lab_talk *talk, const char *fields, bool tiny)
{
    struct shs_buf out;
    int rc;

    shs__buf_init(&out, ANSWER_CEILING);
    rc = make_page(talk->unit, fields, &out);
    for (size_t i = 0; tiny && rc == SHS_OK && i < out.len; i++)
        rc = shs__lab_app_write(talk, shs__buf_head(&out) + i, 1);
    if (rc == SHS_OK && !tiny)
        rc = shs__lab_app_write(talk, shs__buf_head(&out), out.len);
    shs__buf_free(&out);
    return rc == SHS_OK ? close_notify(talk) : rc;
}

/* -- answers that are wrong -------------------------------------------------------------------- */

static int send_body(struct shs__lab_talk *talk, const char *head, size_t len)
{
    char body[BODY_LEN];
    int rc = write_text(talk, head);

    memset(body, 'x', sizeof body);
    return rc == SHS_OK ? shs__lab_app_write(talk, body, len) : rc;
}

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
#define CLOSE "Connection: close\r\n\r\n"

static int send_short(struct shs__lab_talk *talk, enum shs__lab_app app)
{
    if (app == LAB_APP_SHORT_CHUNKED)
        return send_body(talk, HEAD "Transfer-Encoding: chunked\r\n" CLOSE "80\r\n", BODY_SENT);
    if (app == LAB_APP_SHORT_EOF)
        return send_body(talk, HEAD CLOSE, BODY_SENT);
    return send_body(talk, HEAD "Content-Length: 10000\r\n" CLOSE, BODY_SENT);
}

static int update_keys(struct shs__lab_talk *talk)
{
    int rc = SHS_OK;

    for (int i = 0; i < KEY_UPDATES && rc == SHS_OK; i++) {
        ERR_clear_error();
        if (SSL_key_update(talk->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
            return SHS_TLS;
        rc = shs__lab_app_handshake(talk);
    }
    return rc;
}

/* HelloRequest; the handshake follows with what the client sends next. */
static int renegotiate(struct shs__lab_talk *talk)
{
    ERR_clear_error();
    if (SSL_renegotiate(talk->ssl) != 1 || SSL_do_handshake(talk->ssl) != 1)
        return SHS_TLS;
    return shs__lab_wire_flush(talk);
}

static int post_handshake(struct shs__lab_talk *talk)
{
    int rc;

    ERR_clear_error();
    if (SSL_verify_client_post_handshake(talk->ssl) != 1) {
        ERR_clear_error(); /* the client did not say that it can */
        rc = write_text(talk, "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n"
                              "Content-Length: 32\r\n" CLOSE "It offers no post-handshake auth\n");
        return rc == SHS_OK ? close_notify(talk) : rc;
    }
    rc = shs__lab_app_handshake(talk);
    return rc == SHS_OK ? send_page(talk, "", false) : rc;
}

static int after_close(struct shs__lab_talk *talk)
{
    /* A record behind the end: only a client that reads on sees it. */
    static const char record[] = "\x17\x03\x03\x00\x20zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";
    int rc = send_page(talk, "", false);

    return rc == SHS_OK ? shs__lab_talk_send(talk, record, sizeof record - 1) : rc;
}

static int redirect(struct shs__lab_talk *talk)
{
    char head[300];
    int rc;

    snprintf(head, sizeof head,
             "HTTP/1.1 302 Found\r\nLocation: %s/redirected\r\nContent-Length: 0\r\n" CLOSE,
             talk->lab->base_url);
    rc = write_text(talk, head);
    return rc == SHS_OK ? close_notify(talk) : rc;
}

static const char *hsts_field(int which)
{
    switch (which) {
    case LAB_HSTS_ZERO:
        return "Strict-Transport-Security: max-age=0\r\n";
    case LAB_HSTS_BAD:
        return "Strict-Transport-Security: max-age=\"forever\" includeSubDomains\r\n";
    default:
        return "Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n";
    }
}

static int answer(struct shs__lab_talk *talk)
{
    const struct shs__lab_make *make = &talk->unit->row->make;
    int rc;

    switch (make->app) {
    case LAB_APP_PAGE:
    case LAB_APP_FRAGMENTS:
    case LAB_APP_PADDED:
        return send_page(talk, "", false);
    case LAB_APP_TINY:
        return send_page(talk, "", true);
    case LAB_APP_HSTS:
        return send_page(talk, hsts_field(make->arg), false);
    case LAB_APP_SHORT_LENGTH:
    case LAB_APP_SHORT_CHUNKED:
    case LAB_APP_SHORT_EOF:
        return send_short(talk, make->app);
    case LAB_APP_NO_CLOSE_NOTIFY:
        return send_body(talk, HEAD "Content-Length: 128\r\n" CLOSE, BODY_SENT);
    case LAB_APP_EOF:
        rc = send_body(talk, HEAD CLOSE, BODY_SENT);
        return rc == SHS_OK ? close_notify(talk) : rc;
    case LAB_APP_EMPTY:
        return close_notify(talk);
    case LAB_APP_STALL:
        return shs__lab_talk_stall(talk);
    case LAB_APP_STALL_BODY:
        rc = send_body(talk, HEAD "Content-Length: 10000\r\n" CLOSE, BODY_SENT);
        return rc == SHS_OK ? shs__lab_talk_stall(talk) : rc;
    case LAB_APP_KEY_UPDATE:
        rc = update_keys(talk);
        return rc == SHS_OK ? send_page(talk, "", false) : rc;
    case LAB_APP_RENEGOTIATE:
        rc = renegotiate(talk);
        return rc == SHS_OK ? send_page(talk, "", false) : rc;
    case LAB_APP_REDIRECT:
        return redirect(talk);
    case LAB_APP_POST_HANDSHAKE:
        return post_handshake(talk);
    case LAB_APP_AFTER_CLOSE:
        return after_close(talk);
    case LAB_APP_HALF_CLOSE:
        return send_page(talk, "", false);
    }
    return SHS_USAGE;
}

/* Who has a half of the connection left may still send: it is read to its end. */
static void read_on(struct shs__lab_talk *talk)
{
    int rc = SHS_OK;

    while (rc == SHS_OK) {
        shs__buf_consume(&talk->in, talk->in.len);
        rc = shs__lab_talk_read(talk);
    }
}

int shs__lab_app(struct shs__lab_talk *talk)
{
    char *head = shs__malloc(LAB_REQUEST_MAX), *method, *path;
    struct shs_buf out;
    int rc = head == NULL ? SHS_NOMEM : read_request(talk, head, LAB_REQUEST_MAX);

    if (rc == SHS_OK) {
        talk->answering = true;
        atomic_fetch_add(&talk->unit->requests, 1);
    }
    if (rc == SHS_OK && talk->unit == &talk->lab->stranger) {
        shs__buf_init(&out, ANSWER_CEILING);
        rc = split_request(head, &method, &path) ? make_stranger_page(talk, method, path, &out)
                                                 : SHS_PROTO;
        if (rc == SHS_OK)
            rc = shs__lab_app_write(talk, shs__buf_head(&out), out.len);
        if (rc == SHS_OK)
            rc = close_notify(talk);
        shs__buf_free(&out);
    } else if (rc == SHS_OK) {
        rc = answer(talk);
        if (rc == SHS_OK && talk->unit->row->make.app == LAB_APP_HALF_CLOSE)
            read_on(talk);
    }
    shs__free(head);
    return rc;
}
