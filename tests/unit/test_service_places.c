/* test_service_places.c - shs/service.h: servers of several places, and their common end. */
#include "socketserver_support.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <shs/shs.h>

#include "loopback.h"
#include "patience.h"

static int hello(struct shs_request *req, struct shs_response *res)
{
    return shs_send_json_text(res, 200, shs_str_of(shs_request_ctx(req)));
}

/* Until the server closes. */
static int slow(struct shs_request *req, struct shs_response *res)
{
    int rc = shs_sse_start(res);

    (void)req;
    while (rc == SHS_OK)
        rc = shs_sse_wait(res, 60000);
    return shs_sse_end(res, rc);
}

/* Until it is let go, whatever happens. */
static _Atomic int held, let_go, over;

static int deaf(struct shs_request *req, struct shs_response *res)
{
    held = 1;
    while (!let_go)
        poll(NULL, 0, 2);
    assert_string_equal(shs_request_route(req), "/deaf");
    over = 1;
    return shs_send_response(res, 204);
}

static const struct shs_route routes[] = {SHS_ROUTE("GET", "/hello", hello),
                                          SHS_ROUTE("GET", "/slow", slow),
                                          SHS_ROUTE("GET", "/deaf", deaf), SHS_ROUTES_END};
static char says[] = "{\"says\":\"hello\"}";

struct running {
    struct shs_service *service;
    struct shs_error err;
    int rc;
};

static void *run(void *ctx)
{
    struct running *self = ctx;

    self->rc = shs_service_run(self->service, &self->err);
    return NULL;
}

static int dial_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void options(struct shs_service_options *opt, struct shs_options *each)
{
    shs_options_init(each);
    each->stop_ms = (unsigned)patience_ms();
    each->close_ms = 200;
    each->error_form = SHS_ERRORS_PROBLEM;
    shs_service_options_init(opt);
    opt->routes = routes;
    opt->ctx = says;
    opt->options = each;
}

static void test_the_same_at_all_places(void **state)
{
    struct shs_service_options opt;
    struct shs_options each;
    struct running self = {.rc = -1};
    struct sst_dir dir;
    struct shs_place places[3] = {{.name = "net"}, {.name = "local"}, {.admin = true}};
    struct shs_drain_receipt receipt;
    pthread_t thread;
    struct stat st;
    char admin_path[128];
    int fds[2];

    (void)state;
    sst_dir_make(&dir);
    snprintf(admin_path, sizeof admin_path, "%s/admin", dir.path);
    options(&opt, &each);
    places[1].path = sst_in_dir(&dir, "s");
    places[1].mode = 0600;
    places[2].path = admin_path;
    assert_int_equal(
        shs_service_new(&self.service, places, shs_json_available() ? 3 : 2, &opt, &self.err),
        SHS_OK);
    assert_int_equal(stat(places[1].path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_null(shs_service_server(self.service, 2));
    assert_null(shs_service_rules(self.service));
    if (shs_json_available()) {
        assert_int_equal(stat(admin_path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0660);
        assert_non_null(shs_service_admin(self.service));
    }
    assert_int_equal(pthread_create(&thread, NULL, run, &self), 0);
    fds[0] = loopback_dial(shs_server_port(shs_service_server(self.service, 0)));
    fds[1] = dial_path(places[1].path);
    for (int i = 0; i < 2; i++) {
        loopback_ask(fds[i], "/hello");
        assert_true(loopback_hears(fds[i], says));
        loopback_ask(fds[i], "/none");
        assert_true(loopback_hears(fds[i], "application/problem+json"));
        loopback_ask(fds[i], "/slow");
        while (!loopback_hears(fds[i], "text/event-stream"))
            continue;
    }
    shs_service_stop(self.service);
    pthread_join(thread, NULL);
    assert_int_equal(self.rc, SHS_OK);
    shs_service_get_receipt(self.service, &receipt);
    assert_int_equal(receipt.served, 2); /* the two that were under way */
    assert_int_equal(receipt.cut, 0);
    assert_int_equal(shs_service_run(self.service, &self.err), SHS_USAGE);
    /* They share their workers already: two that have served apart could not. */
    assert_int_equal(shs_thread_pool_share(shs_service_server(self.service, 1),
                                           shs_service_server(self.service, 0), &self.err),
                     SHS_OK);
    shs_service_free(self.service);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(stat(places[1].path, &st), -1);
    assert_int_equal(errno, ENOENT);
    sst_dir_remove(&dir);
}

/* Port 0 is another one for each of them, and so are the names that operators read. */
static void test_places_without_names(void **state)
{
    struct shs_place places[4] = {{.admin = true}};
    struct sst_dir dir;
    struct shs_service_options opt;
    struct shs_options each;
    struct shs_service *service = NULL;
    struct shs_metrics *metrics = NULL;
    struct shs_error err;
    char name[320];

    (void)state;
    if (!shs_json_available())
        skip();
    options(&opt, &each);
    sst_dir_make(&dir);
    places[0].path = sst_in_dir(&dir, "admin");
    assert_int_equal(shs_service_new(&service, places, 4, &opt, &err), SHS_OK);
    for (size_t i = 0; i < 3; i++) {
        struct shs_server *server = shs_service_server(service, i);

        snprintf(name, sizeof name, "127.0.0.1:%u", shs_server_port(server));
        assert_int_equal(shs_admin_add_server(shs_service_admin(service), name, server, &err),
                         SHS_USAGE);
        if (strstr(err.text, "already") == NULL || strstr(err.text, name) == NULL)
            fail_msg("'%s' is not that '%s' is there already", err.text, name);
    }
    /* What is too long is refused, not cut: two could become one. */
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(shs_admin_add_server(shs_service_admin(service), name,
                                          shs_service_server(service, 0), &err),
                     SHS_USAGE);
    assert_non_null(strstr(err.text, "at most 299 bytes"));
    assert_int_equal(shs_metrics_new(&metrics, &err), SHS_OK);
    assert_int_equal(shs_metrics_add_server(metrics, name, shs_service_server(service, 0), &err),
                     SHS_USAGE);
    assert_non_null(strstr(err.text, "at most 299 bytes"));
    name[299] = '\0';
    assert_int_equal(shs_metrics_add_server(metrics, name, shs_service_server(service, 0), &err),
                     SHS_OK);
    shs_metrics_free(metrics);
    shs_service_free(service);
    sst_dir_remove(&dir);
}

/* SIGUSR1, which would end this process: it comes to who waits for it, however many threads there
   are by then; and the mask is given back. */
static void test_a_signal_ends_it(void **state)
{
    static const int until[] = {SIGUSR1, SIGUSR2, 0};
    const struct shs_place place = {.name = "net"};
    struct running self = {.rc = -1};
    struct shs_service_options opt;
    struct shs_options each;
    pthread_t thread;
    sigset_t set, before, after;
    int fd;

    (void)state;
    options(&opt, &each);
    opt.until = until;
    assert_int_equal(shs_service_new(&self.service, &place, 1, &opt, &self.err), SHS_OK);
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(sigismember(&before, SIGUSR1), 0);
    sigemptyset(&set); /* this thread is one of the program's others */
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    assert_int_equal(pthread_create(&thread, NULL, run, &self), 0);
    fd = loopback_dial(shs_server_port(shs_service_server(self.service, 0)));
    loopback_ask(fd, "/slow"); /* a worker has it */
    while (!loopback_hears(fd, "text/event-stream"))
        continue;
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    pthread_join(thread, NULL);
    assert_int_equal(self.rc, SHS_OK);
    pthread_sigmask(SIG_SETMASK, &before, &after);
    assert_int_equal(sigismember(&after, SIGUSR2), 0);
    close(fd);
    shs_service_free(self.service);
}

/* The second wish hurries the first; what is cut is said. */
static void test_a_second_stop_cuts(void **state)
{
    const struct shs_place place = {.name = "net"};
    struct running self = {.rc = -1};
    struct shs_service_options opt;
    struct shs_options each;
    pthread_t thread;
    int fd;

    (void)state;
    held = let_go = 0;
    options(&opt, &each);
    assert_int_equal(shs_service_new(&self.service, &place, 1, &opt, &self.err), SHS_OK);
    assert_int_equal(pthread_create(&thread, NULL, run, &self), 0);
    fd = loopback_dial(shs_server_port(shs_service_server(self.service, 0)));
    loopback_ask(fd, "/deaf");
    while (!held)
        poll(NULL, 0, 2);
    shs_service_stop(self.service);
    shs_service_stop(self.service); /* long before stop_ms */
    pthread_join(thread, NULL);
    assert_int_equal(self.rc, SHS_TIMEOUT);
    assert_non_null(strstr(self.err.text, "net: "));
    shs_service_free(self.service); /* what the handler uses stays, until it has returned */
    let_go = 1;
    while (!over)
        poll(NULL, 0, 2);
    close(fd);
}

static void expect_usage(const struct shs_place *places, size_t count,
                         const struct shs_service_options *opt, const char *text)
{
    struct shs_service *service = NULL;
    struct shs_error err;

    assert_int_equal(shs_service_new(&service, places, count, opt, &err), SHS_USAGE);
    assert_null(service);
    if (strstr(err.text, text) == NULL)
        fail_msg("'%s' is not in '%s'", text, err.text);
}

static void test_what_is_refused(void **state)
{
    static const int none[] = {99999, 0}, last[] = {SIGKILL, 0}, fault[] = {SIGTERM, SIGSEGV, 0};
    const struct shs_place net = {.name = "net"}, both = {.name = "b", .path = "x", .port = "1"},
                           ca = {.name = "c", .client_ca = "x"},
                           side = {.path = "x", .admin = true},
                           odd = {.name = "o", .path = "x", .mode = 07777};
    const struct shs_place two[] = {{.name = "net"}, {.path = "/no/such/dir/s"}};
    struct shs_service_options opt;
    struct shs_service *service;
    struct shs_http_handler handler = {.do_GET = hello};
    struct shs_options each;
    struct shs_error err;

    (void)state;
    options(&opt, &each);
    expect_usage(&net, 0, &opt, "1 to 64 places");
    expect_usage(&both, 1, &opt, "b: give a path, or a host");
    expect_usage(&ca, 1, &opt, "c: without a certificate");
    expect_usage(&side, 1, &opt, "nothing to serve");
    expect_usage(&odd, 1, &opt, "o: path_mode");
    expect_usage(&net, 1, NULL, "net: there is nothing to serve");
    opt.handler = &handler;
    expect_usage(&net, 1, &opt, "not both");
    opt.handler = NULL;
    assert_int_equal(shs_service_new(&service, two, 2, &opt, &err), SHS_IO);
    assert_non_null(strstr(err.text, "/no/such/dir/s: "));
    opt.rules = "/no/such/rules";
    assert_int_equal(shs_service_new(&service, &net, 1, &opt, &err), SHS_IO);
    opt.rules = NULL;
    opt.until = none;
    expect_usage(&net, 1, &opt, "no signal 99999");
    opt.until = last;
    expect_usage(&net, 1, &opt, "no signal 9");
    opt.until = fault;
    expect_usage(&net, 1, &opt, "no signal 11");
    shs_service_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_at_all_places), cmocka_unit_test(test_places_without_names),
        cmocka_unit_test(test_a_signal_ends_it),       cmocka_unit_test(test_a_second_stop_cuts),
        cmocka_unit_test(test_what_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
