#include "cmd/serve_proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <shs/forwarded.h>
#include <shs/router.h>

#include "base/base.h"
#include "cmd/serve_place.h"
#include "http/exchange.h"
#include "http/reply.h"

#define ADDRESSES_MAX 8u
#define CONNECT_MS 5000
#define LOOK_MS 100 /* how often it looks whether the client is still there */
#define HEAD_MAX ((size_t)65536)
#define PIECE 16384u
#define ENOUGH SHS_WAIT_WRITE /* among our own codes: no more of the body is wanted */
#define PATTERN_MAX 1024u
#define PSEUDONYM "shs" /* in Via: RFC 9110 section 7.6.3 */
#define VIA_MAX 8u      /* of these: then servers ask one another in a circle */
#define HTTP_PREFIX "http://"
#define UNIX_PREFIX "unix:"

struct address {
    struct sockaddr_storage at;
    socklen_t len;
};

struct proxy {
    char *prefix; /* "/api"; "" is everything */
    char *path;   /* what stands in its place there; NULL: it stays */
    char *target; /* as it was given, for messages */
    struct address addresses[ADDRESSES_MAX];
    size_t address_count;
    unsigned timeout_ms;
    struct shs_http_handler below, exact; /* of "/api/..." and of "/api" itself */
};

struct serve_proxies {
    struct proxy *items;
    size_t count;
    struct shs_http_handler inner, handler;
    struct shs_router *router;
    struct shs_route *routes;
    char (*patterns)[PATTERN_MAX];
};

/* -- what was given ---------------------------------------------------------------------------- */

/* The parts of "/api=http://HOST:PORT/path"; views of the text. */
struct parts {
    struct shs_str prefix, host, port, path; /* path.ptr NULL: none */
    const char *unix_path, *target;
};

static bool read_host(struct parts *out, const char *text, const char **why)
{
    size_t len = strcspn(text, "/");
    const char *colon = memrchr(text, ':', len), *end = memchr(text, ']', len);

    if (text[len] == '/')
        out->path = (struct shs_str){text + len, strlen(text + len)};
    if (colon != NULL && end != NULL && colon < end)
        colon = NULL;
    out->port = colon == NULL ? SHS_STR("80")
                              : (struct shs_str){colon + 1, (size_t)(text + len - colon - 1)};
    out->host = (struct shs_str){text, colon == NULL ? len : (size_t)(colon - text)};
    if (out->host.len >= 2 && text[0] == '[' && end == text + out->host.len - 1)
        out->host = (struct shs_str){text + 1, out->host.len - 2};
    *why = "names no host and port that can be used: http://127.0.0.1:3000";
    if (out->host.len == 0 || out->host.len >= SERVE_HOST_MAX || out->port.len == 0 ||
        out->port.len > 5 || memchr(text, '@', len) != NULL || strpbrk(text, "?# \t\r\n") != NULL)
        return false;
    for (size_t i = 0; i < out->port.len; i++) {
        if (out->port.ptr[i] < '0' || out->port.ptr[i] > '9')
            return false;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
            return false;
    }
    return true;
}

static bool read_parts(struct parts *out, const char *text, const char **why)
{
    const char *equals = strchr(text, '=');
    struct sockaddr_un room;

    memset(out, 0, sizeof *out);
    *why = "is not of the form /PATH=http://HOST:PORT or /PATH=unix:FILE";
    if (equals == NULL || text[0] != '/')
        return false;
    out->prefix = (struct shs_str){text, (size_t)(equals - text)};
    out->target = equals + 1;
    if (out->prefix.ptr[out->prefix.len - 1] == '/')
        out->prefix.len--;
    if (memchr(text, '{', (size_t)(equals - text)) != NULL || out->prefix.len > PATTERN_MAX - 16)
        return false;
    if (strncmp(out->target, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
        out->unix_path = out->target + strlen(UNIX_PREFIX);
        *why = "names no Unix socket, or its path is too long";
        return out->unix_path[0] != '\0' && strlen(out->unix_path) < sizeof room.sun_path;
    }
    if (strncmp(out->target, "https://", 8) == 0)
        *why = "goes to https, and only http:// and unix: can be asked: for servers nearby";
    if (strncmp(out->target, HTTP_PREFIX, strlen(HTTP_PREFIX)) != 0)
        return false;
    return read_host(out, out->target + strlen(HTTP_PREFIX), why);
}

bool serve_proxy_looks_right(const char *text, const char **why)
{
    struct parts parts;

    return read_parts(&parts, text, why);
}

static int find_addresses(struct proxy *self, const struct parts *parts, struct shs_error *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all = NULL;
    char host[SERVE_HOST_MAX], port[8];
    int rc;

    if (parts->unix_path != NULL) {
        struct sockaddr_un *at = (struct sockaddr_un *)(void *)&self->addresses[0].at;

        at->sun_family = AF_UNIX;
        snprintf(at->sun_path, sizeof at->sun_path, "%s", parts->unix_path);
        self->addresses[0].len = sizeof *at;
        self->address_count = 1;
        return SHS_OK;
    }
    snprintf(host, sizeof host, "%.*s", (int)parts->host.len, parts->host.ptr);
    snprintf(port, sizeof port, "%.*s", (int)parts->port.len, parts->port.ptr);
    rc = getaddrinfo(host, port, &hints, &all);
    if (rc != 0)
        return shs_error_set(err, SHS_USAGE, 0, "--proxy %s: there is no host %s: %s", self->target,
                             host, gai_strerror(rc));
    for (struct addrinfo *at = all; at != NULL && self->address_count < ADDRESSES_MAX;
         at = at->ai_next) {
        struct address *to = &self->addresses[self->address_count++];

        memcpy(&to->at, at->ai_addr, at->ai_addrlen);
        to->len = at->ai_addrlen;
    }
    freeaddrinfo(all);
    return SHS_OK;
}

/* -- a conversation with the other server ------------------------------------------------------ */

struct talk {
    const struct proxy *proxy;
    struct shs_request *req;
    struct shs_response *res;
    int fd;
    struct shs_buf in; /* what came and has not been passed on */
    struct shs_reply reply;
    bool has_head;    /* its head is passed on */
    bool is_events;   /* and it is a stream without an end */
    bool ours_failed; /* the client's side went wrong, not the other server's */
    int error;        /* errno, where that server cannot be reached; 0 */
};

/* The server is stopping: what has begun may end until then, as other requests; a stream of events
   has no end to wait for. */
static bool may_go_on(const struct talk *talk)
{
    const struct shs_server *server = shs_conn_server(shs_request_conn(talk->req));

    return !talk->is_events && shs_server_stopping(server) &&
           shs_now_ns() < shs_server_stop_deadline(server);
}

/* A client that has gone needs no answer. What cannot be asked yet, with a body that nobody has
   read, is no reason to end; nor is a buffer that is full of its next requests. */
static int look_at_client(struct talk *talk)
{
    int rc = talk->req->x->ops->wait_peer(talk->req->x, shs_now_ns(), -1);

    if (rc == SHS_OK || rc == SHS_USAGE || rc == SHS_LIMIT ||
        (rc == SHS_STOPPED && may_go_on(talk)))
        return SHS_OK;
    talk->ours_failed = true;
    return rc;
}

/* Until the socket is ready, the client has gone, or the time is over (SHS_WAIT_READ). */
static int wait_for(struct talk *talk, short events, int64_t deadline)
{
    for (;;) {
        int64_t now = shs_now_ns(), look = shs__deadline_after(now, LOOK_MS);
        struct pollfd p = {.fd = talk->fd, .events = events};
        int n = poll(&p, 1, shs__poll_ms(look < deadline ? look : deadline, now)), rc;

        if (n > 0)
            return SHS_OK;
        if (n < 0 && errno != EINTR)
            return SHS_IO;
        rc = look_at_client(talk);
        if (rc != SHS_OK)
            return rc;
        if (shs_now_ns() >= deadline)
            return SHS_WAIT_READ;
    }
}

static int64_t deadline_of(const struct talk *talk)
{
    int64_t own = shs__deadline_after(shs_now_ns(), talk->proxy->timeout_ms);
    int64_t handlers = shs_request_deadline(talk->req);

    return own < handlers ? own : handlers;
}

/* A connection to one of its addresses. SHS_WAIT_READ: none has answered in time. */
static int open_connection(struct talk *talk)
{
    int64_t deadline = shs__deadline_after(shs_now_ns(), CONNECT_MS);
    int rc = SHS_IO;

    for (size_t i = 0; i < talk->proxy->address_count; i++) {
        const struct address *at = &talk->proxy->addresses[i];
        int error = 0, one = 1;
        socklen_t len = sizeof error;

        talk->fd = socket(at->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (talk->fd < 0) {
            talk->error = errno;
            return SHS_IO;
        }
        if (at->at.ss_family != AF_UNIX) /* head and body are two writes */
            (void)setsockopt(talk->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(talk->fd, (const struct sockaddr *)&at->at, at->len) == 0)
            return SHS_OK;
        talk->error = errno;
        rc = errno == EINPROGRESS ? wait_for(talk, POLLOUT, deadline) : SHS_IO;
        if (rc == SHS_OK && (getsockopt(talk->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 ||
                             (talk->error = error) != 0))
            rc = SHS_IO;
        if (rc == SHS_OK || talk->ours_failed)
            return rc;
        (void)close(talk->fd);
        talk->fd = -1;
    }
    return rc;
}

/* -- what is asked ----------------------------------------------------------------------------- */

/* Of one connection, not of the message (RFC 9110 section 7.6.1); and what we write ourselves. */
static const char *const of_connection[] = {"Connection",
                                            "Keep-Alive",
                                            "Proxy-Connection",
                                            "TE",
                                            "Transfer-Encoding",
                                            "Upgrade",
                                            "Trailer",
                                            "Proxy-Authenticate",
                                            "Content-Length",
                                            "HTTP2-Settings",
                                            "Proxy-Authorization"};
static const char *const of_ours[] = {"Host", "Expect", "Forwarded", "X-Real-IP"};

/* A list with "," between has the word; as Connection names fields. */
static bool has_word(struct shs_str list, struct shs_str word)
{
    size_t at = 0;

    while (at < list.len) {
        size_t end = at, first, last;

        while (end < list.len && list.ptr[end] != ',')
            end++;
        first = at;
        last = end;
        while (first < last && (list.ptr[first] == ' ' || list.ptr[first] == '\t'))
            first++;
        while (last > first && (list.ptr[last - 1] == ' ' || list.ptr[last - 1] == '\t'))
            last--;
        if (shs__str_eq_nocase((struct shs_str){list.ptr + first, last - first}, word))
            return true;
        at = end + 1;
    }
    return false;
}

/* "_" as "-": programs behind CGI or WSGI cannot tell them apart, so X_Forwarded_For would be
   believed where X-Forwarded-For is not there. */
static bool begins(struct shs_str name, const char *with)
{
    for (; *with != '\0'; with++, name.ptr++, name.len--) {
        char c = name.len == 0 ? '\0' : *name.ptr == '_' ? '-' : *name.ptr;

        if (c != *with && (c < 'A' || c > 'z' || (c ^ *with) != 0x20))
            return false;
    }
    return true;
}

static bool is_any(struct shs_str name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(list[i]) == name.len && begins(name, list[i]))
            return true;
    }
    return false;
}

/* One of the request's Connection fields names it. */
static bool is_named(const struct shs_request *req, struct shs_str name)
{
    struct shs_str field, value;

    for (size_t i = 0; shs_request_header_at(req, i, &field, &value); i++) {
        if (shs__str_eq_nocase(field, SHS_STR("Connection")) && has_word(value, name))
            return true;
    }
    return false;
}

static int add_fields(struct shs_buf *out, const struct shs_request *req)
{
    struct shs_str name, value;
    int rc = SHS_OK;

    for (size_t i = 0; rc == SHS_OK && shs_request_header_at(req, i, &name, &value); i++) {
        if (is_any(name, of_connection, SHS_ARRAY_LEN(of_connection)) ||
            is_any(name, of_ours, SHS_ARRAY_LEN(of_ours)) || begins(name, "X-Forwarded-") ||
            is_named(req, name))
            continue;
        rc = shs__buf_append_str(out, name);
        if (rc == SHS_OK)
            rc = shs__buf_append_str(out, SHS_STR(": "));
        if (rc == SHS_OK)
            rc = shs__buf_append_str(out, value);
        if (rc == SHS_OK)
            rc = shs__buf_append_str(out, SHS_STR("\r\n"));
    }
    return rc;
}

/* For whom it asks: what the server believes, never what a client claims. */
static int add_client(struct shs_buf *out, const struct shs_request *req)
{
    struct shs_str host = shs_request_public_host(req), scheme = shs_request_scheme(req);
    const char *client = shs_request_client_host(req);
    bool six = strchr(client, ':') != NULL;
    bool quotable =
        memchr(host.ptr, '"', host.len) == NULL && memchr(host.ptr, '\\', host.len) == NULL;
    int rc = SHS_OK;

    if (client[0] != '\0')
        rc = shs__buf_printf(out, "X-Forwarded-For: %s\r\n", client);
    if (rc == SHS_OK)
        rc = shs__buf_printf(out, "X-Forwarded-Proto: %.*s\r\nX-Forwarded-Host: %.*s\r\n",
                             (int)scheme.len, scheme.ptr, (int)host.len, host.ptr);
    if (rc == SHS_OK && client[0] != '\0' && client[0] != '/' && quotable)
        rc = shs__buf_printf(out, "Forwarded: for=\"%s%s%s\";proto=%.*s;host=\"%.*s\"\r\n",
                             six ? "[" : "", client, six ? "]" : "", (int)scheme.len, scheme.ptr,
                             (int)host.len, host.ptr);
    return rc;
}

/* "/api/x" as it came; or, where the other server has a path of its own, that and the rest. */
static int add_target(struct shs_buf *out, const struct talk *talk, bool exact)
{
    const struct proxy *proxy = talk->proxy;
    struct shs_str query = shs_request_query(talk->req), path;
    int rc = SHS_OK;

    if (proxy->path == NULL) {
        path = shs_request_full_path(talk->req);
    } else {
        path = exact ? SHS_STR("") : shs_request_path(talk->req);
        rc = shs__buf_append_str(out, shs__str(proxy->path));
        if (rc == SHS_OK && exact && proxy->path[0] == '\0')
            path = SHS_STR("/");
    }
    if (rc == SHS_OK)
        rc = shs__buf_append_str(out, path);
    if (rc == SHS_OK && query.ptr != NULL)
        rc = shs__buf_append_str(out, SHS_STR("?"));
    if (rc == SHS_OK && query.ptr != NULL)
        rc = shs__buf_append_str(out, query);
    return rc;
}

static int make_head(struct shs_buf *out, const struct talk *talk, bool exact)
{
    struct shs_str method = shs_request_method(talk->req), host = shs_request_host(talk->req);
    uint64_t length = 0;
    int rc = shs__buf_printf(out, "%.*s ", (int)method.len, method.ptr);

    if (rc == SHS_OK)
        rc = add_target(out, talk, exact);
    if (rc == SHS_OK)
        rc = shs__buf_printf(out, " HTTP/1.1\r\nHost: %.*s\r\n", (int)host.len, host.ptr);
    if (rc == SHS_OK)
        rc = add_fields(out, talk->req);
    if (rc == SHS_OK)
        rc = add_client(out, talk->req);
    if (rc == SHS_OK && shs_request_has_body(talk->req, &length))
        rc = length == UINT64_MAX
                 ? shs__buf_append_str(out, SHS_STR("Transfer-Encoding: chunked\r\n"))
                 : shs__buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)length);
    else if (rc == SHS_OK && shs_request_header(talk->req, "Content-Length", &host))
        rc = shs__buf_append_str(out, SHS_STR("Content-Length: 0\r\n"));
    if (rc == SHS_OK)
        rc = shs__buf_append_str(out,
                                 SHS_STR("Via: 1.1 " PSEUDONYM "\r\nConnection: close\r\n\r\n"));
    return rc;
}

/* -- what is answered -------------------------------------------------------------------------- */

/* The next bytes, into talk->in; *got 0: it has closed. */
static int receive(struct talk *talk, size_t *got)
{
    int64_t deadline = deadline_of(talk);
    int rc = shs__buf_reserve(&talk->in, PIECE);

    while (rc == SHS_OK) {
        ssize_t n = recv(talk->fd, shs__buf_tail(&talk->in), PIECE, 0);

        if (n >= 0) {
            *got = (size_t)n;
            talk->in.len += (size_t)n;
            return SHS_OK;
        }
        if (errno != EAGAIN && errno != EINTR) {
            talk->error = errno;
            return SHS_IO;
        }
        rc = wait_for(talk, POLLIN, deadline);
    }
    return rc;
}

static bool is_named_by(const struct shs_reply *reply, struct shs_str name)
{
    for (size_t i = 0; i < reply->field_count; i++) {
        if (shs__str_eq_nocase(reply->fields[i].name, SHS_STR("Connection")) &&
            has_word(reply->fields[i].value, name))
            return true;
    }
    return false;
}

/* The name is borrowed until the answer is out, which is later than talk->in is freed. */
static int send_field(const struct talk *talk, const struct shs_field *field)
{
    char *name = shs_request_alloc(talk->req, field->name.len);

    if (name == NULL)
        return SHS_NOMEM;
    memcpy(name, field->name.ptr, field->name.len);
    return shs_send_field(talk->res, (struct shs_str){name, field->name.len}, field->value);
}

static int answer_head(struct talk *talk)
{
    const struct shs_reply *reply = &talk->reply;
    int rc = shs_send_response(talk->res, reply->status);

    for (size_t i = 0; rc == SHS_OK && i < reply->field_count; i++) {
        const struct shs_field *field = &reply->fields[i];

        if (shs__str_eq_nocase(field->name, SHS_STR("Content-Type")))
            talk->is_events = begins(field->value, "text/event-stream");
        if (!is_any(field->name, of_connection, SHS_ARRAY_LEN(of_connection)) &&
            !is_named_by(reply, field->name))
            rc = send_field(talk, field);
    }
    if (rc == SHS_OK && reply->has_length && !shs__status_without_body(reply->status))
        rc = shs_send_length(talk->res, reply->length);
    talk->has_head = rc == SHS_OK;
    return rc == SHS_OK ? shs_end_headers(talk->res) : rc;
}

/* Of llhttp, for shs_reply. */
static int pass_on(void *ctx, const char *bytes, size_t len)
{
    struct talk *talk = ctx;
    int rc = shs_write(talk->res, bytes, len);

    talk->ours_failed = rc != SHS_OK;
    return rc;
}

/* The head, when it is whole; fields are views of talk->in, until it is passed on. */
static int take_head(struct talk *talk)
{
    size_t used = 0;
    int rc = shs__reply_head(&talk->reply, shs__buf_head(&talk->in), talk->in.len, &used);

    if (rc == SHS_OK)
        rc = answer_head(talk);
    shs__buf_consume(&talk->in, used);
    return rc == SHS_WAIT_READ ? SHS_OK : rc;
}

/* What arrives is passed on at once, the head too: it may be a stream of events. */
static int take_more(struct talk *talk)
{
    size_t got = 0;
    int rc = receive(talk, &got);

    if (rc == SHS_OK && got == 0) {
        rc = talk->has_head ? shs__reply_end(&talk->reply) : SHS_IO;
        return rc == SHS_TRUNCATED ? SHS_PROTO : rc;
    }
    if (rc == SHS_OK && !talk->has_head)
        rc = take_head(talk);
    if (rc != SHS_OK || !talk->has_head)
        return rc;
    rc = shs__reply_body(&talk->reply, shs__buf_head(&talk->in), talk->in.len);
    shs__buf_consume(&talk->in, talk->in.len);
    if (rc == SHS_OK && !talk->reply.complete) {
        rc = shs_flush(talk->res);
        talk->ours_failed = rc != SHS_OK;
    }
    return rc;
}

/* -- the body of the request ------------------------------------------------------------------- */

static bool can_be_read(const struct talk *talk)
{
    struct pollfd p = {.fd = talk->fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

/* While the body is sent, the answer may begin, and both go on. ENOUGH: it was an error, or is
   over, and nobody waits for the rest of the body. */
static int take_early(struct talk *talk)
{
    int rc = SHS_OK;

    while (rc == SHS_OK && !talk->reply.complete && can_be_read(talk))
        rc = take_more(talk);
    if (rc == SHS_OK && (talk->reply.complete || (talk->has_head && talk->reply.status >= 400)))
        return ENOUGH;
    return rc;
}

/* All of it; ENOUGH. */
static int send_all(struct talk *talk, const char *bytes, size_t len)
{
    int64_t deadline = deadline_of(talk);

    while (len > 0) {
        ssize_t n = send(talk->fd, bytes, len, MSG_NOSIGNAL);
        int rc = SHS_OK;

        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
            deadline = deadline_of(talk);
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            rc = wait_for(talk, POLLOUT | POLLIN, deadline);
            if (rc == SHS_OK)
                rc = take_early(talk);
        } else {
            return ENOUGH; /* it may have said why */
        }
        if (rc != SHS_OK)
            return rc;
    }
    return SHS_OK;
}

static int send_piece(struct talk *talk, const char *piece, size_t len, bool chunked)
{
    char line[24];
    int rc = SHS_OK;

    snprintf(line, sizeof line, "%zx\r\n", len);
    if (chunked)
        rc = send_all(talk, line, strlen(line));
    if (rc == SHS_OK)
        rc = send_all(talk, piece, len);
    if (rc == SHS_OK && chunked)
        rc = send_all(talk, "\r\n", 2);
    return rc;
}

/* The body, piece by piece as it comes. A client that breaks off leaves it without its end. */
static int send_body(struct talk *talk)
{
    char piece[PIECE];
    uint64_t length = 0;
    size_t got = 0;
    int rc = SHS_OK;

    if (!shs_request_has_body(talk->req, &length))
        return SHS_OK;
    while (rc == SHS_OK) {
        rc = shs_request_read(talk->req, piece, sizeof piece, &got);
        if (rc != SHS_OK) {
            talk->ours_failed = true;
            return rc;
        }
        if (got == 0)
            return length == UINT64_MAX ? send_all(talk, "0\r\n\r\n", 5) : SHS_OK;
        rc = take_early(talk);
        if (rc == SHS_OK)
            rc = send_piece(talk, piece, got, length == UINT64_MAX);
    }
    return rc;
}

static int ask(struct talk *talk, bool exact)
{
    struct shs_buf head;
    int rc;

    shs__buf_init(&head, HEAD_MAX);
    rc = make_head(&head, talk, exact);
    if (rc == SHS_OK)
        rc = send_all(talk, shs__buf_head(&head), head.len);
    shs__buf_free(&head);
    if (rc == SHS_OK)
        rc = send_body(talk);
    return rc == ENOUGH ? SHS_OK : rc;
}

/* -- how it goes wrong ------------------------------------------------------------------------- */

/* For who runs the server; a client is told less. */
static void log_failure(const struct talk *talk, int rc)
{
    char text[64];
    const char *why = rc == SHS_WAIT_READ         ? "it did not answer in time (--proxy-timeout)"
                      : talk->error != 0          ? shs__strerror(talk->error, text, sizeof text)
                      : talk->reply.wrong != NULL ? talk->reply.wrong
                      : talk->has_head            ? "its answer broke off"
                      : rc == SHS_IO              ? "it closed without an answer"
                                                  : "its answer does not fit";

    shs_server_log(shs_conn_server(shs_request_conn(talk->req)), SHS_LOG_WARNING,
                   "--proxy %s=%s: %s", talk->proxy->prefix[0] == '\0' ? "/" : talk->proxy->prefix,
                   talk->proxy->target, why);
}

static int answer_failure(const struct talk *talk, int rc)
{
    if (talk->ours_failed || rc == SHS_NOMEM)
        return rc;
    log_failure(talk, rc);
    /* Half of an answer has left: the connection is cut, and nobody takes it for a whole one. */
    if (shs_response_has_left(talk->res))
        return rc == SHS_WAIT_READ ? SHS_TIMEOUT : rc;
    if (rc == SHS_WAIT_READ)
        return shs_send_error(talk->res, 504, "The server behind this one did not answer in time.");
    return shs_send_error(talk->res, 502,
                          rc == SHS_IO ? "The server behind this one cannot be reached."
                                       : "The server behind this one gave no answer that can be "
                                         "passed on.");
}

static int converse(struct talk *talk, bool exact)
{
    int rc = open_connection(talk);

    if (rc == SHS_OK) {
        talk->error = 0;
        rc = ask(talk, exact);
    }
    while (rc == SHS_OK && !talk->reply.complete)
        rc = take_more(talk);
    return rc == SHS_OK ? SHS_OK : answer_failure(talk, rc);
}

/* How often such servers have passed it on already. */
static size_t count_via(const struct shs_request *req)
{
    struct shs_str name, value;
    size_t count = 0;

    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        if (shs__str_eq_nocase(name, SHS_STR("Via")) && has_word(value, SHS_STR("1.1 " PSEUDONYM)))
            count++;
    }
    return count;
}

static bool asks_for_websocket(const struct shs_request *req)
{
    struct shs_str name, value;

    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        if (shs__str_eq_nocase(name, SHS_STR("Upgrade")) && has_word(value, SHS_STR("websocket")))
            return true;
    }
    return false;
}

/* The next byte of a path with its escapes read, and how many bytes it took. */
static char next_byte(struct shs_str path, size_t at, size_t *used)
{
    unsigned value = 0;
    char hex[3];

    *used = 1;
    if (path.ptr[at] != '%' || path.len - at < 3)
        return path.ptr[at];
    memcpy(hex, path.ptr + at + 1, 2);
    hex[2] = '\0';
    if (sscanf(hex, "%2x", &value) != 1)
        return path.ptr[at];
    *used = 3;
    return (char)value;
}

/*
 * "..;x" is ".." to servers that take off parameters, and a backslash is a slash to others: they
 * would leave the path that is theirs. What everybody reads as "..", the router has refused.
 */
static bool leads_astray(struct shs_str path)
{
    size_t dots = 0, used;
    bool only_dots = true;

    for (size_t at = 0; at < path.len; at += used) {
        char c = next_byte(path, at, &used);

        if (c == '\\' || (c == ';' && only_dots && (dots == 1 || dots == 2)))
            return true;
        dots = c == '/' ? 0 : dots + 1;
        only_dots = c == '/' || (only_dots && c == '.');
    }
    return false;
}

static int answer(struct shs_request *req, struct shs_response *res, bool exact)
{
    struct talk *talk;
    int rc;

    if (leads_astray(shs_request_full_path(req)))
        return shs_send_page(res, 404, NULL);
    if (shs_str_is(shs_request_method(req), "TRACE")) /* it would show what we add */
        return shs_send_page(res, 501, "TRACE is not passed on to the server behind this one.");
    if (asks_for_websocket(req))
        return shs_send_page(res, 501, "WebSocket is not passed on to the server behind this one.");
    if (count_via(req) >= VIA_MAX)
        return shs_send_page(res, 508, "These servers pass the request on in a circle.");
    talk = shs__calloc(1, sizeof *talk);
    if (talk == NULL)
        return SHS_NOMEM;
    talk->proxy = shs_request_ctx(req);
    talk->req = req;
    talk->res = res;
    talk->fd = -1;
    shs__buf_init(&talk->in, HEAD_MAX);
    shs__reply_init(&talk->reply, shs_str_is(shs_request_method(req), "HEAD"), pass_on, talk);
    rc = converse(talk, exact);
    if (talk->fd >= 0)
        (void)close(talk->fd);
    shs__buf_free(&talk->in);
    shs__free(talk);
    return rc;
}

static int answer_below(struct shs_request *req, struct shs_response *res)
{
    return answer(req, res, false);
}

static int answer_exact(struct shs_request *req, struct shs_response *res)
{
    return answer(req, res, true);
}

/* -- making them ------------------------------------------------------------------------------- */

static int make_one(struct proxy *self, const char *text, unsigned timeout_ms,
                    struct shs_error *err)
{
    struct parts parts;
    const char *why;

    if (!read_parts(&parts, text, &why))
        return shs_error_set(err, SHS_USAGE, 0, "--proxy %s: %s", text, why);
    if (parts.path.len > 0 && parts.path.ptr[parts.path.len - 1] == '/')
        parts.path.len--; /* a "/" comes with what is below it */
    self->prefix = shs__strndup(parts.prefix.ptr, parts.prefix.len);
    self->target = shs__strdup(parts.target);
    self->path = parts.path.ptr == NULL ? NULL : shs__strndup(parts.path.ptr, parts.path.len);
    if (self->prefix == NULL || self->target == NULL ||
        (parts.path.ptr != NULL && self->path == NULL))
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for --proxy");
    self->timeout_ms = timeout_ms;
    self->below = (struct shs_http_handler){
        .name = "Proxy", .do_HEAD = answer_below, .do_any = answer_below, .ctx = self};
    self->exact = (struct shs_http_handler){
        .name = "Proxy", .do_HEAD = answer_exact, .do_any = answer_exact, .ctx = self};
    return find_addresses(self, &parts, err);
}

static void add_route(struct serve_proxies *self, size_t at, const char *prefix, const char *behind,
                      const struct shs_http_handler *handler)
{
    snprintf(self->patterns[at], PATTERN_MAX, "%s%s", prefix, behind);
    self->routes[at] =
        (struct shs_route){.method = "*", .pattern = self->patterns[at], .handler = handler};
}

static int make_router(struct serve_proxies *self, struct shs_error *err)
{
    bool all = false;
    size_t at = 0;

    self->routes = shs__calloc(2 * self->count + 2, sizeof *self->routes);
    self->patterns = shs__calloc(2 * self->count + 1, sizeof *self->patterns);
    if (self->routes == NULL || self->patterns == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for --proxy");
    for (size_t i = 0; i < self->count; i++) {
        struct proxy *proxy = &self->items[i];

        all = all || proxy->prefix[0] == '\0';
        add_route(self, at++, proxy->prefix, "/{path...}", &proxy->below);
        if (proxy->prefix[0] != '\0')
            add_route(self, at++, proxy->prefix, "", &proxy->exact);
    }
    if (!all)
        add_route(self, at++, "", "/{path...}", &self->inner);
    return shs_router_new(&self->router, self->routes, NULL, err);
}

int serve_proxies_new(struct serve_proxies **out, const struct setting_list *list,
                      unsigned timeout_ms, const struct shs_http_handler *inner,
                      struct shs_error *err)
{
    struct serve_proxies *self = shs__calloc(1, sizeof *self);
    int rc = SHS_OK;

    if (self != NULL)
        self->items = shs__calloc(list->count, sizeof *self->items);
    if (self == NULL || self->items == NULL) {
        shs__free(self);
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for --proxy");
    }
    self->inner = *inner;
    while (rc == SHS_OK && self->count < list->count) {
        size_t i = self->count++;

        rc = make_one(&self->items[i], list->items[i], timeout_ms, err);
    }
    if (rc == SHS_OK)
        rc = make_router(self, err);
    if (rc != SHS_OK) {
        serve_proxies_free(self);
        return rc;
    }
    self->handler = *shs_router_handler(self->router);
    *out = self;
    return SHS_OK;
}

void serve_proxies_free(struct serve_proxies *self)
{
    if (self == NULL)
        return;
    shs_router_free(self->router);
    for (size_t i = 0; i < self->count; i++) {
        shs__free(self->items[i].prefix);
        shs__free(self->items[i].path);
        shs__free(self->items[i].target);
    }
    shs__free(self->items);
    shs__free(self->routes);
    shs__free(self->patterns);
    shs__free(self);
}

const struct shs_http_handler *serve_proxies_handler(const struct serve_proxies *self)
{
    return &self->handler;
}
