/*
 * serve_routes.c - `routes`, over <shs/router.h>: a router for each host, before one for all hosts,
 * before the listener's own handler.
 */
#include "cmd/serve_routes.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include <shs/router.h>
#include <shs/static_files.h>
#include <shs/text.h>

#include "base/base.h"
#include "cmd/cmd.h"

#define HEADERS_MAX (2 * SETTING_LIST_MAX + 2)
#define LOCATION_MAX 16384
/* Of a route: its methods, HEAD and the others, twice: a directory with and without the "/" behind
   it. */
#define ROWS_OF_ROUTE (2 * (SETTING_LIST_MAX + 2))
#define ALLOW_MAX 512
#define PATTERN_MAX 1024
#define PLAIN_TEXT "text/plain; charset=utf-8"

/* -- what a route says ------------------------------------------------------------------------- */

/* The part of "/docs=DIR" that is the path. */
static struct shs_str path_of(const struct serve_route *route)
{
    return (struct shs_str){route->path, strcspn(route->path, "=")};
}

static const char *directory_of(const struct serve_route *route)
{
    const char *equals = strchr(route->path, '=');

    return equals != NULL ? equals + 1 : route->directory;
}

/* A directory's path without the "/" at its end: "" is the whole listener. */
static struct shs_str prefix_of(const struct serve_route *route)
{
    struct shs_str path = path_of(route);

    if (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

static bool is_answer(const struct serve_route *route)
{
    return route->answer != NULL ||
           (route->status != 0 && route->redirect == NULL && directory_of(route) == NULL);
}

void serve_route_say(const struct serve_route *route, char *out, size_t cap)
{
    struct shs_str path = path_of(route);

    if (route->place.file != NULL)
        snprintf(out, cap, "%s:%u: path '%.*s'", route->place.file, route->place.line,
                 (int)path.len, path.ptr);
    else
        snprintf(out, cap, "--route '%.*s'", (int)path.len, path.ptr);
}

static int blame(const struct serve_route *route, const char *fmt, ...) SHS_PRINTF(2, 3);

static int blame(const struct serve_route *route, const char *fmt, ...)
{
    char where[SETTING_TEXT_MAX], what[2 * SETTING_TEXT_MAX];
    va_list args;

    serve_route_say(route, where, sizeof where);
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return cmd_fail(CMD_USAGE, "%s %s", where, what);
}

/* -- what goes together ------------------------------------------------------------------------ */

static bool is_redirect_status(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* No control character, so that it can be a field. */
static bool is_clean(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    }
    return true;
}

static int check_kind(const struct serve_route *route)
{
    const char *directory = directory_of(route);

    if (directory != NULL && directory != route->directory && route->directory != NULL)
        return blame(route, "has two directories: '%s' and '%s'", directory, route->directory);
    if ((directory != NULL) + (route->redirect != NULL) + (route->answer != NULL) > 1)
        return blame(route, "is for one of directory, redirect and answer");
    if (directory == NULL && route->redirect == NULL && !is_answer(route))
        return blame(route, "leads nowhere: say directory, redirect, answer or status");
    if (directory != NULL && route->status != 0)
        return blame(route, "is a directory: status goes with redirect or answer");
    if (route->answer == NULL && route->type != NULL)
        return blame(route, "has no text: type goes with answer");
    if (directory == NULL && (route->no_listing || route->spa || route->no_compress ||
                              route->archive || route->upload || route->index.count > 0))
        return blame(route, "is not a directory: index, no-listing, spa, no-compress, archive and "
                            "upload go with one");
    if (!route->upload && route->max_upload > 0)
        return blame(route, "takes no files: max-upload goes with upload");
    return CMD_OK;
}

/* The host that a target goes to is the operator's word, and not that of who asks. */
static bool has_open_host(const char *to)
{
    const char *host = strstr(to, "://"), *open = strchr(to, '{');

    if (to[0] == '/' || host == NULL || open == NULL)
        return false;
    return open < host + 3 + strcspn(host + 3, "/?#");
}

static int check_redirect(const struct serve_route *route)
{
    const char *to = route->redirect;
    bool local = to[0] == '/' && to[1] != '/' && to[1] != '\\';

    if (!local && strncmp(to, "https://", 8) != 0 && strncmp(to, "http://", 7) != 0)
        return blame(route,
                     "cannot lead to '%s': a redirect goes to /PATH, https://... or "
                     "http://...",
                     to);
    if (!is_clean(to) || strchr(to, ' ') != NULL)
        return blame(route, "cannot lead to '%s': write spaces and the like as %%20", to);
    if (has_open_host(to))
        return blame(route,
                     "cannot lead to '%s': whoever asks would choose the host; {...} may stand "
                     "after the first / of the path",
                     to);
    if (route->status != 0 && !is_redirect_status(route->status))
        return blame(route, "redirects with 301, 302, 303, 307 or 308, not with %u", route->status);
    if (shs_str_is(path_of(route), to))
        return blame(route, "leads to itself");
    for (const char *at = strchr(to, '{'); at != NULL; at = strchr(at + 1, '{')) {
        size_t len = strcspn(at + 1, "}");
        char name[64];
        struct shs_str path = path_of(route);

        snprintf(name, sizeof name, "{%.*s", (int)(len < 60 ? len : 60), at + 1);
        if (at[1 + len] != '}' || len == 0 ||
            memmem(path.ptr, path.len, name, strlen(name)) == NULL)
            return blame(route, "has no parameter %s}, which '%s' names", name, to);
    }
    return CMD_OK;
}

static int check_answer(const struct serve_route *route)
{
    unsigned status = route->status;

    if (status != 0 && (status < 200 || status > 599))
        return blame(route, "answers with a status from 200 to 599, not %u", status);
    if (route->answer != NULL && route->answer[0] != '\0' && (status == 204 || status == 304))
        return blame(route, "has a text, and an answer of status %u has none", status);
    if (route->type != NULL && !is_clean(route->type))
        return blame(route, "has a type with a control character in it");
    return CMD_OK;
}

static int check_host(const struct serve_route *route)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";

    if (route->host[0] == '\0' || route->host[strspn(route->host, safe)] != '\0')
        return blame(route, "has the host '%s': write a name in small letters, without a port",
                     route->host);
    return CMD_OK;
}

static int check_one(const struct serve_route *route)
{
    int code = check_kind(route);

    if (code == CMD_OK && directory_of(route) != NULL &&
        memchr(path_of(route).ptr, '{', path_of(route).len) != NULL)
        code = blame(route, "is a directory: its path has no {...} in it");
    if (code == CMD_OK && route->redirect != NULL)
        code = check_redirect(route);
    if (code == CMD_OK && is_answer(route))
        code = check_answer(route);
    if (code == CMD_OK && route->host != NULL)
        code = check_host(route);
    if (code == CMD_OK && route->cache_control != NULL && !is_clean(route->cache_control))
        code = blame(route, "has a cache-control with a control character in it");
    return code;
}

/* -- rows for a router ------------------------------------------------------------------------- */

/* Rows, and the patterns that they need. */
struct rows {
    struct shs_route *items;
    char (*patterns)[PATTERN_MAX];
    size_t count, pattern_count;
};

static int rows_init(struct rows *self, size_t routes)
{
    self->items = shs__calloc(routes * ROWS_OF_ROUTE + 2, sizeof *self->items);
    self->patterns = shs__calloc(4 * routes + 1, sizeof *self->patterns);
    self->count = self->pattern_count = 0;
    return self->items == NULL || self->patterns == NULL ? SHS_NOMEM : SHS_OK;
}

static void rows_free(struct rows *self)
{
    shs__free(self->items);
    shs__free(self->patterns);
}

static bool has_method(const struct serve_route *route, const char *method)
{
    for (size_t i = 0; i < route->methods.count; i++) {
        if (strcmp(route->methods.items[i], method) == 0)
            return true;
    }
    return false;
}

static void add_row(struct rows *self, const struct serve_route *route, struct shs_str path,
                    const char *behind, const struct shs_http_handler *handler)
{
    char *pattern = self->patterns[self->pattern_count++];
    const char *const *methods = route == NULL ? NULL : route->methods.items;
    static const char *const all[] = {"*", NULL};

    snprintf(pattern, PATTERN_MAX, "%.*s%s", (int)path.len, path.ptr, behind);
    if (methods == NULL || methods[0] == NULL)
        methods = all;
    for (; *methods != NULL; methods++)
        self->items[self->count++] =
            (struct shs_route){.method = *methods, .pattern = pattern, .handler = handler};
    if (route != NULL && has_method(route, "GET") && !has_method(route, "HEAD"))
        self->items[self->count++] =
            (struct shs_route){.method = "HEAD", .pattern = pattern, .handler = handler};
}

/* "/docs" as well as what is under it; the first only says where that is. */
static void add_route(struct rows *self, const struct serve_route *route,
                      const struct shs_http_handler *handler,
                      const struct shs_http_handler *to_slash)
{
    struct shs_str prefix = prefix_of(route);

    if (directory_of(route) == NULL) {
        add_row(self, route, path_of(route), "", handler);
        return;
    }
    add_row(self, route, prefix, "/{path...}", handler);
    if (prefix.len > 0)
        add_row(self, route, prefix, "", to_slash);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* They match the same paths: the names of parameters make no difference. */
static bool same_pattern(const struct serve_route *a, const struct serve_route *b)
{
    bool directory = directory_of(a) != NULL;
    struct shs_str x = directory ? prefix_of(a) : path_of(a);
    struct shs_str y = directory ? prefix_of(b) : path_of(b);
    size_t i = 0, j = 0;

    if (!same_text(a->host, b->host) || directory != (directory_of(b) != NULL))
        return false;
    while (i < x.len && j < y.len && x.ptr[i] == y.ptr[j]) {
        bool name = x.ptr[i] == '{';

        while (name && i + 1 < x.len && x.ptr[i] != '.' && x.ptr[i] != '}')
            i++;
        while (name && j + 1 < y.len && y.ptr[j] != '.' && y.ptr[j] != '}')
            j++;
        i++;
        j++;
    }
    return i == x.len && j == y.len;
}

/* Other methods than those of the routes with this pattern go to `refuse`, and not to what would
   answer the path otherwise. Once: the first of them does it. */
static void add_refusal(struct rows *self, const struct serve_route *routes, size_t count,
                        size_t which, const struct shs_http_handler *refuse)
{
    struct serve_route others = routes[which];

    for (size_t i = 0; i < count; i++) {
        if (same_pattern(&routes[i], &routes[which]) && (i < which || routes[i].methods.count == 0))
            return;
    }
    others.methods.count = 0;
    others.methods.items[0] = NULL;
    add_route(self, &others, refuse, refuse);
}

/* -- which overlap ----------------------------------------------------------------------------- */

static int never(struct shs_request *req, struct shs_response *res)
{
    SHS_UNUSED(req);
    return shs_send_page(res, 404, NULL);
}

/* What a router says of them; SHS_OK: nothing. */
static int try_router(const struct serve_route *a, const struct serve_route *b,
                      struct shs_error *err)
{
    static const struct shs_http_handler handler = {
        .name = "none", .do_HEAD = never, .do_any = never};
    struct shs_router *router = NULL;
    struct rows rows;
    int rc = rows_init(&rows, 2);

    if (rc == SHS_OK) {
        add_route(&rows, a, &handler, &handler);
        if (b != NULL)
            add_route(&rows, b, &handler, &handler);
        rc = shs_router_new(&router, rows.items, NULL, err);
    } else {
        shs_error_set(err, rc, 0, "out of memory for routes");
    }
    shs_router_free(router);
    rows_free(&rows);
    return rc;
}

/* Two that are good by themselves, and are not together. */
static int check_pair(const struct serve_route *route, const struct serve_route *before)
{
    char where[SETTING_TEXT_MAX];
    struct shs_error err;

    if (!same_text(route->host, before->host) || try_router(route, before, &err) == SHS_OK)
        return CMD_OK;
    serve_route_say(before, where, sizeof where);
    return blame(route, "and %s are for the same requests: %s", where, err.text);
}

int serve_routes_check(const struct serve_route *routes, size_t count)
{
    bool bad[SERVE_ROUTES_MAX] = {false};
    struct shs_error err;
    int code = CMD_OK;

    for (size_t i = 0; i < count; i++) {
        bad[i] = check_one(&routes[i]) != CMD_OK;
        if (!bad[i] && path_of(&routes[i]).len > PATTERN_MAX - 16)
            bad[i] = blame(&routes[i], "is longer than %d bytes", PATTERN_MAX - 16) != CMD_OK;
        if (!bad[i] && try_router(&routes[i], NULL, &err) != SHS_OK)
            bad[i] = blame(&routes[i], "cannot be used: %s", err.text) != CMD_OK;
        for (size_t j = 0; !bad[i] && j < i; j++)
            bad[i] = !bad[j] && check_pair(&routes[i], &routes[j]) != CMD_OK;
        if (bad[i])
            code = CMD_USAGE;
    }
    return code;
}

/* Every path, whatever the methods. */
static bool has_everything(const struct serve_route *route)
{
    struct shs_str path = path_of(route), prefix = prefix_of(route);

    if (directory_of(route) != NULL)
        return prefix.len == 0;
    return path.len > 5 && memcmp(path.ptr, "/{", 2) == 0 &&
           memcmp(path.ptr + path.len - 4, "...}", 4) == 0 &&
           memchr(path.ptr + 1, '/', path.len - 1) == NULL;
}

const struct serve_route *serve_routes_all(const struct serve_route *routes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (routes[i].host == NULL && has_everything(&routes[i]))
            return &routes[i];
    }
    return NULL;
}

static bool same_list(const struct setting_list *a, const struct setting_list *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->items[i], b->items[i]) == 0;
    return same;
}

static bool same_route(const struct serve_route *a, const struct serve_route *b)
{
    return same_text(a->path, b->path) && same_text(a->host, b->host) &&
           same_text(a->directory, b->directory) && same_text(a->redirect, b->redirect) &&
           same_text(a->answer, b->answer) && a->status == b->status &&
           same_text(a->type, b->type) && same_list(&a->methods, &b->methods) &&
           same_text(a->cache_control, b->cache_control) && same_list(&a->index, &b->index) &&
           a->no_listing == b->no_listing && a->spa == b->spa && a->no_compress == b->no_compress &&
           a->archive == b->archive && a->upload == b->upload && a->max_upload == b->max_upload;
}

bool serve_routes_same(const struct serve_route *a, size_t a_count, const struct serve_route *b,
                       size_t b_count)
{
    bool same = a_count == b_count;

    for (size_t i = 0; same && i < a_count; i++)
        same = same_route(&a[i], &b[i]);
    return same;
}

/* -- answers ----------------------------------------------------------------------------------- */

/* What a route needs while requests are answered. */
struct made {
    struct shs_static_files *files;
    struct shs_http_handler handler, to_slash, refuse;
    char allow[ALLOW_MAX]; /* of `refuse` */
    char *redirect, *answer, *type, *cache_control;
    unsigned status;
};

struct location {
    char *text;
    size_t len;
};

static int put(struct location *to, struct shs_str text)
{
    if (text.len >= LOCATION_MAX - to->len)
        return SHS_LIMIT;
    memcpy(to->text + to->len, text.ptr, text.len);
    to->len += text.len;
    return SHS_OK;
}

/* The value of a parameter, as it may stand in a URL: a "/" of the rest stays one. */
static int put_param(struct location *to, struct shs_request *req, struct shs_str name)
{
    static const char rest[] = "...";
    bool whole = name.len > 3 && memcmp(name.ptr + name.len - 3, rest, 3) == 0;
    char key[64];
    struct shs_str value;

    snprintf(key, sizeof key, "%.*s", (int)(whole ? name.len - 3 : name.len), name.ptr);
    if (!shs_request_param(req, key, &value))
        return SHS_OK;
    while (value.len > 0) {
        const char *slash = memchr(value.ptr, '/', value.len);
        struct shs_str part = {value.ptr, slash == NULL ? value.len : (size_t)(slash - value.ptr)};
        size_t len = 0;

        if (shs_percent_encode(part, to->text + to->len, LOCATION_MAX - 1 - to->len, &len) !=
            SHS_OK)
            return SHS_LIMIT;
        to->len += len;
        if (slash == NULL)
            break;
        SHS_RETURN_IF_ERROR(put(to, SHS_STR("/")));
        value.ptr += part.len + 1;
        value.len -= part.len + 1;
    }
    return SHS_OK;
}

/* The target with its parameters, and the question that was asked. */
static int fill_location(struct location *to, struct shs_request *req, const char *target)
{
    struct shs_str query = shs_request_query(req);
    const char *at = target;

    while (*at != '\0') {
        size_t len = strcspn(at, "{");

        SHS_RETURN_IF_ERROR(put(to, (struct shs_str){at, len}));
        at += len;
        if (*at != '{')
            break;
        len = strcspn(at, "}");
        SHS_RETURN_IF_ERROR(put_param(to, req, (struct shs_str){at + 1, len - 1}));
        at += len + (at[len] == '}');
    }
    if (query.len > 0 && strchr(target, '?') == NULL) {
        SHS_RETURN_IF_ERROR(put(to, SHS_STR("?")));
        SHS_RETURN_IF_ERROR(put(to, query));
    }
    to->text[to->len] = '\0';
    return SHS_OK;
}

static int send_location(struct shs_response *res, const struct made *route, unsigned status,
                         const char *location)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, (int)status));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Location", location));
    if (route->cache_control != NULL)
        SHS_RETURN_IF_ERROR(shs_send_header(res, "Cache-Control", route->cache_control));
    SHS_RETURN_IF_ERROR(shs_send_length(res, 0));
    return shs_end_headers(res);
}

static int answer_redirect(struct shs_request *req, struct shs_response *res)
{
    const struct made *self = shs_request_ctx(req);
    struct location to = {shs_request_alloc(req, LOCATION_MAX), 0};
    int rc;

    if (to.text == NULL)
        return SHS_NOMEM;
    rc = fill_location(&to, req, self->redirect);
    if (rc == SHS_LIMIT)
        return shs_send_page(res, 414, NULL);
    if (rc != SHS_OK)
        return rc;
    /* What a client puts there must not make another host of it. */
    if (to.text[0] == '/' && (to.text[1] == '/' || to.text[1] == '\\'))
        return shs_send_page(res, 404, NULL);
    return send_location(res, self, self->status == 0 ? 308 : self->status, to.text);
}

/* "/docs" is "/docs/", as it is for a directory of files. */
static int answer_slash(struct shs_request *req, struct shs_response *res)
{
    const struct made *self = shs_request_ctx(req);
    struct location to = {shs_request_alloc(req, LOCATION_MAX), 0};
    struct shs_str path = shs_request_full_path(req), query = shs_request_query(req);
    int rc;

    if (to.text == NULL)
        return SHS_NOMEM;
    rc = put(&to, path);
    if (rc == SHS_OK)
        rc = put(&to, SHS_STR("/"));
    if (rc == SHS_OK && query.len > 0)
        rc = put(&to, SHS_STR("?"));
    if (rc == SHS_OK)
        rc = put(&to, query);
    if (rc != SHS_OK)
        return shs_send_page(res, 414, NULL);
    to.text[to.len] = '\0';
    return send_location(res, self, 308, to.text);
}

static int answer_text(struct shs_request *req, struct shs_response *res)
{
    const struct made *self = shs_request_ctx(req);
    unsigned status = self->status == 0 ? 200 : self->status;
    bool empty = status == 204 || status == 304;

    if (self->answer == NULL && !empty) {
        if (self->cache_control != NULL)
            SHS_RETURN_IF_ERROR(shs_response_stand(res, "Cache-Control", self->cache_control));
        return shs_send_page(res, (int)status, NULL);
    }
    SHS_RETURN_IF_ERROR(shs_send_response(res, (int)status));
    if (self->cache_control != NULL)
        SHS_RETURN_IF_ERROR(shs_send_header(res, "Cache-Control", self->cache_control));
    if (empty)
        return shs_end_headers(res);
    SHS_RETURN_IF_ERROR(
        shs_send_header(res, "Content-Type", self->type == NULL ? PLAIN_TEXT : self->type));
    SHS_RETURN_IF_ERROR(shs_send_length(res, strlen(self->answer)));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, self->answer, strlen(self->answer));
}

/* The path is there, but not for this method. */
static int answer_methods(struct shs_request *req, struct shs_response *res)
{
    const struct made *self = shs_request_ctx(req);

    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Allow", self->allow));
    if (!shs_str_is(shs_request_method(req), "OPTIONS"))
        return shs_send_page(res, 405, "This method is not allowed here.");
    SHS_RETURN_IF_ERROR(shs_send_response(res, 204));
    return shs_end_headers(res);
}

/* -- making them ------------------------------------------------------------------------------- */

/* A router for one host, or for all that have none of their own. */
struct host {
    char *name; /* NULL: of the others; the first one */
    struct shs_router *router;
};

struct serve_routes {
    struct made *made;
    size_t made_count;
    struct host *hosts;
    size_t host_count;
    struct shs_http_handler inner, handler;
};

static bool copy_text(char **to, const char *text)
{
    *to = text == NULL ? NULL : shs__strndup(text, strlen(text));
    return text == NULL || *to != NULL;
}

static int make_files(struct made *self, const struct serve_route *route,
                      const char *const *headers, struct shs_error *err)
{
    const char *fields[HEADERS_MAX + 3] = {NULL};
    struct shs_static_options opt;
    size_t count = 0;
    int rc;

    for (size_t i = 0; headers != NULL && headers[i] != NULL && i < HEADERS_MAX; i += 2) {
        if (route->cache_control != NULL && strcasecmp(headers[i], "Cache-Control") == 0)
            continue; /* its own counts */
        fields[count++] = headers[i];
        fields[count++] = headers[i + 1];
    }
    if (route->cache_control != NULL) {
        fields[count] = "Cache-Control";
        fields[count + 1] = route->cache_control;
    }
    shs_static_options_init(&opt);
    opt.directory = directory_of(route);
    opt.extra_headers = fields;
    opt.index_pages = route->index.count > 0 ? route->index.items : NULL;
    opt.listing = !route->no_listing;
    opt.spa = route->spa;
    opt.compress = !route->no_compress;
    opt.archive = route->archive;
    opt.upload = route->upload;
    if (route->max_upload > 0)
        opt.max_upload = route->max_upload;
    rc = shs_static_files_new(&self->files, &opt, err);
    if (rc != SHS_OK)
        return rc;
    self->handler = *shs_static_files_handler(self->files);
    for (size_t i = 0; i < route->methods.count; i++) {
        if (!shs_handler_has(&self->handler, shs__str(route->methods.items[i])))
            return shs_error_set(err, SHS_USAGE, 0, "files have no method %s",
                                 route->methods.items[i]);
    }
    return SHS_OK;
}

static void allow(char *list, const char *method)
{
    size_t len = strlen(list);

    if (len + strlen(method) + 3 < ALLOW_MAX)
        snprintf(list + len, ALLOW_MAX - len, "%s%s", len == 0 ? "" : ", ", method);
}

/* What all routes of the pattern take together. */
static void list_methods(char *list, const struct serve_route *routes, size_t count,
                         const struct serve_route *route)
{
    bool get = false, head = false;

    for (size_t i = 0; i < count; i++) {
        for (size_t m = 0; same_pattern(&routes[i], route) && m < routes[i].methods.count; m++) {
            allow(list, routes[i].methods.items[m]);
            get = get || strcmp(routes[i].methods.items[m], "GET") == 0;
            head = head || strcmp(routes[i].methods.items[m], "HEAD") == 0;
        }
    }
    if (get && !head)
        allow(list, "HEAD");
    allow(list, "OPTIONS");
}

static int make_one(struct made *self, const struct serve_route *route, const char *const *headers,
                    struct shs_error *err)
{
    shs_method_fn *fn = route->redirect != NULL ? answer_redirect : answer_text;

    self->status = route->status;
    self->refuse = (struct shs_http_handler){
        .name = "Route", .do_HEAD = answer_methods, .do_any = answer_methods, .ctx = self};
    self->to_slash = (struct shs_http_handler){
        .name = "Route", .do_HEAD = answer_slash, .do_any = answer_slash, .ctx = self};
    if (!copy_text(&self->redirect, route->redirect) || !copy_text(&self->answer, route->answer) ||
        !copy_text(&self->type, route->type) ||
        !copy_text(&self->cache_control, route->cache_control))
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for routes");
    if (directory_of(route) != NULL)
        return make_files(self, route, headers, err);
    self->handler =
        (struct shs_http_handler){.name = "Route", .do_HEAD = fn, .do_any = fn, .ctx = self};
    return SHS_OK;
}

/* Those of the host, and behind them what answers the rest. */
static int make_router(struct serve_routes *self, struct host *host,
                       const struct serve_route *routes, const struct shs_http_handler *rest,
                       struct shs_error *err)
{
    struct rows rows;
    bool all = false;
    int rc = rows_init(&rows, self->made_count);

    for (size_t i = 0; rc == SHS_OK && i < self->made_count; i++) {
        if (!same_text(routes[i].host, host->name))
            continue;
        add_route(&rows, &routes[i], &self->made[i].handler, &self->made[i].to_slash);
        add_refusal(&rows, routes, self->made_count, i, &self->made[i].refuse);
        all = all || has_everything(&routes[i]);
    }
    if (rc == SHS_OK && !all)
        add_row(&rows, NULL, SHS_STR(""), "/{path...}", rest);
    if (rc == SHS_OK)
        rc = shs_router_new(&host->router, rows.items, NULL, err);
    else
        shs_error_set(err, rc, 0, "out of memory for routes");
    rows_free(&rows);
    return rc;
}

static bool knows(const struct serve_routes *self, const char *name)
{
    for (size_t i = 0; i < self->host_count; i++) {
        if (same_text(self->hosts[i].name, name))
            return true;
    }
    return false;
}

static int make_hosts(struct serve_routes *self, const struct serve_route *routes, size_t count,
                      struct shs_error *err)
{
    int rc;

    self->hosts = shs__calloc(count + 1, sizeof *self->hosts);
    if (self->hosts == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for routes");
    self->host_count = 1;
    rc = make_router(self, &self->hosts[0], routes, &self->inner, err);
    for (size_t i = 0; rc == SHS_OK && i < count; i++) {
        struct host *host = &self->hosts[self->host_count];

        if (knows(self, routes[i].host))
            continue;
        if (!copy_text(&host->name, routes[i].host))
            return shs_error_set(err, SHS_NOMEM, 0, "out of memory for routes");
        self->host_count++;
        rc = make_router(self, host, routes, shs_router_handler(self->hosts[0].router), err);
    }
    return rc;
}

/* The Host field says the name; its letters' case and its port say nothing here. */
static bool is_host(struct shs_str field, const char *name)
{
    size_t len = strlen(name);

    if (field.len < len || (field.len > len && field.ptr[len] != ':'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((char)shs__lower((unsigned char)field.ptr[i]) != name[i])
            return false;
    }
    return true;
}

static int choose_host(struct shs_request *req, struct shs_response *res)
{
    const struct serve_routes *self = shs_request_ctx(req);
    const struct host *host = &self->hosts[0];
    struct shs_str field = shs_request_host(req);

    for (size_t i = 1; i < self->host_count; i++) {
        if (is_host(field, self->hosts[i].name))
            host = &self->hosts[i];
    }
    return shs_handler_call(shs_router_handler(host->router), req, res);
}

int serve_routes_new(struct serve_routes **out, const struct serve_route *routes, size_t count,
                     const char *const *headers, const struct shs_http_handler *inner,
                     struct shs_error *err)
{
    struct serve_routes *self = shs__calloc(1, sizeof *self);
    int rc = SHS_OK;

    if (self != NULL)
        self->made = shs__calloc(count, sizeof *self->made);
    if (self == NULL || self->made == NULL) {
        shs__free(self);
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for routes");
    }
    self->inner = *inner;
    self->handler = (struct shs_http_handler){
        .name = "Routes", .do_HEAD = choose_host, .do_any = choose_host, .ctx = self};
    while (rc == SHS_OK && self->made_count < count) {
        size_t i = self->made_count++;
        char where[SETTING_TEXT_MAX], what[sizeof err->text];

        list_methods(self->made[i].allow, routes, count, &routes[i]);
        rc = make_one(&self->made[i], &routes[i], headers, err);
        if (rc == SHS_OK)
            continue;
        snprintf(what, sizeof what, "%s", err->text);
        serve_route_say(&routes[i], where, sizeof where);
        shs_error_set(err, rc, err->sys_errno, "%s: %s", where, what);
    }
    if (rc == SHS_OK)
        rc = make_hosts(self, routes, count, err);
    if (rc == SHS_OK)
        *out = self;
    else
        serve_routes_free(self);
    return rc;
}

void serve_routes_free(struct serve_routes *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < self->host_count; i++) {
        shs_router_free(self->hosts[i].router);
        shs__free(self->hosts[i].name);
    }
    for (size_t i = 0; i < self->made_count; i++) {
        struct made *made = &self->made[i];

        shs_static_files_free(made->files);
        shs__free(made->redirect);
        shs__free(made->answer);
        shs__free(made->type);
        shs__free(made->cache_control);
    }
    shs__free(self->hosts);
    shs__free(self->made);
    shs__free(self);
}

const struct shs_http_handler *serve_routes_handler(const struct serve_routes *self)
{
    return &self->handler;
}
