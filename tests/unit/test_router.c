/* test_router.c - which request reaches which route, and what a router refuses to be made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <shs/router.h>

#include "h1_expect.h"

static struct h1_lab lab;

/* -- functions that say who they are----------------------------------------------------------- */

static int say(struct shs_request *req, struct shs_response *res, const char *who)
{
    static const char *const names[] = {"id", "path", "a", "b", "c", "outer"};
    struct shs_str value;
    char text[2048];
    int len = snprintf(text, sizeof text, "%s", who);

    for (size_t i = 0; i < SHS_ARRAY_LEN(names); i++) {
        if (shs_request_param(req, names[i], &value))
            len += snprintf(text + len, sizeof text - (size_t)len, " %s=[%.*s]", names[i],
                            (int)value.len, value.ptr);
    }
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, text, (size_t)len);
}

#define SAYS(name)                                                                                 \
    static int name(struct shs_request *req, struct shs_response *res)                             \
    {                                                                                              \
        return say(req, res, #name);                                                               \
    }

SAYS(root)
SAYS(list_items)
SAYS(create_item)
SAYS(get_item)
SAYS(special_item)
SAYS(put_item)
SAYS(any_item)
SAYS(admin)
SAYS(rest)
SAYS(deep)
SAYS(folder)
SAYS(purge)

static int mounted_any(struct shs_request *req, struct shs_response *res)
{
    struct shs_str path = shs_request_path(req);
    char text[1024];
    int len = snprintf(text, sizeof text, "mounted %s %.*s", (const char *)shs_request_ctx(req),
                       (int)path.len, path.ptr);

    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, text, (size_t)len);
}

static char mounted_ctx[] = "own";
static const struct shs_http_handler mounted = {
    .name = "mounted", .do_GET = mounted_any, .do_POST = mounted_any, .ctx = mounted_ctx};

static int ask(const struct shs_router *router, const char *method, const char *target)
{
    static char request[8192];

    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: a\r\n\r\n", method, target);
    h1_lab_open(&lab, shs_router_handler(router));
    h1_lab_talk(&lab, request, strlen(request));
    return lab.last_status;
}

static struct shs_router *make(const struct shs_route *routes)
{
    struct shs_router *router = NULL;
    struct shs_error err = {0};

    if (shs_router_new(&router, routes, NULL, &err) != SHS_OK)
        fail_msg("%s", err.text);
    return router;
}

/* The answer to one request: its body for 200, otherwise "404" and the like. */
static void expect(const struct shs_router *router, const char *method, const char *target,
                   const char *wanted)
{
    char got[2100];
    int status = ask(router, method, target);

    if (status == 200)
        snprintf(got, sizeof got, "%s", h1_body(&lab));
    else
        snprintf(got, sizeof got, "%d", status);
    if (strcmp(got, wanted) != 0)
        fail_msg("%s %s: \"%s\", not \"%s\"", method, target, got, wanted);
    h1_lab_close(&lab);
}

/* -- the table of paths------------------------------------------------------------------------ */

static const struct shs_route table[] = {
    SHS_ROUTE("GET", "/", root),
    SHS_ROUTE("GET", "/api/v1/items", list_items),
    SHS_ROUTE("POST", "/api/v1/items", create_item),
    SHS_ROUTE("GET", "/api/v1/items/{id}", get_item),
    SHS_ROUTE("PUT", "/api/v1/items/{id}", put_item),
    SHS_ROUTE("GET", "/api/v1/items/special", special_item),
    SHS_ROUTE("*", "/any/{id}", any_item),
    SHS_ROUTE("GET", "/any/{id}", get_item),
    SHS_ROUTE("GET", "/admin", admin),
    SHS_ROUTE("GET", "/folder/", folder),
    SHS_ROUTE("GET", "/rest/{path...}", rest),
    SHS_ROUTE("GET", "/x/{a}/{b}/end", deep),
    SHS_ROUTE("PURGE", "/cache", purge),
    SHS_MOUNT("GET", "/files/{path...}", &mounted),
    SHS_MOUNT("*", "/one", &mounted),
    SHS_ROUTES_END,
};

static void test_encodings(void **state)
{
    static const char *const rows[][2] = {
        /* what reads so */
        {"/", "root"},
        {"/?x=/admin", "root"},
        {"/admin", "admin"},
        {"/admin?a=b", "admin"},
        {"/admin?", "admin"},
        {"/%61dmin", "admin"},
        {"/a%64%6Din", "admin"},
        {"/%61%64%6d%69%6e", "admin"},
        {"http://a/admin", "admin"},
        {"/api/v1/items", "list_items"},
        {"/api/%76%31/items", "list_items"},
        {"/api/v1/items/7", "get_item id=[7]"},
        {"/api/v1/items/special", "special_item"},
        {"/api/v1/items/%73pecial", "special_item"},
        {"/api/v1/items/Special", "get_item id=[Special]"},
        {"/api/v1/items/a%20b", "get_item id=[a b]"},
        {"/api/v1/items/a+b", "get_item id=[a+b]"},
        {"/api/v1/items/%2B", "get_item id=[+]"},
        {"/api/v1/items/%2520", "get_item id=[%20]"},
        {"/api/v1/items/%252F", "get_item id=[%2F]"},
        {"/api/v1/items/%252e%252e", "get_item id=[%2e%2e]"},
        {"/api/v1/items/a%2Fb", "get_item id=[a/b]"},
        {"/api/v1/items/a%2fb", "get_item id=[a/b]"},
        {"/api/v1/items/%2Fspecial", "get_item id=[/special]"},
        {"/api/v1/items/special%2F", "get_item id=[special/]"},
        {"/api/v1/items/special;v=1", "get_item id=[special;v=1]"},
        {"/api/v1/items/special.", "get_item id=[special.]"},
        {"/api/v1/items/.special", "get_item id=[.special]"},
        {"/api/v1/items/..special", "get_item id=[..special]"},
        {"/api/v1/items/...", "get_item id=[...]"},
        {"/api/v1/items/special%20", "get_item id=[special ]"},
        {"/api/v1/items/%5C..%5Cadmin", "get_item id=[\\..\\admin]"},
        {"/api/v1/items/%C3%A9", "get_item id=[\xc3\xa9]"},
        {"/api/v1/items/%7Bid%7D", "get_item id=[{id}]"},
        {"/api/v1/items/:id", "get_item id=[:id]"},
        {"/api/v1/items/*", "get_item id=[*]"},
        {"/api/v1/items/%3Fx=1", "get_item id=[?x=1]"},
        {"/folder/", "folder"},
        {"/rest/", "rest path=[]"},
        {"/rest/a", "rest path=[a]"},
        {"/rest/a/b/c", "rest path=[a/b/c]"},
        {"/rest/a/b/", "rest path=[a/b/]"},
        {"/rest/a%20b/%63", "rest path=[a b/c]"},
        {"/rest/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26/27/28/29/30/"
         "31/32/"
         "33/34",
         "rest "
         "path=[1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26/27/28/29/30/"
         "31/32/33/34]"},
        {"/files/", "mounted own /"},
        {"/files/a%20b/c", "mounted own /a%20b/c"},
        {"/files/a/b/", "mounted own /a/b/"},
        {"/one", "mounted own /one"},
        {"/x/1/2/end", "deep a=[1] b=[2]"},
        {"/x/end/end/end", "deep a=[end] b=[end]"},
        /* what reads otherwise, and is nothing */
        {"/admin/", "404"},
        {"/admin//", "404"},
        {"/admin/.", "404"},
        {"/admin/..", "404"},
        {"/admin.", "404"},
        {"/admin;", "404"},
        {"/admin;x=1", "404"},
        {"/admin%3Bx", "404"},
        {"/admin%20", "404"},
        {"/%20admin", "404"},
        {"/admin%2F", "404"},
        {"/admin%3F", "404"},
        {"/admin%23", "404"},
        {"/Admin", "404"},
        {"/ADMIN", "404"},
        {"/%2561dmin", "404"},
        {"/%2Fadmin", "404"},
        {"/%5Cadmin", "404"},
        {"/./admin", "404"},
        {"/%2e/admin", "404"},
        {"/x/../admin", "404"},
        {"/x/%2e%2e/admin", "404"},
        {"/x/.%2E/admin", "404"},
        {"/x/..%2Fadmin", "404"},
        {"/x/..;/admin", "404"},
        {"//admin", "404"},
        {"///admin", "404"},
        {"http://a//admin", "404"},
        {"//", "404"},
        {"/.//admin", "404"},
        {"/api//v1/items", "404"},
        {"/api/v1//items", "404"},
        {"/api/v1/items/", "404"},
        {"/api/v1/items//", "404"},
        {"/api/v1/items//special", "404"},
        {"/api/v1/items/.", "404"},
        {"/api/v1/items/..", "404"},
        {"/api/v1/items/%2e", "404"},
        {"/api/v1/items/%2E%2e", "404"},
        {"/api/v1/items/..%2f..%2fadmin", "404"},
        {"/api/v1/items/x%2F..", "404"},
        {"/api/v1/items/x%2F.%2Fy", "404"},
        {"/api/v1/items/%2e%2e%2Fadmin", "404"},
        {"/api/v1/items/7/", "404"},
        {"/api/v1/items/7/8", "404"},
        {"/api%2Fv1%2Fitems", "404"},
        {"/api/v1%2Fitems", "404"},
        {"/api/v1/%69tems/", "404"},
        {"/api/v1/items%2F7", "404"},
        {"/api/v1/./items", "404"},
        {"/api/v1/x/../items", "404"},
        {"/folder", "404"},
        {"/folder//", "404"},
        {"/folder/.", "404"},
        {"/rest", "404"},
        {"/rest/../admin", "404"},
        {"/rest/a/%2e%2e/%2e%2e/admin", "404"},
        {"/rest//a", "404"},
        {"/rest/a//b", "404"},
        {"/rest/a/./b", "404"},
        {"/rest/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26/27/28/29/30/"
         "31/32/"
         "33/../34",
         "404"},
        {"/files", "404"},
        {"/files/../admin", "404"},
        {"/files/%2e%2e/admin", "404"},
        {"/files/..%2Fadmin", "404"},
        {"/files//etc/passwd", "404"},
        {"/x/1/2", "404"},
        {"/x//2/end", "404"},
        {"/x/1//end", "404"},
        {"/one/", "404"},
    };
    struct shs_router *router = make(table);

    (void)state;
    assert_true(SHS_ARRAY_LEN(rows) >= 100);
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++)
        expect(router, "GET", rows[i][0], rows[i][1]);
    shs_router_free(router);
}

/* -- methods----------------------------------------------------------------------------------- */

static void allows(const struct shs_router *router, const char *method, const char *target,
                   int status, const char *allow)
{
    char line[200];

    snprintf(line, sizeof line, "\r\nAllow: %s\r\n", allow);
    if (ask(router, method, target) != status)
        fail_msg("%s %s: %d, not %d", method, target, lab.last_status, status);
    h1_has(&lab, line);
    assert_int_equal(h1_count(&lab, "\r\nAllow: "), 1);
    h1_has_not(&lab, "Connection: close");
    h1_lab_close(&lab);
}

static void test_methods(void **state)
{
    struct shs_router *router = make(table);

    (void)state;
    expect(router, "POST", "/api/v1/items", "create_item");
    expect(router, "PUT", "/api/v1/items/7", "put_item id=[7]");
    expect(router, "PUT", "/api/v1/items/special", "put_item id=[special]");
    expect(router, "PATCH", "/any/1", "any_item id=[1]");
    expect(router, "OPTIONS", "/any/1", "any_item id=[1]");
    expect(router, "BREW", "/any/1", "any_item id=[1]");
    expect(router, "GET", "/any/1", "get_item id=[1]");
    expect(router, "PURGE", "/cache", "purge");
    expect(router, "POST", "/one", "mounted own /one");
    allows(router, "DELETE", "/api/v1/items", 405, "GET, HEAD, POST, OPTIONS");
    allows(router, "DELETE", "/api/v1/items/7", 405, "GET, HEAD, PUT, OPTIONS");
    allows(router, "DELETE", "/api/v1/items/special", 405, "GET, HEAD, PUT, OPTIONS");
    allows(router, "BREW", "/admin", 405, "GET, HEAD, OPTIONS");
    allows(router, "get", "/admin", 405, "GET, HEAD, OPTIONS");
    allows(router, "GET", "/cache", 405, "PURGE, OPTIONS");
    allows(router, "POST", "/files/x", 405, "GET, HEAD, OPTIONS");
    allows(router, "OPTIONS", "/api/v1/items", 204, "GET, HEAD, POST, OPTIONS");
    allows(router, "OPTIONS", "*", 204, "GET, HEAD, POST, PUT, PURGE, OPTIONS");
    expect(router, "OPTIONS", "/nowhere", "404");
    assert_int_equal(ask(router, "HEAD", "/api/v1/items/7"), 200);
    h1_has(&lab, "\r\nContent-Length: 15\r\n");
    assert_string_equal(h1_body(&lab), "");
    h1_lab_close(&lab);
    assert_int_equal(ask(router, "HEAD", "/cache"), 405);
    h1_lab_close(&lab);
    shs_router_free(router);
}

/* -- groups, chains, limits-------------------------------------------------------------------- */

static int tag(struct shs_request *req, struct shs_response *res, void *ctx,
               const struct shs_next *next)
{
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Server-Timing", ctx));
    return shs_next_call(next, req, res);
}

static int deny(struct shs_request *req, struct shs_response *res, void *ctx,
                const struct shs_next *next)
{
    (void)req;
    (void)ctx;
    (void)next;
    return shs_send_page(res, 403, NULL);
}

static int answers_first(struct shs_request *req, struct shs_response *res, void *ctx,
                         const struct shs_next *next)
{
    (void)ctx;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_next_call(next, req, res);
}

static bool put_is_there, delete_is_there;

static int looks(struct shs_request *req, struct shs_response *res, void *ctx,
                 const struct shs_next *next)
{
    (void)ctx;
    put_is_there = shs_next_has(next, SHS_STR("PUT"));
    delete_is_there = shs_next_has(next, SHS_STR("DELETE"));
    return shs_next_call(next, req, res);
}

static char tag_a[] = "a", tag_b[] = "b", tag_c[] = "c";
static const struct shs_middleware mw_a = {"a", tag, tag_a}, mw_b = {"b", tag, tag_b},
                                   mw_c = {"c", tag, tag_c}, mw_deny = {"deny", deny, NULL},
                                   mw_first = {"first", answers_first, NULL},
                                   mw_looks = {"looks", looks, NULL};
static const struct shs_middleware
    *const chain_a[] = {&mw_a, NULL},
           *const chain_bc[] = {&mw_b, &mw_c, NULL}, *const chain_deny[] = {&mw_deny, NULL},
           *const chain_first[] = {&mw_first, NULL}, *const chain_looks[] = {&mw_looks, NULL};

static int reads(struct shs_request *req, struct shs_response *res)
{
    struct shs_str body;

    SHS_RETURN_IF_ERROR(shs_request_body(req, 1000, &body));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, body.ptr, body.len);
}

static int too_late(struct shs_request *req, struct shs_response *res)
{
    int64_t deadline_ns = shs_request_deadline(req);

    assert_true(deadline_ns < INT64_MAX);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "X-Late", "yes"));
    while (shs_now_ns() < deadline_ns)
        continue;
    return shs_write(res, "late", 4);
}

/* As it should: it looks at the clock, and gives up. */
static int gives_up(struct shs_request *req, struct shs_response *res)
{
    (void)res;
    while (shs_now_ns() < shs_request_deadline(req))
        continue;
    return SHS_TIMEOUT;
}

static const struct shs_route inner_routes[] = {
    {.method = "GET", .pattern = "/gives-up", .fn = gives_up, .time_ms = 1},
    SHS_ROUTE("GET", "/{a}", deep),
    SHS_ROUTE("PUT", "/{a}", deep),
    {.method = "GET", .pattern = "/{a}/more", .fn = deep, .chain = chain_bc},
    {.method = "POST", .pattern = "/small", .fn = reads, .max_body = 4},
    {.method = "POST", .pattern = "/usual", .fn = reads},
    {.method = "GET", .pattern = "/late", .fn = too_late, .time_ms = 1},
    SHS_ROUTES_END,
};
static const struct shs_route denied_routes[] = {SHS_ROUTE("GET", "", admin), SHS_ROUTES_END};
static const struct shs_route looked_routes[] = {SHS_ROUTE("GET", "", admin),
                                                 SHS_ROUTE("PUT", "", admin), SHS_ROUTES_END};
static const struct shs_route first_routes[] = {SHS_ROUTE("GET", "/", admin), SHS_ROUTES_END};
static const struct shs_route groups[] = {
    {.pattern = "/g/{outer}", .routes = inner_routes, .chain = chain_a, .max_body = 8},
    SHS_GROUP("/denied", denied_routes, chain_deny),
    SHS_GROUP("/looked", looked_routes, chain_looks),
    SHS_GROUP("/first", first_routes, chain_first),
    SHS_ROUTES_END,
};

static void post(const struct shs_router *router, const char *path, size_t len, int status)
{
    char request[300];

    snprintf(request, sizeof request,
             "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%.*s", path, len, (int)len,
             "0123456789");
    h1_lab_open(&lab, shs_router_handler(router));
    h1_lab_talk(&lab, request, strlen(request));
    assert_int_equal(lab.last_status, status);
    h1_lab_close(&lab);
}

static void test_groups(void **state)
{
    struct shs_router *router = make(groups);

    (void)state;
    expect(router, "GET", "/g/x/y", "deep a=[y] outer=[x]");
    assert_int_equal(ask(router, "GET", "/g/x/y/more"), 200);
    h1_has(&lab, "\r\nServer-Timing: a\r\nServer-Timing: b\r\nServer-Timing: c\r\n");
    h1_lab_close(&lab);
    allows(router, "DELETE", "/g/x/y", 405, "GET, HEAD, PUT, OPTIONS");
    ask(router, "DELETE", "/g/x/y");
    h1_has(&lab, "\r\nServer-Timing: a\r\n");
    h1_lab_close(&lab);
    expect(router, "GET", "/denied", "403");
    expect(router, "PUT", "/denied", "403"); /* not even what there is */
    expect(router, "GET", "/denied/", "404");
    ask(router, "OPTIONS", "/looked");
    h1_lab_close(&lab);
    assert_true(put_is_there && !delete_is_there);
    post(router, "/g/x/small", 4, 200);
    post(router, "/g/x/small", 5, 413);
    post(router, "/g/x/usual", 8, 200);
    post(router, "/g/x/usual", 9, 413);
    assert_int_equal(ask(router, "GET", "/g/x/late"), 503);
    h1_has_not(&lab, "X-Late");
    h1_lab_close(&lab);
    assert_int_equal(ask(router, "GET", "/g/x/gives-up"), 503);
    h1_has(&lab, "The answer was not ready in time.");
    h1_lab_close(&lab);
    shs_router_free(router);
}

/* A middleware that answers and calls the next one all the same. */
static void test_answers_and_calls(void **state)
{
    struct shs_router *router = make(groups);

    (void)state;
    assert_int_equal(ask(router, "GET", "/first/"), 500);
    assert_non_null(strstr(lab.fail_text, "GET /first/: shs_handler_call: /first/: an answer has"));
    h1_lab_close(&lab);
    shs_router_free(router);
}

static void test_a_router_in_a_router(void **state)
{
    static const struct shs_route inside[] = {SHS_ROUTE("GET", "/{a}/b", deep),
                                              SHS_ROUTE("GET", "/", root), SHS_ROUTES_END};
    struct shs_router *inner = make(inside), *outer;
    struct shs_route outside[] = {
        SHS_MOUNT("*", "/in/{outer}/{path...}", shs_router_handler(inner)), SHS_ROUTES_END};

    (void)state;
    outer = make(outside);
    expect(outer, "GET", "/in/1/2/b", "deep path=[2/b] a=[2] outer=[1]");
    expect(outer, "GET", "/in/1/", "root path=[] outer=[1]");
    expect(outer, "GET", "/in/1/2/c", "404");
    shs_router_free(outer);
    shs_router_free(inner);
}

/* -- what is refused--------------------------------------------------------------------------- */

static void refused(const struct shs_route *routes, const char *text)
{
    struct shs_router *router = NULL;
    struct shs_error err = {0};

    if (shs_router_new(&router, routes, NULL, &err) != SHS_USAGE || strstr(err.text, text) == NULL)
        fail_msg("\"%s\" has no \"%s\"", err.text, text);
    assert_null(router);
}

static void test_bad_patterns(void **state)
{
    static const char *const rows[][3] = {
        {"GET", "api", "Route GET api: a pattern begins with \"/\"."},
        {"GET", "", "a pattern begins with"},
        {"GET", "/a//b", "/a//b: no request reaches an empty segment"},
        {"GET", "/a/./b", "no request reaches a segment \".\""},
        {"GET", "/a/..", "no request reaches a segment \".\""},
        {"GET", "/a%20b", "without \"%\""},
        {"GET", "/a?b", "the query is not part"},
        {"GET", "/a#b", "the query is not part"},
        {"GET", "/a b", "a space"},
        {"GET", "/{id", "a parameter is a whole segment"},
        {"GET", "/x{id}", "a parameter is a whole segment"},
        {"GET", "/{id}x", "a parameter is a whole segment"},
        {"GET", "/id}", "a parameter is a whole segment"},
        {"GET", "/{}", "the name of a parameter"},
        {"GET", "/{...}", "the name of a parameter"},
        {"GET", "/{1a}", "the name of a parameter"},
        {"GET", "/{a-b}", "the name of a parameter"},
        {"GET", "/{id}/{id}", "/{id}/{id}: a name of a parameter is used twice"},
        {"GET", "/{path...}/x", "is the end of a pattern"},
        {"GET", "/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3", "too many"},
        {"get", "/a", "Route get /a: methods are written in capitals"},
        {"G T", "/a", "that is not a method"},
        {"", "/a", "that is not a method"},
        {"CONNECT", "/a", "no request reaches CONNECT"},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        struct shs_route routes[] = {SHS_ROUTE(rows[i][0], rows[i][1], root), SHS_ROUTES_END};

        refused(routes, rows[i][2]);
    }
}

static void test_bad_rows(void **state)
{
    struct shs_route nothing[] = {SHS_ROUTE("GET", "/a", NULL), SHS_ROUTES_END};
    struct shs_route both[] = {{"GET", "/a", root, &mounted, NULL, NULL, 0, 0}, SHS_ROUTES_END};
    struct shs_route lacks[] = {SHS_MOUNT("DELETE", "/a", &mounted), SHS_ROUTES_END};
    struct shs_route no_method[] = {SHS_ROUTE(NULL, "/a", root), SHS_ROUTES_END};
    struct shs_route group_with_fn[] = {{NULL, "/a", root, NULL, table, NULL, 0, 0},
                                        SHS_ROUTES_END};
    struct shs_route endless[] = {SHS_GROUP("/a", NULL, NULL), SHS_ROUTES_END};
    struct shs_route empty[] = {SHS_ROUTES_END};
    static const struct shs_middleware no_fn = {"x", NULL, NULL};
    static const struct shs_middleware *const bad_chain[] = {&no_fn, NULL};
    struct shs_route chained[] = {{"GET", "/a", root, NULL, NULL, bad_chain, 0, 0}, SHS_ROUTES_END};

    (void)state;
    refused(nothing, "Route GET /a: it has neither a function nor a handler.");
    refused(both, "a function and a handler");
    refused(lacks, "Route DELETE /a: the handler has no such method");
    refused(no_method, "it has no method");
    refused(group_with_fn, "a group has routes only");
    refused(empty, "at least one route");
    refused(NULL, "needs routes");
    refused(chained, "a link of its chain has no function");
    endless[0].routes = endless; /* a group of itself */
    refused(endless, "too many groups");
}

static void test_conflicts(void **state)
{
    static const struct {
        const char *method[2], *pattern[2], *text;
    } rows[] = {
        {{"GET", "GET"}, {"/a", "/a"}, "Routes GET /a and GET /a match the same requests."},
        {{"GET", "GET"}, {"/{x}", "/{y}"}, "Routes GET /{x} and GET /{y} match the same"},
        {{"GET", "GET"}, {"/a/{x...}", "/a/{y...}"}, "match the same"},
        {{"GET", "GET"}, {"/{x}/b", "/a/{y}"}, "GET /{x}/b and GET /a/{y} meet, and neither"},
        {{"*", "GET"}, {"/{x}/b", "/a/{y}"}, "meet, and neither"},
        {{"GET", "GET"}, {"/{x}/b/{r...}", "/a/{y}/{r...}"}, "meet, and neither"},
        {{"GET", "GET"}, {"/{x}/b", "/a/{r...}"}, "meet, and neither"},
        /* and what is none */
        {{"GET", "PUT"}, {"/{x}/b", "/a/{y}"}, NULL},
        {{"GET", "*"}, {"/a", "/a"}, NULL},
        {{"GET", "GET"}, {"/a/{x}", "/a/b"}, NULL},
        {{"GET", "GET"}, {"/a/{x}", "/a/"}, NULL},
        {{"GET", "GET"}, {"/a/{x}", "/a/{x}/"}, NULL},
        {{"GET", "GET"}, {"/a/{x}", "/a/{r...}"}, NULL},
        {{"GET", "GET"}, {"/{x}/b/{r...}", "/a/b/c"}, NULL},
        {{"GET", "GET"}, {"/{x}/b", "/{x}/{y}"}, NULL},
        {{"GET", "GET"}, {"/{r...}", "/{x}/b"}, NULL},
        {{"GET", "GET"}, {"/{x}/b", "/a/{y}/c"}, NULL},
        {{"GET", "GET"}, {"/{x}/b/d", "/a/{y}/c"}, NULL},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        struct shs_route routes[] = {SHS_ROUTE(rows[i].method[0], rows[i].pattern[0], root),
                                     SHS_ROUTE(rows[i].method[1], rows[i].pattern[1], root),
                                     SHS_ROUTES_END};

        if (rows[i].text != NULL)
            refused(routes, rows[i].text);
        else
            shs_router_free(make(routes));
    }
}

/* What went wrong with the first try is tried otherwise: literal, then parameter, then rest. */
static void test_the_way_back(void **state)
{
    static const struct shs_route routes[] = {
        SHS_ROUTE("GET", "/a/b/c", root),       SHS_ROUTE("GET", "/a/{b}/d", get_item),
        SHS_ROUTE("GET", "/a/{path...}", rest), SHS_ROUTE("PUT", "/{a}/{b}/{c}", deep),
        SHS_ROUTE("POST", "/{a}/x/y", admin),   SHS_ROUTES_END,
    };
    struct shs_router *router = make(routes);

    (void)state;
    expect(router, "GET", "/a/b/c", "root");
    expect(router, "GET", "/a/b/d", "get_item b=[b]");
    expect(router, "GET", "/a/b/e", "rest path=[b/e]");
    expect(router, "GET", "/a/b", "rest path=[b]");
    expect(router, "PUT", "/a/b/c", "deep a=[a] b=[b] c=[c]");
    expect(router, "POST", "/z/x/y", "admin a=[z]");
    allows(router, "GET", "/z/x/y", 405, "POST, PUT, OPTIONS");
    allows(router, "GET", "/z/x/z", 405, "PUT, OPTIONS");
    allows(router, "DELETE", "/a/b/c", 405, "GET, HEAD, PUT, OPTIONS");
    shs_router_free(router);
}

/* Many routes: each reaches itself. What it costs is in bench/. */
static void test_a_thousand(void **state)
{
    enum { COUNT = 1000 };
    static char patterns[COUNT][40];
    static struct shs_route routes[COUNT + 1];
    struct shs_router *router;
    char target[60], wanted[60];

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(patterns[i], sizeof patterns[i], i % 2 ? "/api/kind%u/{id}" : "/api/kind%u", i);
        routes[i].method = "GET";
        routes[i].pattern = patterns[i];
        routes[i].fn = i % 2 ? get_item : list_items;
    }
    router = make(routes);
    for (unsigned i = 0; i < COUNT; i += 97) {
        snprintf(target, sizeof target, i % 2 ? "/api/kind%u/%u" : "/api/kind%u", i, i);
        snprintf(wanted, sizeof wanted, i % 2 ? "get_item id=[%u]" : "list_items", i);
        expect(router, "GET", target, wanted);
    }
    expect(router, "GET", "/api/kind1000", "404");
    shs_router_free(router);
}

static char route_seen[64];

/* It lives as long as the request. */
static void note_route(char *to, const struct shs_request *req)
{
    const char *route = shs_request_route(req);

    snprintf(to, sizeof route_seen, "%s", route == NULL ? "none" : route);
}

static void see_route(void *log_ctx, const struct shs_access *access)
{
    (void)log_ctx;
    note_route(route_seen, access->req);
}

static int names_its_route(struct shs_request *req, struct shs_response *res)
{
    see_route(NULL, &(struct shs_access){.req = req});
    return shs_send_response(res, 204);
}

static char route_in_front[sizeof route_seen], route_behind[sizeof route_seen];

/* A link of the outer router's chain sees the route before the inner one and after it. */
static int sees_around(struct shs_request *req, struct shs_response *res, void *ctx,
                       const struct shs_next *next)
{
    int rc;

    (void)ctx;
    note_route(route_in_front, req);
    rc = shs_next_call(next, req, res);
    note_route(route_behind, req);
    return rc;
}

/* Three routers in one another: the route is all of it, inside, outside, and for the log. */
static void test_the_patterns_of_both(void)
{
    static const struct shs_middleware around = {"around", sees_around, NULL};
    static const struct shs_middleware *const chain[] = {&around, NULL};
    static const struct shs_route innermost_routes[] = {SHS_ROUTE("GET", "/{id}", names_its_route),
                                                        SHS_ROUTES_END};
    struct shs_router *innermost = make(innermost_routes), *inner, *outer;
    struct shs_route middle_routes[] = {
        SHS_ROUTE("GET", "/here", names_its_route),
        SHS_MOUNT("GET", "/items/{rest...}", shs_router_handler(innermost)), SHS_ROUTES_END};
    struct shs_route outer_routes[] = {
        {"GET", "/{tenant}/api/{path...}", NULL, NULL, NULL, chain, 0, 0}, SHS_ROUTES_END};

    inner = make(middle_routes);
    outer_routes[0].handler = shs_router_handler(inner);
    outer = make(outer_routes);
    expect(outer, "GET", "/t1/api/items/7", "204");
    assert_string_equal(route_seen, "/{tenant}/api/items/{id}");
    assert_string_equal(route_in_front, "/{tenant}/api/{path...}");
    assert_string_equal(route_behind, "/{tenant}/api/items/{id}");
    expect(outer, "GET", "/t1/api/here", "204");
    assert_string_equal(route_seen, "/{tenant}/api/here");
    expect(outer, "GET", "/t1/api/nothing", "404");
    assert_string_equal(route_behind, "/{tenant}/api/{path...}");
    shs_router_free(outer);
    shs_router_free(inner);
    shs_router_free(innermost);
}

static void test_the_pattern_for_logs(void **state)
{
    static const struct shs_route routes[] = {SHS_ROUTE("GET", "/r/{id}", names_its_route),
                                              SHS_ROUTES_END};
    struct shs_router *router = make(routes);

    (void)state;
    expect(router, "GET", "/r/1", "204");
    assert_string_equal(route_seen, "/r/{id}");
    shs_router_free(router);
    test_the_patterns_of_both();
    assert_int_equal(shs_router_new(&router, groups, NULL, NULL), SHS_OK);
    shs_router_free(router);
    shs_router_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_answers_and_calls),
        cmocka_unit_test(test_a_router_in_a_router),
        cmocka_unit_test(test_bad_patterns),
        cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_conflicts),
        cmocka_unit_test(test_the_way_back),
        cmocka_unit_test(test_a_thousand),
        cmocka_unit_test(test_the_pattern_for_logs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
