/*
 * router.c - <shs/router.h>: from a request to its route.
 *
 * A path is cut as it came and each segment is decoded by itself, so that no encoding makes a
 * separator. Nothing is allocated for a path without "%" and without parameters.
 */
#include <shs/router.h>

#include <stdio.h>

#include <shs/text.h>

#include "base/text.h"
#include "handler/chain.h"
#include "handler/router_tree.h"

/* Methods of one path, as Allow lists them. */
#define ALLOW_MAX 512
#define LEAVES_MAX 16

/* What a request has matched: in its slot, for shs_request_param. */
struct match {
    const struct shs_route_entry *entry;
    const struct match *outer; /* of the router around this one */
    const char *route; /* the patterns of both, and of the one in it once that has matched */
    struct shs_str values[];
};

static const char slot_key;

/* A path on its way through the tree. */
struct search {
    struct shs_request *req;
    struct shs_str method;
    struct shs_str raw;                    /* the whole path */
    struct shs_str segs[SHS_MAX_SEGMENTS]; /* decoded */
    size_t starts[SHS_MAX_SEGMENTS];       /* where each begins in raw, behind its "/" */
    size_t count;                          /* of all segments; the first 32 are here */
    size_t params[SHS_MAX_SEGMENTS];       /* which segments are parameters' */
    size_t param_count;
    const struct shs_route_entry *leaves[LEAVES_MAX]; /* the path is there, the method is not */
    size_t leaf_count;
};

/* -- which path reads as which----------------------------------------------------------------- */

/* SHS_OK with *out; SHS_PROTO for what reads as nothing; SHS_NOMEM. */
static int decode(struct shs_request *req, struct shs_str raw, struct shs_str *out)
{
    char *text;
    int rc;

    if (memchr(raw.ptr, '%', raw.len) == NULL) {
        *out = raw;
        return SHS_OK;
    }
    text = shs_request_alloc(req, raw.len);
    if (text == NULL)
        return SHS_NOMEM;
    rc = shs_percent_decode(raw, text, raw.len, &out->len);
    out->ptr = text;
    return rc;
}

/* A leading run of "/" was made one; what was before the path tells it. */
static bool began_with_a_run(const struct shs_request *req, struct shs_str path)
{
    struct shs_str target = shs_request_target(req);

    return path.ptr > target.ptr && path.ptr <= target.ptr + target.len && path.len > 0 &&
           path.ptr[0] == '/' && path.ptr[-1] == '/';
}

static int cut_path(struct search *s)
{
    struct shs_str raw = s->raw;
    size_t at = 0;

    if (raw.len == 0 || raw.ptr[0] != '/' || began_with_a_run(s->req, raw))
        return SHS_PROTO;
    while (at < raw.len) {
        const char *start = raw.ptr + at + 1, *slash;
        struct shs_str segment = {start, raw.len - at - 1};
        int rc;

        slash = memchr(start, '/', segment.len);
        if (slash != NULL)
            segment.len = (size_t)(slash - start);
        if (segment.len == 0 && slash != NULL)
            return SHS_PROTO; /* "//" */
        if (s->count < SHS_MAX_SEGMENTS)
            s->starts[s->count] = at + 1;
        at += segment.len + 1;
        rc = decode(s->req, segment, &segment);
        if (rc != SHS_OK)
            return rc;
        if (shs__segment_has_dots(segment))
            return SHS_PROTO;
        if (s->count < SHS_MAX_SEGMENTS)
            s->segs[s->count] = segment;
        s->count++;
    }
    return SHS_OK;
}

/* -- the way in the tree----------------------------------------------------------------------- */

static const struct shs_route_entry *with_method(const struct shs_route_entry *list,
                                                 struct shs_str method)
{
    const struct shs_route_entry *any = NULL;

    for (; list != NULL; list = list->next) {
        if (shs_str_is(method, list->method))
            return list;
        if (list->method[0] == '*' && list->method[1] == '\0')
            any = list;
    }
    return any;
}

static const struct shs_route_entry *choose(struct search *s, const struct shs_route_entry *list)
{
    const struct shs_route_entry *found = with_method(list, s->method);

    if (found == NULL && shs_str_is(s->method, "HEAD"))
        found = with_method(list, SHS_STR("GET"));
    if (found == NULL && list != NULL && s->leaf_count < LEAVES_MAX)
        s->leaves[s->leaf_count++] = list;
    return found;
}

static const struct shs_route_node *find_kid(const struct shs_route_node *node, struct shs_str text)
{
    size_t low = 0, high = node->kid_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = shs__segment_order(node->kids[mid]->text, text);

        if (order == 0)
            return node->kids[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* The most specific one first. No deeper than the patterns; no node is seen twice. */
static const struct shs_route_entry *find(struct search *s, const struct shs_route_node *node,
                                          size_t i)
{
    const struct shs_route_entry *found = NULL;
    const struct shs_route_node *kid;

    if (i == s->count)
        return choose(s, node->here);
    if (i < SHS_MAX_SEGMENTS) {
        kid = find_kid(node, s->segs[i]);
        if (kid != NULL)
            found = find(s, kid, i + 1);
        if (found == NULL && node->param != NULL && s->segs[i].len > 0) {
            s->params[s->param_count++] = i;
            found = find(s, node->param, i + 1);
            if (found == NULL)
                s->param_count--;
        }
    }
    if (found == NULL && node->rest != NULL && i < SHS_MAX_SEGMENTS) {
        s->params[s->param_count++] = i;
        found = choose(s, node->rest);
        if (found == NULL)
            s->param_count--;
    }
    return found;
}

/* -- parameters-------------------------------------------------------------------------------- */

/* "/api/{rest...}" and "/items/{id}" in it are "/api/items/{id}". NULL: no memory. */
static const char *join_routes(struct shs_request *req, const struct match *outer,
                               const char *pattern)
{
    size_t head = strlen(outer->route), len = strlen(pattern);
    char *text;

    if (!outer->entry->mounted_rest)
        return pattern; /* called by hand: the path is the whole one */
    head = (size_t)((char *)memrchr(outer->route, '/', head) - outer->route);
    text = shs_request_alloc(req, head + len + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, outer->route, head);
    memcpy(text + head, pattern, len + 1);
    return text;
}

static int keep_params(struct search *s, const struct shs_route_entry *entry)
{
    size_t count = entry->name_count;
    struct match *match =
        shs_request_alloc(s->req, sizeof *match + count * sizeof match->values[0]);

    if (match == NULL)
        return SHS_NOMEM;
    match->entry = entry;
    match->outer = shs_request_slot(s->req, &slot_key);
    match->route =
        match->outer == NULL ? entry->pattern : join_routes(s->req, match->outer, entry->pattern);
    if (match->route == NULL)
        return SHS_NOMEM;
    for (size_t i = 0; i < count; i++) {
        size_t at = s->params[i];
        struct shs_str rest = {s->raw.ptr + s->starts[at], s->raw.len - s->starts[at]};

        match->values[i] = s->segs[at];
        if (entry->rest && i + 1 == count) /* all that is left, as a whole */
            SHS_RETURN_IF_ERROR(decode(s->req, rest, &match->values[i]));
    }
    return shs_request_set_slot(s->req, &slot_key, match);
}

bool shs_request_param(const struct shs_request *req, const char *name, struct shs_str *out)
{
    const struct match *match = shs_request_slot(req, &slot_key);

    for (; match != NULL; match = match->outer) {
        for (size_t i = 0; i < match->entry->name_count; i++) {
            if (shs_str_is(match->entry->names[i], name)) {
                *out = match->values[i];
                return true;
            }
        }
    }
    return false;
}

const char *shs_request_route(const struct shs_request *req)
{
    const struct match *match = shs_request_slot(req, &slot_key);

    return match == NULL ? NULL : match->route;
}

/* -- answers----------------------------------------------------------------------------------- */

/* What the route took too long for: not sent any more, if that can be. */
static int in_time(int rc, int64_t deadline_ns, struct shs_response *res)
{
    /* A client that was too slow with its body has its own answer, 408. */
    if (shs_now_ns() < deadline_ns || shs_response_has_left(res) || rc == SHS_TIMEOUT)
        return rc;
    return shs_send_error(res, 503, "The answer was not ready in time.");
}

static int run(struct search *s, const struct shs_route_entry *entry, struct shs_response *res)
{
    struct shs_next next = {entry->list, entry->handler, NULL};
    int64_t deadline_ns = INT64_MAX;
    int rc;

    if (entry->time_ms != 0) {
        deadline_ns = shs__deadline_after(shs_now_ns(), entry->time_ms);
        shs_request_set_deadline(s->req, deadline_ns);
    }
    if (entry->max_body != 0)
        SHS_RETURN_IF_ERROR(shs_request_limit_body(s->req, entry->max_body));
    SHS_RETURN_IF_ERROR(keep_params(s, entry));
    if (entry->mounted_rest) {
        size_t slash = s->starts[s->params[entry->name_count - 1]] - 1;

        shs_request_set_path(s->req, (struct shs_str){s->raw.ptr + slash, s->raw.len - slash});
    }
    rc = shs_next_call(&next, s->req, res);
    if (entry->mounted_rest)
        shs_request_set_path(s->req, s->raw);
    return deadline_ns == INT64_MAX ? rc : in_time(rc, deadline_ns, res);
}

static void list_method(char *allow, const char *method)
{
    size_t len = strlen(allow);

    for (const char *at = allow; (at = strstr(at, method)) != NULL; at++) {
        char before = at == allow ? ' ' : at[-1], behind = at[strlen(method)];

        if (before == ' ' && (behind == ',' || behind == '\0'))
            return;
    }
    if (len + strlen(method) + 3 < ALLOW_MAX)
        snprintf(allow + len, ALLOW_MAX - len, "%s%s", len == 0 ? "" : ", ", method);
}

static void list_methods(char *allow, const struct shs_route_entry *list)
{
    for (; list != NULL; list = list->next) {
        if (list->method[0] == '*' && list->method[1] == '\0')
            continue;
        list_method(allow, list->method);
        if (strcmp(list->method, "GET") == 0)
            list_method(allow, "HEAD");
    }
}

/* The end of the chain where there is the path, but not the method. */
static int answer_methods(struct shs_request *req, struct shs_response *res)
{
    const char *allow = shs_request_ctx(req);

    if (shs_str_is(shs_request_method(req), "OPTIONS")) {
        SHS_RETURN_IF_ERROR(shs_send_response(res, 204));
        SHS_RETURN_IF_ERROR(shs_send_header(res, "Allow", allow));
        return shs_end_headers(res);
    }
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Allow", allow));
    return shs_send_page(res, 405, "This method is not allowed here.");
}

/*
 * The chain of the path's route runs all the same: CORS has something to say about OPTIONS, and who
 * may not come in need not know what there is.
 */
static int run_without_method(struct search *s, struct shs_response *res)
{
    char *allow = shs_request_alloc(s->req, ALLOW_MAX);
    struct shs_http_handler end = {
        .name = "Router", .do_HEAD = answer_methods, .do_any = answer_methods, .ctx = allow};
    struct shs_next next = {s->leaves[0]->list, &end, allow};

    if (allow == NULL)
        return SHS_NOMEM;
    allow[0] = '\0';
    for (size_t i = 0; i < s->leaf_count; i++)
        list_methods(allow, s->leaves[i]);
    list_method(allow, "OPTIONS");
    return shs_next_call(&next, s->req, res);
}

/* Its parameters are the outer router's again; the route that was taken goes on being known, for
   the log. */
static int leave_inner(struct shs_request *req, struct match *outer, int rc)
{
    const struct match *inner = shs_request_slot(req, &slot_key);

    outer->route = inner->route;
    SHS_RETURN_IF_ERROR(shs_request_set_slot(req, &slot_key, outer));
    return rc;
}

static int router_any(struct shs_request *req, struct shs_response *res)
{
    const struct shs_router *self = shs_request_ctx(req);
    const struct shs_route_entry *entry;
    struct search s;
    struct match *outer;
    int rc;

    s.req = req;
    s.method = shs_request_method(req);
    s.raw = shs_request_path(req);
    s.count = s.param_count = s.leaf_count = 0;
    if (shs_str_is(s.raw, "*")) {
        SHS_RETURN_IF_ERROR(shs_send_response(res, 204));
        SHS_RETURN_IF_ERROR(shs_send_header(res, "Allow", self->allow));
        return shs_end_headers(res);
    }
    rc = cut_path(&s);
    if (rc != SHS_OK && rc != SHS_PROTO)
        return rc;
    entry = rc == SHS_OK ? find(&s, &self->root, 0) : NULL;
    if (entry == NULL)
        return s.leaf_count > 0 ? run_without_method(&s, res) : shs_send_page(res, 404, NULL);
    outer = shs_request_slot(req, &slot_key);
    rc = run(&s, entry, res);
    return outer == NULL ? rc : leave_inner(req, outer, rc);
}

/* -- life-------------------------------------------------------------------------------------- */

static int list_all(struct shs_router *self, struct shs_error *err)
{
    char *allow = shs__arena_alloc(&self->arena, ALLOW_MAX);

    if (allow == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a router.");
    allow[0] = '\0';
    for (size_t i = 0; i < self->entry_count; i++) {
        struct shs_route_entry one = *self->entries[i];

        one.next = NULL;
        list_methods(allow, &one);
    }
    list_method(allow, "OPTIONS");
    self->allow = allow;
    return SHS_OK;
}

int shs_router_new(struct shs_router **out, const struct shs_route *routes, void *ctx,
                   struct shs_error *err)
{
    struct shs_router *self;
    int rc;

    if (routes == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "A router needs routes.");
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a router.");
    self->ctx = ctx;
    self->handler = (struct shs_http_handler){
        .name = "Router", .do_HEAD = router_any, .do_any = router_any, .ctx = self};
    rc = shs__router_fill(self, routes, err);
    if (rc == SHS_OK)
        rc = list_all(self, err);
    if (rc != SHS_OK) {
        shs_router_free(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}

void shs_router_free(struct shs_router *self)
{
    if (self == NULL)
        return;
    shs__router_clear(self);
    shs__free(self);
}

const struct shs_http_handler *shs_router_handler(const struct shs_router *self)
{
    return &self->handler;
}
