/* json_api.c - a JSON API: `json_api 8080`, then curl 'localhost:8080/items?after=0&limit=10', or
 * curl -H 'Content-Type: application/json' -d '{"name":"tea"}' localhost:8080/items */
#include <jansson.h>
#include <pthread.h>
#include <shs/shs.h>
#include <signal.h>
#include <stdio.h>

static json_t *items[1000]; /* number n is items[n - 1]; under the lock, as the count */
static uint64_t count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shs_server *server;

static json_t *nth_item(uint64_t n) /* a reference, or NULL */
{
    pthread_mutex_lock(&lock);
    json_t *item = n > 0 && n <= count ? json_incref(items[n - 1]) : NULL;
    pthread_mutex_unlock(&lock);
    return item;
}

static int list_items(struct shs_request *req, struct shs_response *res)
{
    struct shs_json_array page;
    uint64_t n = 0, left = 20;
    SHS_RETURN_IF_ERROR(shs_request_query_number(req, "after", 1000, &n));
    SHS_RETURN_IF_ERROR(shs_request_query_number(req, "limit", 100, &left));
    SHS_RETURN_IF_ERROR(shs_json_array_begin(&page, res, 200));
    for (json_t *item; left > 0 && (item = nth_item(++n)) != NULL; left--)
        (void)shs_json_array_add(&page, item);
    return shs_json_array_end(&page);
}

static int create_item(struct shs_request *req, struct shs_response *res)
{
    json_t *in, *item;
    const char *name;
    SHS_RETURN_IF_ERROR(shs_request_json(req, NULL, &in));
    if (json_unpack(in, "{s:s!}", "name", &name) != 0 || *name == '\0')
        return shs_send_problem(res, 422, "An item is {\"name\": a text that is not empty}.");
    pthread_mutex_lock(&lock);
    item = count < 1000 ? json_pack("{s:i,s:s}", "id", (int)count + 1, "name", name) : NULL;
    if (item != NULL)
        items[count++] = json_incref(item);
    pthread_mutex_unlock(&lock);
    return item != NULL ? shs_send_json(res, 201, item) : shs_send_problem(res, 507, "No room.");
}

static int get_item(struct shs_request *req, struct shs_response *res)
{
    struct shs_str id;
    uint64_t n = 0;
    bool right = shs_request_param(req, "id", &id) && shs_str_number(id, 1000, &n);
    json_t *item = right ? nth_item(n) : NULL;
    return item != NULL ? shs_send_json(res, 200, item) : shs_send_problem(res, 404, "No item.");
}

static const struct shs_route routes[] = {
    SHS_ROUTE("GET", "/items", list_items), SHS_ROUTE("POST", "/items", create_item),
    SHS_ROUTE("GET", "/items/{id}", get_item), SHS_ROUTES_END};

static void on_stop(int sig)
{
    (void)sig;
    shs_shutdown(server); /* no new requests; those that run are answered */
}

int main(int argc, char **argv)
{
    static struct sigaction stop;
    struct shs_router *router = NULL;
    struct shs_options opt;
    struct shs_error err;

    shs_options_init(&opt);
    opt.port = argc > 1 ? argv[1] : "0";
    opt.error_form = SHS_ERRORS_PROBLEM; /* 404, 405, 413 ... as well */
    if (shs_router_new(&router, routes, NULL, &err) != 0 ||
        shs_threading_http_server_new(&server, &opt, shs_router_handler(router), &err) != 0)
        return fprintf(stderr, "json_api: %s\n", err.text), 1;
    stop.sa_handler = on_stop;
    sigaction(SIGTERM, &stop, NULL);
    unsigned port = shs_server_port(server);
    printf("Serving HTTP on 127.0.0.1 port %u (http://127.0.0.1:%u/) ...\n", port, port);
    fflush(stdout);
    int rc = shs_serve_forever(server);
    shs_server_free(server);
    shs_router_free(router);
    return rc != 0;
}
