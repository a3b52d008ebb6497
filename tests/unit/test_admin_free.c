/*
 * test_admin_free.c - shs/admin.h: its end while requests still run, in every order of the ends.
 */
#include "socketserver_support.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <shs/shs.h>

#include "loopback.h"
#include "patience.h"

#define STOP_MS 150u
#define CLOSE_MS 1000 /* of the admin plane's own servers */

static struct sst_dir dir;
static char socket_path[128], rules_path[128];

/* -- a reload that does not return ------------------------------------------------------------- */

static _Atomic int held, let_go, gone;

static void on_free(struct shs_layer *layer)
{
    (void)layer;
    gone = 1;
}

/* Of the server that is looked at: freed with it, by whoever was the last to need it. */
static struct shs_layer layer;
static const struct shs_server_ops layer_ops = {.name = "Test", .layer_free = on_free};

static void hold(void)
{
    held++;
    while (!let_go)
        poll(NULL, 0, 2);
}

static int stuck_reload(void *ctx, enum shs_admin_reload_step step, struct shs_error *err)
{
    (void)ctx;
    (void)err;
    if (step == SHS_ADMIN_RELOAD_READ)
        hold();
    return SHS_OK;
}

/* The servers are looked at after it. */
static void stuck_settings(void *ctx, shs_admin_setting_fn *each, void *to)
{
    (void)ctx;
    (void)each;
    (void)to;
    hold();
}

static unsigned threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    unsigned count = 0;

    assert_non_null(tasks);
    while (readdir(tasks) != NULL)
        count++;
    closedir(tasks);
    return count;
}

/* Whoever ran on has gone, with all that was kept for it. */
static void let_it_go(unsigned before)
{
    assert_int_equal(gone, 0);
    let_go = 1;
    for (int waited = 0; !gone || threads() > before; waited += 2) {
        assert_true(waited < patience_ms());
        poll(NULL, 0, 2);
    }
}

/* -- the plane, and its clients ---------------------------------------------------------------- */

static int hello(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_send_json_text(res, 200, shs_str_of("{}"));
}

static const struct shs_http_handler handler = {.name = "hello", .do_GET = hello};

/* More than the kernel keeps for a client that does not read. */
static void many_settings(void *ctx, shs_admin_setting_fn *each, void *to)
{
    char name[16];

    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "s%d", i);
        each(to, name, ctx);
    }
}

static struct shs_server *server_new(void)
{
    struct shs_server *server = NULL;
    struct shs_options opt;

    shs_options_init(&opt);
    opt.stop_ms = STOP_MS;
    opt.close_ms = 100;
    assert_int_equal(shs_http_server_new(&server, &opt, &handler, NULL), SHS_OK);
    assert_int_equal(shs_thread_pool_mixin_push(server, NULL), SHS_OK);
    assert_int_equal(shs_server_push(server, &layer, &layer_ops), SHS_OK);
    return server;
}

static char many[] = "a value of some length, so that there are two MiB of them in all, for who "
                     "reads nothing of it";

static void options(struct shs_admin_options *opt)
{
    held = let_go = gone = 0;
    shs_admin_options_init(opt);
    opt->path = socket_path;
    opt->reload = stuck_reload;
    opt->settings = stuck_settings;
    opt->stop_ms = STOP_MS;
}

static const char *write_rules(void)
{
    FILE *file = fopen(rules_path, "w");

    assert_non_null(file);
    fprintf(file, "role all * /**\nmap uid %u all\n", (unsigned)getuid());
    assert_int_equal(fclose(file), 0);
    return rules_path;
}

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* A request that does not return has begun. */
static int begin(const char *path, const char *method, const char *target)
{
    int before = held, fd = dial(path);
    char text[128];

    snprintf(text, sizeof text, "%s /admin/v1/%s HTTP/1.1\r\nHost: admin\r\n\r\n", method, target);
    loopback_say(fd, text);
    for (int waited = 0; held == before; waited += 2) {
        assert_true(waited < patience_ms());
        poll(NULL, 0, 2);
    }
    return fd;
}

/* -- one at a time ----------------------------------------------------------------------------- */

/* Its requests have stop_ms, then are cut, and have close_ms to see it. */
static void test_what_never_returns(void **state)
{
    struct shs_server *server = server_new();
    struct shs_admin_options opt;
    struct shs_admin *admin = NULL;
    unsigned before = threads();
    struct shs_error err;
    int fds[2];

    (void)state;
    options(&opt);
    opt.rules = write_rules();
    if (shs_admin_new(&admin, server, &opt, &err) != SHS_OK)
        fail_msg("%s", err.text);
    fds[0] = begin(opt.path, "POST", "reload");
    fds[1] = begin(opt.path, "GET", "config");
    stopwatch_start();
    assert_int_equal(shs_admin_free(admin), SHS_TIMEOUT);
    assert_true(stopwatch_between(STOP_MS, STOP_MS + CLOSE_MS + 500));
    stopwatch_stop();
    shs_server_free(server); /* they go on, and look at it */
    let_it_go(before);
    close(fds[0]);
    close(fds[1]);
}

/* At both of its addresses at once: they wait side by side. */
static void test_two_addresses(void **state)
{
    struct shs_server *server = server_new();
    struct shs_admin_options opt;
    struct shs_admin *admin = NULL;
    unsigned before = threads();
    struct shs_error err;
    int fds[2];

    (void)state;
    options(&opt);
    opt.host = "127.0.0.1";
    assert_int_equal(shs_admin_new(&admin, server, &opt, &err), SHS_OK);
    fds[0] = begin(opt.path, "POST", "reload");
    fds[1] = loopback_dial(shs_server_port(shs_admin_server(admin, 1)));
    loopback_say(fds[1], "GET /admin/v1/whoami HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(loopback_hears(fds[1], "200"));
    loopback_say(fds[1], "POST /admin/v1/reload HTTP/1.1\r\n"); /* a head that never ends */
    stopwatch_start();
    assert_int_equal(shs_admin_free(admin), SHS_TIMEOUT);
    assert_true(stopwatch_between(STOP_MS, STOP_MS + CLOSE_MS + 500));
    stopwatch_stop();
    shs_server_free(server);
    let_it_go(before);
    close(fds[0]);
    close(fds[1]);
}

/* Who watches the page, and who does not read his answer: both are gone in time. */
static void test_streams(void **state)
{
    struct shs_server *server = server_new();
    struct shs_admin_options opt;
    struct shs_admin *admin = NULL;
    struct shs_error err;
    int watching, deaf;

    (void)state;
    options(&opt);
    opt.settings = many_settings;
    opt.settings_ctx = many;
    assert_int_equal(shs_admin_new(&admin, server, &opt, &err), SHS_OK);
    watching = dial(opt.path);
    loopback_say(watching, "GET /admin/v1/status HTTP/1.1\r\nHost: admin\r\n"
                           "Accept: text/event-stream\r\n\r\n");
    while (!loopback_hears(watching, "event: status"))
        continue;
    deaf = dial(opt.path);
    loopback_say(deaf, "GET /admin/v1/config HTTP/1.1\r\nHost: admin\r\n\r\n");
    assert_true(loopback_hears(deaf, "200 OK"));
    stopwatch_start();
    assert_int_equal(shs_admin_free(admin), SHS_OK);
    assert_true(stopwatch_between(STOP_MS, STOP_MS + CLOSE_MS + 500));
    stopwatch_stop();
    shs_server_free(server);
    close(watching);
    close(deaf);
}

/* The wrong way round: it looks at servers that their owner has freed. */
static void test_servers_first(void **state)
{
    struct shs_server *server = server_new();
    struct shs_admin_options opt;
    struct shs_admin *admin = NULL;
    struct shs_error err;
    int fd;

    (void)state;
    options(&opt);
    assert_int_equal(shs_admin_new(&admin, server, &opt, &err), SHS_OK);
    shs_server_free(server);
    fd = dial(opt.path);
    loopback_ask(fd, "/admin/v1/connections");
    assert_true(loopback_hears(fd, "200 OK"));
    loopback_say(fd, "POST /admin/v1/drain HTTP/1.1\r\nHost: admin\r\n\r\n");
    assert_true(loopback_hears(fd, "200 OK"));
    assert_int_equal(shs_admin_free(admin), SHS_OK);
    close(fd);
}

/* An address that cannot be had takes nothing with it. */
static void test_once_more(void **state)
{
    struct shs_server *server = server_new();
    struct shs_admin_options opt;
    struct shs_admin *admin = NULL;
    struct shs_error err;

    (void)state;
    options(&opt);
    opt.path = "/no/such/directory/admin";
    assert_int_equal(shs_admin_new(&admin, server, &opt, &err), SHS_IO);
    assert_null(admin);
    options(&opt);
    if (shs_admin_new(&admin, server, &opt, &err) != SHS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(shs_admin_free(admin), SHS_OK);
    shs_server_free(server);
}

/* -- a service --------------------------------------------------------------------------------- */

static void test_a_service(void **state)
{
    struct shs_place places[] = {{.name = "net"}, {.name = "admin", .admin = true}};
    const struct shs_route routes[] = {SHS_ROUTE("GET", "/hello", hello), SHS_ROUTES_END};
    struct shs_service_options opt;
    struct shs_admin_options admin;
    struct shs_service *service = NULL;
    unsigned before = threads();
    struct shs_error err;
    int fds[2];

    (void)state;
    options(&admin);
    admin.path = NULL;
    places[1].path = socket_path;
    shs_service_options_init(&opt);
    opt.routes = routes;
    opt.admin = &admin;
    opt.rules = write_rules(); /* the reload reads them again */
    if (shs_service_new(&service, places, 2, &opt, &err) != SHS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(shs_server_push(shs_service_server(service, 0), &layer, &layer_ops), SHS_OK);
    fds[0] = begin(places[1].path, "POST", "reload");
    fds[1] = begin(places[1].path, "GET", "config");
    stopwatch_start();
    shs_service_free(service);
    assert_true(stopwatch_between(STOP_MS, STOP_MS + CLOSE_MS + 500));
    stopwatch_stop();
    let_it_go(before);
    close(fds[0]);
    close(fds[1]);
}

static int make_dir(void **state)
{
    (void)state;
    stopwatch_start(); /* the first thread of all, beside which TSan starts one of its own */
    stopwatch_stop();
    sst_dir_make(&dir);
    snprintf(socket_path, sizeof socket_path, "%s/admin", dir.path);
    snprintf(rules_path, sizeof rules_path, "%s/rules", dir.path);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    sst_dir_remove(&dir);
    return 0;
}

/* -- misuse ------------------------------------------------------------------------------------ */

static bool is_well(void *ctx, char *reason)
{
    (void)ctx;
    (void)reason;
    return true;
}

#define ASSERT_SAYS_NULL(call)                                                                     \
    do {                                                                                           \
        memset(&err, 0, sizeof err);                                                               \
        assert_int_equal((call), SHS_USAGE);                                                       \
        assert_non_null(strstr(err.text, "NULL"));                                                 \
    } while (0)

static void test_null_is_misuse(void **state)
{
    static const struct shs_http_handler nothing = {.name = "nothing"};
    struct shs_admin_options opt;
    struct shs_metrics *metrics;
    struct shs_health *health;
    struct shs_access_draft *draft;
    struct shs_server *server;
    struct shs_options server_opt;
    struct shs_admin *admin;
    struct shs_error err;

    (void)state;
    shs_options_init(&server_opt);
    server_opt.bind_and_activate = false;
    assert_int_equal(shs_http_server_new(&server, &server_opt, &nothing, &err), SHS_OK);
    shs_admin_options_init(&opt);
    opt.host = "127.0.0.1";
    ASSERT_SAYS_NULL(shs_admin_new(&admin, NULL, NULL, &err));
    assert_null(admin);
    assert_int_equal(shs_admin_new(&admin, NULL, &opt, &err), SHS_OK);
    ASSERT_SAYS_NULL(shs_admin_add_server(NULL, "one", server, &err));
    ASSERT_SAYS_NULL(shs_admin_add_server(admin, NULL, server, &err));
    ASSERT_SAYS_NULL(shs_admin_add_server(admin, "one", NULL, &err));
    assert_int_equal(shs_admin_add_server(admin, "one", NULL, NULL), SHS_USAGE);
    ASSERT_SAYS_NULL(shs_admin_reload(NULL, "me", true, &err));
    assert_null(shs_admin_server(NULL, 0));
    assert_int_equal(shs_admin_add_server(admin, "one", server, &err), SHS_OK);
    assert_int_equal(shs_admin_free(admin), SHS_OK);

    assert_int_equal(shs_health_new(&health, &err), SHS_OK);
    ASSERT_SAYS_NULL(shs_health_add_check(NULL, "a", is_well, NULL, &err));
    ASSERT_SAYS_NULL(shs_health_add_check(health, "a", NULL, NULL, &err));
    ASSERT_SAYS_NULL(shs_health_add_warning(health, "a", NULL, NULL, &err));
    ASSERT_SAYS_NULL(shs_health_add_server(health, "a", NULL, &err));
    ASSERT_SAYS_NULL(shs_health_add_certificates(health, "a", NULL, &err));
    assert_int_equal(shs_health_add_check(health, NULL, is_well, NULL, &err), SHS_USAGE);
    assert_int_equal(shs_health_add_server(health, NULL, server, &err), SHS_USAGE);
    assert_int_equal(shs_health_add_certificates(health, NULL, server, &err), SHS_USAGE);
    assert_int_equal(shs_health_add_check(health, "a", is_well, NULL, &err), SHS_OK);
    shs_health_free(health);

    assert_int_equal(shs_metrics_new(&metrics, &err), SHS_OK);
    ASSERT_SAYS_NULL(shs_metrics_add_server(NULL, "a", server, &err));
    ASSERT_SAYS_NULL(shs_metrics_add_server(metrics, NULL, server, &err));
    ASSERT_SAYS_NULL(shs_metrics_add_server(metrics, "a", NULL, &err));
    assert_int_equal(shs_metrics_add_server(metrics, "a", server, &err), SHS_OK);
    shs_metrics_free(metrics);

    ASSERT_SAYS_NULL(shs_access_reload(NULL, &err));
    ASSERT_SAYS_NULL(shs_access_draft_new(&draft, NULL, true, &err));
    assert_null(draft);
    shs_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_never_returns, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_two_addresses, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_streams, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_servers_first, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_once_more, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_a_service, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_null_is_misuse, make_dir, remove_dir),
    };

    if (!shs_json_available()) {
        puts("the admin plane needs jansson");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
