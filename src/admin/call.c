/*
 * call.c - a request of the admin plane, from the guard to its line in the audit log.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/admin.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

#include <shs/json.h>

#include "base/text.h"
#include "handler/chain.h"
#include "http/exchange.h"
#include "server/loopback.h"

/* How long a change waits for the one before it. */
#define CHANGE_WAIT_MS 10000u
/* A head has a bound; escaped, it has six times as much. */
#define LINE_MAX_BYTES ((size_t)512 * 1024)

static const char slot; /* of a request: its call */

struct shs_admin_call *shs__admin_call(const struct shs_request *req)
{
    return shs_request_slot(req, &slot);
}

int shs__admin_refuse(struct shs_response *res, int status, const char *error, json_t *members)
{
    json_t *value = json_pack("{s:o}", "error", shs__admin_text(error));

    if (value != NULL && members != NULL && json_object_update(value, members) != 0) {
        json_decref(value);
        value = NULL;
    }
    json_decref(members);
    return shs_send_json(res, status, value);
}

void shs__admin_changed(struct shs_request *req, json_t *before, json_t *after)
{
    struct shs_admin_call *call = shs__admin_call(req);

    json_decref(call->before);
    json_decref(call->after);
    call->before = before;
    call->after = after;
}

/* -- who --------------------------------------------------------------------------------------- */

static void identify(struct shs_admin_call *call, struct shs_request *req)
{
    struct shs_conn *conn = shs_request_conn(req);
    struct shs_tls_info tls;

    shs_identity_init(&call->who);
    shs_request_identity(req, &call->who);
    call->via = shs_conn_tls_info(conn, &tls) ? "tls" : "tcp";
    if (shs_server_address_family(shs_conn_server(conn)) == AF_UNIX)
        call->via = "unix";
    shs_identity_text(&call->who, call->name, sizeof call->name);
}

/* Without rules: the socket's own user, and root. */
static void judge_without_rules(struct shs_admin_call *call)
{
    struct shs_access_decision *d = &call->decision;

    snprintf(d->need, sizeof d->need, "admin");
    if (call->who.has_process && (call->who.uid == call->admin->uid || call->who.uid == 0)) {
        d->allowed = true;
        snprintf(d->role, sizeof d->role, "admin");
        snprintf(d->rule, sizeof d->rule, "%s, without rules",
                 call->who.uid == 0 ? "root" : "the socket's own user");
        return;
    }
    snprintf(d->rule, sizeof d->rule, "there are no rules");
}

static void judge(struct shs_admin_call *call, struct shs_request *req)
{
    if (call->admin->rules == NULL)
        judge_without_rules(call);
    else
        shs_access_decide(call->admin->rules, &call->who, shs_request_method(req),
                          shs_request_full_path(req), &call->decision);
}

struct shs_str shs__admin_rate_key(void *ctx, struct shs_request *req)
{
    SHS_UNUSED(ctx);
    return shs__str(shs__admin_call(req)->name);
}

/* -- the guard: nothing for web pages ---------------------------------------------------------- */

/* "host:8443" or "[::1]:8443" without the port. */
static struct shs_str without_port(struct shs_str host)
{
    const char *end;

    if (host.len > 0 && host.ptr[0] == '[') {
        end = memchr(host.ptr, ']', host.len);
        return end == NULL ? host : (struct shs_str){host.ptr + 1, (size_t)(end - host.ptr) - 1};
    }
    end = memchr(host.ptr, ':', host.len);
    return end == NULL ? host : (struct shs_str){host.ptr, (size_t)(end - host.ptr)};
}

static void local_address(const struct shs_conn *conn, char *text, socklen_t cap)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } at;
    socklen_t len = sizeof at;

    text[0] = '\0';
    if (getsockname(shs_conn_fileno(conn), &at.sa, &len) != 0)
        return;
    if (at.sa.sa_family == AF_INET)
        inet_ntop(AF_INET, &at.in.sin_addr, text, cap);
    else if (at.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&at.in6.sin6_addr))
        inet_ntop(AF_INET, &at.in6.sin6_addr.s6_addr[12], text, cap);
    else if (at.sa.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &at.in6.sin6_addr, text, cap);
}

/*
 * What stands for a Unix socket: "admin", or where a relay of its owner listens (ssh -L). A name of
 * the DNS is a page's own, which it has pointed there.
 */
static bool is_local_name(struct shs_str host)
{
    char text[INET6_ADDRSTRLEN];

    if (memchr(host.ptr, '.', host.len) == NULL)
        return true;
    if (host.len >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)host.len, host.ptr);
    return shs__is_loopback(text);
}

/* Is that one of the names we are asked by? By another one a page's own name has led here. */
static bool is_our_name(const struct shs_admin_call *call, struct shs_request *req)
{
    struct shs_str host = without_port(shs_request_host(req));
    struct shs_conn *conn = shs_request_conn(req);
    char address[INET6_ADDRSTRLEN];
    struct shs_tls_info tls;

    if (call->who.has_process && (host.len == 0 || is_local_name(host)))
        return true;
    local_address(conn, address, sizeof address);
    if (shs_str_is(host, address) || shs_str_is_nocase(host, "localhost") ||
        (shs_conn_tls_info(conn, &tls) && tls.sni[0] != '\0' && shs_str_is_nocase(host, tls.sni)))
        return true;
    for (size_t i = 0; call->admin->opt.host_names != NULL && call->admin->opt.host_names[i]; i++) {
        if (shs_str_is_nocase(host, call->admin->opt.host_names[i]))
            return true;
    }
    return false;
}

/* Is the page that asks one of ours? */
static bool is_own_page(struct shs_request *req)
{
    struct shs_str origin, site, host = shs_request_host(req);

    if (shs_request_header(req, "Sec-Fetch-Site", &site) && !shs_str_is(site, "same-origin") &&
        !shs_str_is(site, "none"))
        return false;
    if (!shs_request_header(req, "Origin", &origin))
        return true;
    if (shs_str_starts_with(origin, "https://"))
        origin = (struct shs_str){origin.ptr + 8, origin.len - 8};
    else if (shs_str_starts_with(origin, "http://"))
        origin = (struct shs_str){origin.ptr + 7, origin.len - 7};
    return shs_str_eq_nocase(origin, host);
}

/* What a page uses without asking: an image, a script. One of ours says where it is from. */
static bool is_embedded(struct shs_request *req)
{
    struct shs_str mode, site;

    if (!shs_request_header(req, "Sec-Fetch-Mode", &mode))
        return false;
    if (shs_str_is(mode, "websocket"))
        return true;
    return shs_str_is(mode, "no-cors") &&
           !(shs_request_header(req, "Sec-Fetch-Site", &site) && shs_str_is(site, "same-origin"));
}

/* 0, or the status; call->refused says why. */
static int guard(struct shs_admin_call *call, struct shs_request *req)
{
    struct shs_str value;

    if (shs_request_header(req, "Upgrade", &value)) {
        call->refused = "no other protocol is spoken here";
        return 400;
    }
    if (!is_our_name(call, req))
        call->refused = "the Host field has a name that is not this server's";
    else if (!is_own_page(req))
        call->refused = "a page of another site asks";
    else if (is_embedded(req))
        call->refused = "a page would embed this";
    return call->refused == NULL ? 0 : 403;
}

/* -- the audit log ----------------------------------------------------------------------------- */

json_t *shs__admin_who(const struct shs_admin_call *call)
{
    const struct shs_identity *who = &call->who;

    if (who->has_process)
        return json_pack("{s:I, s:I, s:I}", "uid", (json_int_t)who->uid, "gid",
                         (json_int_t)who->gid, "pid", (json_int_t)who->pid);
    return shs__admin_certificate_value(who->cert);
}

static json_t *line_begin(const struct shs_admin_call *call, struct shs_request *req)
{
    struct shs_conn *conn = shs_request_conn(req);
    const char *route = shs_request_route(req);

    return json_pack("{s:o, s:o, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "time",
                     shs__admin_time_ms(shs__admin_now_ms()), "id",
                     shs__admin_text_str(shs_request_id(req)), "via", call->via, "peer",
                     shs__admin_text_or_null(shs_conn_client_host(conn)), "port",
                     (int)shs_conn_client_port(conn), "identity", shs__admin_who(call), "name",
                     shs__admin_text(call->name), "ca", shs__admin_text_or_null(call->decision.ca),
                     "role", shs__admin_text_or_null(call->decision.role), "rule",
                     shs__admin_text_or_null(call->decision.rule), "method",
                     shs__admin_text_str(shs_request_method(req)), "path",
                     shs__admin_text_str(shs_request_target(req)), "route", shs__admin_text(route));
}

static json_t *line_end(struct shs_admin_call *call, int status)
{
    json_t *value =
        json_pack("{s:i, s:o}", "status", status, "refused", shs__admin_text(call->refused));

    if (value != NULL && (call->before != NULL || call->after != NULL)) {
        (void)json_object_set_new(
            value, "change",
            json_pack("{s:o, s:o}", "before",
                      call->before == NULL ? json_null() : json_incref(call->before), "after",
                      call->after == NULL ? json_null() : json_incref(call->after)));
    }
    return value;
}

static struct shs_str text_of(const struct shs_buf *b)
{
    return (struct shs_str){shs__buf_head(b), b->len};
}

static int write_line(struct shs_admin_call *call, struct shs_request *req, int status)
{
    json_t *line = line_begin(call, req), *end = line_end(call, status);
    struct shs_buf text;
    int rc = SHS_NOMEM;

    shs__buf_init(&text, LINE_MAX_BYTES);
    if (line != NULL && end != NULL && json_object_update(line, end) == 0)
        rc = shs__admin_dump(json_incref(line), &text);
    if (rc == SHS_OK)
        rc = shs__admin_audit_line(call->admin->audit, text_of(&text));
    json_decref(line);
    json_decref(end);
    shs__buf_free(&text);
    return rc;
}

/* The same in two parts: {"a":1 and ,"b":2} */
int shs__admin_record_begin(struct shs_admin *self, json_t *line, struct shs_error *err)
{
    struct shs_buf text;
    int rc;

    shs__buf_init(&text, LINE_MAX_BYTES);
    rc = shs__admin_dump(line, &text);
    if (rc != SHS_OK) {
        shs_error_set(err, rc, 0, "its line cannot be made: %s", shs_err_text(rc));
    } else {
        text.len--; /* without the brace */
        rc = shs__admin_audit_begin(self->audit, text_of(&text), CHANGE_WAIT_MS, err);
    }
    shs__buf_free(&text);
    return rc;
}

int shs__admin_record_end(struct shs_admin *self, json_t *end, int status)
{
    struct shs_buf text;
    int rc;

    shs__buf_init(&text, LINE_MAX_BYTES);
    if (shs__admin_dump(end, &text) != SHS_OK) {
        text.len = 0;
        (void)shs__buf_printf(&text, "{\"status\":%d}", status);
    }
    if (text.len > 0)
        shs__buf_head(&text)[0] = ',';
    rc = shs__admin_audit_end(self->audit, text_of(&text));
    shs__buf_free(&text);
    return rc;
}

void shs__admin_audit_failure(struct shs_admin *self, const struct shs_tls_failure *failure)
{
    struct shs_buf text;
    json_t *line;

    if (failure->cause != SHS_TLS_CAUSE_CLIENT_CERT)
        return;
    line =
        json_pack("{s:o, s:s, s:s, s:o, s:i, s:o, s:o, s:n, s:o}", "time",
                  shs__admin_time_ms(shs__admin_now_ms()), "event", "handshake", "via", "tls",
                  "peer", shs__admin_text(shs_conn_client_host(failure->conn)), "port",
                  (int)shs_conn_client_port(failure->conn), "identity",
                  json_pack("{s:o, s:o}", "subject", shs__admin_text_or_null(failure->cert_subject),
                            "cert_sha256", shs__admin_text_or_null(failure->cert_sha256)),
                  "cause", shs__admin_text(failure->label), "status", "refused",
                  shs__admin_text(shs__admin_failure_reason(failure)));
    shs__buf_init(&text, LINE_MAX_BYTES);
    if (shs__admin_dump(line, &text) == SHS_OK)
        (void)shs__admin_audit_line(self->audit, text_of(&text));
    shs__buf_free(&text);
}

/* -- one request ------------------------------------------------------------------------------- */

static int refuse_change(struct shs_response *res, const struct shs_error *err)
{
    if (err->code == SHS_TIMEOUT)
        return shs__admin_refuse(res, 503, "another change is under way; try again", NULL);
    return shs__admin_refuse(res, 503, "the audit log cannot be written, so nothing is changed",
                             json_pack("{s:o}", "detail", shs__admin_text(err->text)));
}

/* If-Match: who decides by what he has seen, is told when it is another thing by now. */
static bool matches(struct shs_admin *self, struct shs_request *req)
{
    struct shs_str wanted;
    char tag[80];

    if (!shs_request_header(req, "If-Match", &wanted) || shs_str_is(wanted, "*"))
        return true;
    return shs__admin_config_tag(self, tag, sizeof tag) == SHS_OK && shs_str_is(wanted, tag);
}

int shs__admin_change(struct shs_request *req, struct shs_response *res, void *ctx,
                      const struct shs_next *next)
{
    struct shs_admin_call *call = shs__admin_call(req);
    struct shs_error err = {.code = SHS_OK};

    SHS_UNUSED(ctx);
    call->changing = shs__admin_record_begin(call->admin, line_begin(call, req), &err) == SHS_OK;
    if (!call->changing)
        return refuse_change(res, &err);
    /* From here on nobody else changes anything. */
    if (!matches(call->admin, req))
        return shs__admin_refuse(res, 412, "the configuration is not as it was: GET config", NULL);
    return shs_next_call(next, req, res);
}

static int forbid(struct shs_response *res, const struct shs_admin_call *call)
{
    return shs__admin_refuse(res, 403, "forbidden",
                             json_pack("{s:o, s:o}", "need",
                                       shs__admin_text_or_null(call->decision.need), "have",
                                       shs__admin_text_or_null(call->decision.role)));
}

bool shs__admin_still_allowed(struct shs_request *req)
{
    struct shs_admin_call now = {.admin = shs_request_ctx(req)};

    if (now.admin->rules == NULL)
        return true;
    now.who = shs__admin_call(req)->who;
    judge(&now, req);
    return now.decision.allowed;
}

/* GET whoami is for everybody, and the way to the page. */
static bool is_for_all(struct shs_request *req)
{
    return (shs_str_is(shs_request_path(req), SHS_ADMIN_PREFIX "/whoami") ||
            shs_str_is(shs_request_path(req), "/")) &&
           (shs_str_is(shs_request_method(req), "GET") ||
            shs_str_is(shs_request_method(req), "HEAD"));
}

static int let_in(struct shs_request *req, struct shs_response *res, void *ctx,
                  const struct shs_next *next)
{
    struct shs_admin_call *call = shs__admin_call(req);

    SHS_UNUSED(ctx);
    if (!call->decision.allowed && !is_for_all(req))
        return forbid(res, call);
    return shs_next_call(next, req, res);
}

/* The status that there will be, also when the server makes the answer of an error. */
static int status_of(const struct shs_request *req, const struct shs_response *res, int rc)
{
    if (rc == SHS_OK)
        return shs_response_status(res);
    return req->refusal.status != 0 ? req->refusal.status : 500;
}

static void call_over(void *arg)
{
    struct shs_admin_call *call = arg;

    json_decref(call->before);
    json_decref(call->after);
}

static int dispatch(struct shs_admin_call *call, struct shs_request *req, struct shs_response *res)
{
    static const struct shs_middleware judged = {"access", let_in, NULL};
    const struct shs_middleware *const chain[] = {shs_rate_limit_middleware(call->admin->rate),
                                                  &judged, NULL};
    struct shs_next next = {chain, shs_router_handler(call->admin->router), NULL};
    int status = guard(call, req);

    if (status != 0)
        return shs__admin_refuse(res, status, call->refused, NULL);
    judge(call, req);
    return shs_next_call(&next, req, res);
}

int shs__admin_answer(struct shs_request *req, struct shs_response *res)
{
    struct shs_admin_call *call = shs_request_alloc(req, sizeof *call);
    int rc, status;

    if (call == NULL)
        return SHS_NOMEM;
    memset(call, 0, sizeof *call);
    call->admin = shs_request_ctx(req);
    SHS_RETURN_IF_ERROR(shs_request_on_end(req, call_over, call));
    SHS_RETURN_IF_ERROR(shs_request_set_slot(req, &slot, call));
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Cache-Control", "no-store"));
    identify(call, req);
    rc = dispatch(call, req, res);
    status = status_of(req, res, rc);
    if (call->changing) {
        if (status < 300)
            atomic_fetch_add(&call->admin->changes, 1);
        (void)shs__admin_record_end(call->admin, line_end(call, status), status);
    } else {
        (void)write_line(call, req, status);
    }
    return rc;
}

#endif
