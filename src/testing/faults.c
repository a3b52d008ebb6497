/*
 * faults.c - everything that can be wrong with a server, as a table.
 *
 * A fault of a connection acts before TLS, or on what TLS writes. One of an answer takes the place
 * of the handler and writes to the connection what it likes; then the connection is cut, in the way
 * that the fault says.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "testing/server.h"
#include "tls/wire/failure.h"

#define FOREVER_MS 30000u
#define DRAIN_MS 500u
/* In the middle of what a server says first: behind its ServerHello, before its Finished. */
#define HALF_A_FLIGHT 400u
#define ALERTS 256u
#define DEFAULT_ALERT 40u /* handshake_failure */
#define MANY_FIELDS 5000u
#define LONG_FIELD ((size_t)1 << 20)

/* -- faults of a connection -------------------------------------------------------------------- */

static int over(const struct shs_test_conn *c)
{
    return shs_conn_fail(c->conn, SHS_CLOSED, 0, "a fault was wanted: %s", c->rule->rule.fault);
}

static int stall_hello(struct shs_test_conn *c, const char *argument, unsigned ms)
{
    char waste[4096];
    size_t got = 0;
    int rc;

    SHS_UNUSED(argument);
    if (c->until_ns == 0)
        c->until_ns = shs__deadline_after(shs_now_ns(), ms);
    do {
        rc = shs__stream_read(&c->conn->socket.base, waste, sizeof waste, &got);
    } while (rc == SHS_OK);
    if (rc != SHS_WAIT_READ || shs_now_ns() >= c->until_ns)
        return over(c);
    shs_conn_set_deadline(c->conn, c->until_ns);
    return rc;
}

static int cut_hello(struct shs_test_conn *c, const char *argument, unsigned ms)
{
    SHS_UNUSED(argument);
    SHS_UNUSED(ms);
    return over(c);
}

static int rst_hello(struct shs_test_conn *c, const char *argument, unsigned ms)
{
    SHS_UNUSED(argument);
    SHS_UNUSED(ms);
    shs__test_wire_reset(c->wire->fd);
    return over(c);
}

/* The few bytes that a fresh socket always takes. */
static int say_first(struct shs_test_conn *c, const void *bytes, size_t len)
{
    size_t put = 0;

    (void)shs__stream_write(&c->conn->socket.base, bytes, len, &put);
    return over(c);
}

/* By its name or its number; ALERTS for what is neither. */
static unsigned alert_number(const char *text)
{
    char name[64];

    for (unsigned i = 0; i < ALERTS; i++) {
        shs__tls_alert_name(i, name, sizeof name);
        if (strcmp(name, text) == 0)
            return i;
    }
    if (text[0] == '\0' || strlen(text) > 3 || text[strspn(text, "0123456789")] != '\0')
        return ALERTS;
    return (unsigned)strtoul(text, NULL, 10);
}

bool shs__test_is_alert(const char *text)
{
    return alert_number(text) < ALERTS;
}

static int alert_hello(struct shs_test_conn *c, const char *argument, unsigned ms)
{
    unsigned number = argument[0] == '\0' ? DEFAULT_ALERT : alert_number(argument);
    const unsigned char alert[] = {21, 3, 3, 0, 2, 2, (unsigned char)number};

    SHS_UNUSED(ms);
    return say_first(c, alert, sizeof alert);
}

static int plain_hello(struct shs_test_conn *c, const char *argument, unsigned ms)
{
    static const char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"
                               "Connection: close\r\n\r\n";

    SHS_UNUSED(argument);
    SHS_UNUSED(ms);
    return say_first(c, text, sizeof text - 1);
}

static int garbage_hello(struct shs_test_conn *c, const char *argument, unsigned ms)
{
    static const char text[] = "SSH-2.0-OpenSSH_9.2p1\r\n";

    SHS_UNUSED(argument);
    SHS_UNUSED(ms);
    return say_first(c, text, sizeof text - 1);
}

static int end_flight(struct shs_test_conn *c, enum shs_test_wire_end end)
{
    c->wire->limit = HALF_A_FLIGHT;
    c->wire->end = end;
    return SHS_OK;
}

static int stall_flight(struct shs_test_conn *c, const char *argument, unsigned ms)
{
    SHS_UNUSED(argument);
    SHS_UNUSED(ms);
    return end_flight(c, SHS_TEST_WIRE_SWALLOW);
}

static int cut_flight(struct shs_test_conn *c, const char *argument, unsigned ms)
{
    SHS_UNUSED(argument);
    SHS_UNUSED(ms);
    return end_flight(c, SHS_TEST_WIRE_CUT);
}

static int rst_flight(struct shs_test_conn *c, const char *argument, unsigned ms)
{
    SHS_UNUSED(argument);
    SHS_UNUSED(ms);
    return end_flight(c, SHS_TEST_WIRE_RESET);
}

static int corrupt_flight(struct shs_test_conn *c, const char *argument, unsigned ms)
{
    SHS_UNUSED(argument);
    SHS_UNUSED(ms);
    c->wire->corrupt_at = HALF_A_FLIGHT;
    return SHS_OK;
}

static int drip_flight(struct shs_test_conn *c, const char *argument, unsigned ms)
{
    SHS_UNUSED(argument);
    c->wire->drip_ms = ms;
    return SHS_OK;
}

/* -- the words of an answer -------------------------------------------------------------------- */

/* Who writes: the connection, and the first error, after which nothing is said any more. */
struct script {
    struct shs_test_conn *c;
    struct shs_request *req;
    const struct shs_test_rule *rule;
    const char *body;
    size_t len;
    int rc;
};

static void say(struct script *s, const void *bytes, size_t len)
{
    if (s->rc == SHS_OK && len > 0)
        s->rc = shs_conn_write(s->c->conn, bytes, len);
}

static void say_text(struct script *s, const char *fmt, ...) SHS_PRINTF(2, 3);
static void say_text(struct script *s, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    say(s, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

/* However long it is. */
static void say_field(struct script *s, const char *name, const char *value)
{
    say(s, name, strlen(name));
    say(s, ": ", 2);
    say(s, value, strlen(value));
    say(s, "\r\n", 2);
}

static void say_fields(struct script *s)
{
    const char *const *fields = s->rule->fields;

    for (size_t i = 0; fields != NULL && fields[i] != NULL && fields[i + 1] != NULL; i += 2)
        say_field(s, fields[i], fields[i + 1]);
}

/* The head but for its framing and its end. */
static void say_head(struct script *s)
{
    int status = s->rule->status == 0 ? 200 : s->rule->status;

    say_text(s, "HTTP/1.1 %d %s\r\n", status, shs_http_reason(status));
    if (s->rule->fields == NULL)
        say_text(s, "Content-Type: text/plain\r\n");
    say_fields(s);
}

static void say_length(struct script *s, size_t length)
{
    say_head(s);
    say_text(s, "Content-Length: %zu\r\n\r\n", length);
}

static void say_whole(struct script *s)
{
    say_length(s, s->len);
    say(s, s->body, s->len);
}

static void say_half(struct script *s)
{
    say_length(s, s->len);
    say(s, s->body, s->len / 2);
}

static void say_chunk(struct script *s, const char *bytes, size_t len)
{
    say_text(s, "%zx\r\n", len);
    say(s, bytes, len);
    say_text(s, "\r\n");
}

static void say_chunked_head(struct script *s)
{
    say_head(s);
    say_text(s, "Transfer-Encoding: chunked\r\n\r\n");
}

/* Until the kernel has sent all, for who cuts the connection then; an RST would take it along. */
static void drain(const struct script *s)
{
    int64_t deadline = shs__deadline_after(shs_now_ns(), DRAIN_MS);
    const struct timespec look = {.tv_nsec = SHS_NS_PER_MS};

    while (s->rc == SHS_OK && shs__socket_unsent(&s->c->conn->socket) > 0 &&
           shs_now_ns() < deadline)
        nanosleep(&look, NULL);
}

/* The end of our data as it should be: close_notify, then FIN. */
static void say_end(struct script *s)
{
    int64_t deadline = shs__deadline_after(shs_now_ns(), DRAIN_MS);
    const struct timespec look = {.tv_nsec = SHS_NS_PER_MS};

    while (s->rc == SHS_OK && shs__stream_shutdown(s->c->conn->stream) > 0 &&
           shs_now_ns() < deadline)
        nanosleep(&look, NULL);
    drain(s);
}

static void reset(const struct script *s)
{
    drain(s);
    shs__test_wire_reset(s->c->wire->fd);
}

/* Nothing for so long, or until the client has gone or the server stops. */
static void say_nothing(struct script *s, unsigned ms)
{
    struct shs_exchange *x = s->req->x;

    if (s->rc == SHS_OK)
        s->rc = x->ops->wait_peer(x, shs__deadline_after(shs_now_ns(), ms), -1);
}

/* -- faults of an answer ----------------------------------------------------------------------- */

static const char default_body[] =
    "This is the body of an answer that something is wrong with. It is long enough for half of it\n"
    "to be something that a client can hold in its hands and look at: is it all there, or not?\n"
    "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789\n"
    "abcdefghij abcdefghij abcdefghij abcdefghij abcdefghij abcdefghij abcdefghij abcdefghij\n";

/* What the client has sent is read first: who waits for it to go has to have it all. */
static int begin(struct script *s, struct shs_test_conn *c, struct shs_request *req,
                 const struct shs_test_rule *rule)
{
    char waste[4096];
    size_t got = 0;
    int rc;

    *s = (struct script){.c = c, .req = req, .rule = rule};
    s->body = rule->body == NULL ? default_body : rule->body;
    s->len = rule->body == NULL ? sizeof default_body - 1 : rule->body_len;
    do {
        rc = shs_request_read(req, waste, sizeof waste, &got);
    } while (rc == SHS_OK && got > 0);
    return rc;
}

/* An answer is a function of its script; SHS_CLOSED cuts the connection after it. */
#define ANSWER(name)                                                                               \
    static void name##_script(struct script *s);                                                   \
    static int name(struct shs_test_conn *c, struct shs_request *req,                              \
                    const struct shs_test_rule *rule)                                              \
    {                                                                                              \
        struct script s;                                                                           \
        int rc = begin(&s, c, req, rule);                                                          \
                                                                                                   \
        if (rc != SHS_OK)                                                                          \
            return rc;                                                                             \
        name##_script(&s);                                                                         \
        drain(&s);                                                                                 \
        return SHS_CLOSED;                                                                         \
    }                                                                                              \
    static void name##_script(struct script *s)

ANSWER(stall)
{
    say_nothing(s, s->rule->ms);
}

ANSWER(stall_head)
{
    say_text(s, "HTTP/1.1 200 OK\r\nContent-Ty");
    say_nothing(s, s->rule->ms);
}

ANSWER(stall_body)
{
    say_half(s);
    say_nothing(s, s->rule->ms);
}

ANSWER(cut)
{
    SHS_UNUSED(s);
}

ANSWER(cut_head)
{
    say_text(s, "HTTP/1.1 200 OK\r\nContent-Ty");
}

ANSWER(cut_body)
{
    say_half(s);
}

ANSWER(end)
{
    say_end(s);
}

ANSWER(end_head)
{
    say_text(s, "HTTP/1.1 200 OK\r\nContent-Ty");
    say_end(s);
}

ANSWER(end_body)
{
    say_half(s);
    say_end(s);
}

ANSWER(rst)
{
    reset(s);
}

ANSWER(rst_body)
{
    say_half(s);
    reset(s);
}

/* A record that OpenSSL cannot open makes it send the alert bad_record_mac. */
ANSWER(alert_body)
{
    static const unsigned char record[] = {23, 3, 3, 0, 17, 0, 0, 0, 0, 0, 0,
                                           0,  0, 0, 0, 0,  0, 0, 0, 0, 0, 0};
    char waste[256];
    size_t got;

    say_half(s);
    if (shs__buf_append(&s->c->wire->early, record, sizeof record) == SHS_OK)
        (void)shs__stream_read(s->c->conn->stream, waste, sizeof waste, &got);
    say_end(s);
}

ANSWER(close_cut)
{
    say_head(s);
    say_text(s, "Connection: close\r\n\r\n");
    say(s, s->body, s->len / 2);
}

ANSWER(length_long)
{
    say_length(s, s->len + 100);
    say(s, s->body, s->len);
    say_end(s);
}

ANSWER(length_short)
{
    say_length(s, s->len / 2);
    say(s, s->body, s->len);
    say_end(s);
}

ANSWER(length_two)
{
    say_head(s);
    say_text(s, "Content-Length: %zu\r\nContent-Length: %zu\r\n\r\n", s->len, s->len / 2);
    say(s, s->body, s->len);
    say_end(s);
}

ANSWER(length_bad)
{
    say_head(s);
    say_text(s, "Content-Length: -5\r\n\r\n");
    say(s, s->body, s->len);
    say_end(s);
}

ANSWER(length_and_chunked)
{
    say_head(s);
    say_text(s, "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n");
    say_chunk(s, s->body, s->len);
    say_text(s, "0\r\n\r\n");
    say_end(s);
}

ANSWER(chunk_bad)
{
    say_chunked_head(s);
    say_chunk(s, s->body, s->len / 2);
    say_text(s, "zz\r\n");
    say_end(s);
}

ANSWER(chunk_cut)
{
    say_chunked_head(s);
    say_chunk(s, s->body, s->len / 2);
    say_end(s);
}

ANSWER(chunk_open)
{
    say_chunked_head(s);
    say_text(s, "%zx\r\n", s->len);
    say(s, s->body, s->len);
    say_text(s, "XX0\r\n\r\n");
    say_end(s);
}

ANSWER(chunk_huge)
{
    say_chunked_head(s);
    say_text(s, "fffffffffffffffffff\r\n");
    say(s, s->body, s->len);
    say_end(s);
}

ANSWER(drip)
{
    say_length(s, s->len);
    for (size_t i = 0; i < s->len && s->rc == SHS_OK; i++) {
        say_nothing(s, s->rule->ms);
        say(s, s->body + i, 1);
    }
    say_end(s);
}

/* The beginning of what gzip made of something; 59 bytes in all. */
static const unsigned char zipped[] = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x73, 0x54, 0x48, 0xca,
    0x4f, 0xa9, 0x54, 0x28, 0xc9, 0x48, 0x2c, 0x51, 0x28, 0x4f, 0x2c, 0x56, 0x48, 0xce,
};

ANSWER(gzip_cut)
{
    say_head(s);
    say_text(s, "Content-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", sizeof zipped);
    say(s, zipped, sizeof zipped);
    say_end(s);
}

ANSWER(gzip_bad)
{
    say_head(s);
    say_text(s, "Content-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", s->len);
    say(s, s->body, s->len);
    say_end(s);
}

ANSWER(interim)
{
    for (int i = 0; i < 30; i++)
        say_text(s, "HTTP/1.1 103 Early Hints\r\nLink: </%d.css>; rel=preload\r\n\r\n", i);
    say_whole(s);
    say_end(s);
}

ANSWER(upgrade)
{
    say_text(s, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: nothing\r\n"
                "Connection: Upgrade\r\n\r\n");
    say(s, s->body, s->len);
    say_end(s);
}

ANSWER(status_bad)
{
    say_text(s, "HTTP/1.1 abc OK\r\nContent-Length: %zu\r\n\r\n", s->len);
    say(s, s->body, s->len);
    say_end(s);
}

ANSWER(version_bad)
{
    say_text(s, "HTTP/7.3 200 OK\r\nContent-Length: %zu\r\n\r\n", s->len);
    say(s, s->body, s->len);
    say_end(s);
}

ANSWER(no_http)
{
    say_text(s, "SSH-2.0-OpenSSH_9.2p1\r\n");
    say_end(s);
}

ANSWER(header_nul)
{
    static const char field[] = "X-Null: a\0b\r\n";

    say_head(s);
    say(s, field, sizeof field - 1);
    say_text(s, "Content-Length: %zu\r\n\r\n", s->len);
    say(s, s->body, s->len);
    say_end(s);
}

ANSWER(header_long)
{
    char piece[4096];

    memset(piece, 'a', sizeof piece);
    say_head(s);
    say_text(s, "X-Long: ");
    for (size_t i = 0; i < LONG_FIELD / sizeof piece; i++)
        say(s, piece, sizeof piece);
    say_text(s, "\r\nContent-Length: %zu\r\n\r\n", s->len);
    say(s, s->body, s->len);
    say_end(s);
}

ANSWER(header_many)
{
    say_head(s);
    for (unsigned i = 0; i < MANY_FIELDS; i++)
        say_text(s, "X-Field-%u: one of very many fields, each of which is not long\r\n", i);
    say_text(s, "Content-Length: %zu\r\n\r\n", s->len);
    say(s, s->body, s->len);
    say_end(s);
}

ANSWER(redirect_loop)
{
    struct shs_str target = shs_request_target(s->req);

    say_text(s,
             "HTTP/1.1 302 Found\r\nLocation: %.*s\r\nContent-Length: 0\r\n"
             "Connection: close\r\n\r\n",
             target.len < 500 ? (int)target.len : 500, target.ptr);
    say_end(s);
}

ANSWER(corrupt)
{
    s->c->wire->corrupt_last = true;
    say_whole(s);
    say_end(s);
}

const struct shs_test_fault shs__test_faults[] = {
    {"stall-hello", "the ClientHello is never answered", FOREVER_MS, stall_hello, NULL},
    {"cut-hello", "the connection ends when the ClientHello has come", 0, cut_hello, NULL},
    {"rst-hello", "and with a reset", 0, rst_hello, NULL},
    {"alert-hello", "a fatal alert in place of the ServerHello (:NAME or :NUMBER)", 0, alert_hello,
     NULL},
    {"plain-hello", "the ClientHello is answered in plain HTTP", 0, plain_hello, NULL},
    {"garbage-hello", "it is answered by an SSH server", 0, garbage_hello, NULL},
    {"stall-flight", "the server's handshake stops in its middle", 0, stall_flight, NULL},
    {"cut-flight", "it ends in its middle", 0, cut_flight, NULL},
    {"rst-flight", "it ends in its middle, with a reset", 0, rst_flight, NULL},
    {"corrupt-flight", "a byte of it is wrong", 0, corrupt_flight, NULL},
    {"drip-flight", "all that is sent comes byte by byte", 1, drip_flight, NULL},
    {"stall", "no answer", FOREVER_MS, NULL, stall},
    {"stall-head", "the answer stops in its head", FOREVER_MS, NULL, stall_head},
    {"stall-body", "the answer stops in its body", FOREVER_MS, NULL, stall_body},
    {"cut", "the connection ends without an answer, TLS without close_notify", 0, NULL, cut},
    {"cut-head", "likewise in the head of the answer", 0, NULL, cut_head},
    {"cut-body", "likewise in its body", 0, NULL, cut_body},
    {"end", "the connection ends in good order, without an answer", 0, NULL, end},
    {"end-head", "likewise in the head of the answer", 0, NULL, end_head},
    {"end-body", "likewise in its body", 0, NULL, end_body},
    {"rst", "the connection is reset in place of an answer", 0, NULL, rst},
    {"rst-body", "it is reset in the body of the answer", 0, NULL, rst_body},
    {"alert-body", "half of the body, then the fatal alert bad_record_mac", 0, NULL, alert_body},
    {"close-cut", "half of a body that ends with the connection, without close_notify", 0, NULL,
     close_cut},
    {"length-long", "Content-Length is longer than the body", 0, NULL, length_long},
    {"length-short", "Content-Length is shorter than the body", 0, NULL, length_short},
    {"length-two", "two Content-Length that differ", 0, NULL, length_two},
    {"length-bad", "Content-Length: -5", 0, NULL, length_bad},
    {"length-and-chunked", "Content-Length beside Transfer-Encoding", 0, NULL, length_and_chunked},
    {"chunk-bad", "the size of a chunk is not a number", 0, NULL, chunk_bad},
    {"chunk-cut", "the last chunk is missing", 0, NULL, chunk_cut},
    {"chunk-open", "a chunk does not end with CRLF", 0, NULL, chunk_open},
    {"chunk-huge", "the size of a chunk does not fit in 64 bits", 0, NULL, chunk_huge},
    {"drip", "the body comes byte by byte", 10, NULL, drip},
    {"gzip-cut", "a compressed body without its end", 0, NULL, gzip_cut},
    {"gzip-bad", "Content-Encoding: gzip, and the body is not", 0, NULL, gzip_bad},
    {"interim", "thirty times 103 before the answer, which is good", 0, NULL, interim},
    {"upgrade", "101, to nothing", 0, NULL, upgrade},
    {"status-bad", "the status is not a number", 0, NULL, status_bad},
    {"version-bad", "HTTP/7.3", 0, NULL, version_bad},
    {"no-http", "an SSH server answers", 0, NULL, no_http},
    {"header-nul", "a NUL in the value of a field", 0, NULL, header_nul},
    {"header-long", "a field of a mebibyte", 0, NULL, header_long},
    {"header-many", "five thousand fields", 0, NULL, header_many},
    {"redirect-loop", "302 to itself", 0, NULL, redirect_loop},
    {"corrupt", "a byte of a TLS record of the answer is wrong", 0, NULL, corrupt},
    {NULL, NULL, 0, NULL, NULL},
};
