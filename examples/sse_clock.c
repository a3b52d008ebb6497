/*
 * sse_clock.c - server-sent events: a page whose clock is the server's.
 *
 *   sse_clock [PORT [CERT.pem [KEY.pem]]]                 without a certificate: plain HTTP
 *   curl -N http://127.0.0.1:8080/clock?ms=500
 *
 * /clock is an answer that never ends: an event every `ms` milliseconds until the client goes,
 * which the handler notices while it waits. A browser that comes back says which event it saw last.
 */
#include <shs/shs.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct shs_server *running;

static const char page[] =
    "<!DOCTYPE html><html lang=\"en\"><title>Clock</title><h1 id=\"t\">...</h1><script>\n"
    "new EventSource('/clock').addEventListener('tick',\n"
    "  e => document.getElementById('t').textContent = e.data)\n"
    "</script></html>\n";

/* A number in a query or a field; `otherwise` when it is none, or beyond `max`. */
static unsigned long number(struct shs_str s, unsigned long max, unsigned long otherwise)
{
    char text[12], *end;
    unsigned long n;

    if (s.ptr == NULL || s.len == 0 || s.len >= sizeof text || s.ptr[0] < '0' || s.ptr[0] > '9')
        return otherwise;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    n = strtoul(text, &end, 10);
    return *end == '\0' && n <= max ? n : otherwise;
}

static int clock_get(struct shs_request *req, struct shs_response *res)
{
    struct shs_str ms, last = {NULL, 0};
    unsigned long interval, count;
    int rc;

    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "ms", &ms));
    interval = number(ms, 60000, 1000);
    shs_request_header(req, "Last-Event-ID", &last);
    count = number(last, 1000000000, 0);
    rc = shs_sse_start(res);
    if (rc == SHS_OK)
        rc = shs_sse_retry(res, 1000);
    while (rc == SHS_OK) {
        char text[64], id[24];
        time_t now = time(NULL);
        struct tm tm;

        strftime(text, sizeof text, "%Y-%m-%d\n%H:%M:%S UTC", gmtime_r(&now, &tm));
        snprintf(id, sizeof id, "%lu", ++count);
        rc = shs_sse_send(res, "tick", id, text);
        if (rc == SHS_OK)
            rc = shs_sse_wait(res, (unsigned)interval);
    }
    fprintf(stderr, "a client has gone after event %lu: %s\n", count, shs_err_name(rc));
    return shs_sse_end(res, rc);
}

static int get(struct shs_request *req, struct shs_response *res)
{
    struct shs_str path = shs_request_path(req);

    if (path.len == 6 && memcmp(path.ptr, "/clock", 6) == 0)
        return clock_get(req, res);
    if (path.len != 1)
        return shs_send_error(res, 404, NULL);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/html;charset=utf-8"));
    return shs_write(res, page, sizeof page - 1);
}

static const struct shs_http_handler handler = {.name = "sse_clock", .do_GET = get};

static void on_stop(int signal_number)
{
    (void)signal_number;
    shs_shutdown(running);
}

int main(int argc, char **argv)
{
    struct sigaction stop = {.sa_handler = on_stop};
    struct shs_options opt;
    struct shs_error err;
    int rc;

    shs_options_init(&opt);
    opt.port = argc > 1 ? argv[1] : "8080";
    opt.certfile = argc > 2 ? argv[2] : NULL;
    opt.keyfile = argc > 3 ? argv[3] : NULL;
    opt.bind_and_activate = opt.certfile != NULL;
    rc = opt.certfile != NULL ? shs_secure_http_server_new(&running, &opt, &handler, &err)
                              : shs_http_server_new(&running, &opt, &handler, &err);
    if (rc == SHS_OK && opt.certfile == NULL) { /* compose by hand: threads, but no TLS */
        rc = shs_threading_mixin_push(running, &err);
        if (rc == SHS_OK)
            rc = shs_server_bind_and_activate(running, &err);
    }
    if (rc != SHS_OK)
        return fprintf(stderr, "sse_clock: %s\n", err.text), 1;
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    printf("Serving %s on 127.0.0.1 port %u (%s://127.0.0.1:%u/) ...\n",
           opt.certfile != NULL ? "HTTPS" : "HTTP", shs_server_port(running),
           opt.certfile != NULL ? "https" : "http", shs_server_port(running));
    fflush(stdout);
    rc = shs_serve_forever(running);
    shs_server_free(running);
    return rc != SHS_OK;
}
