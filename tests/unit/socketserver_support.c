#include "socketserver_support.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loopback.h"

/* -- compositions ------------------------------------------------------------------------------ */

const char *sst_threading(void)
{
    const char *name = getenv("SHS_TEST_THREADING");

    return name == NULL || name[0] == '\0' ? "none" : name;
}

bool sst_composed(const char *name)
{
    return strcmp(sst_threading(), name) == 0;
}

int sst_compose(struct shs_server *server, struct shs_error *err)
{
    if (sst_composed("thread"))
        return shs_threading_mixin_push(server, err);
    if (sst_composed("pool"))
        return shs_thread_pool_mixin_push(server, err);
    if (sst_composed("fork"))
        return shs_forking_mixin_push(server, err);
    if (!sst_composed("none"))
        fail_msg("SHS_TEST_THREADING: there is no %s", sst_threading());
    return SHS_OK;
}

#define COMPOSED(name)                                                                             \
    int sst_##name(struct shs_server **out, const struct shs_options *opt,                         \
                   const struct shs_request_handler_class *handler, struct shs_error *err)         \
    {                                                                                              \
        int rc = shs_##name(out, opt, handler, err);                                               \
                                                                                                   \
        return rc == SHS_OK ? sst_compose(*out, err) : rc;                                         \
    }

COMPOSED(tcp_server_new)
COMPOSED(udp_server_new)
COMPOSED(unix_stream_server_new)
COMPOSED(unix_datagram_server_new)

const struct sst_class sst_classes[12] = {
    {"TCPServer", "TCPServer > BaseServer", sst_tcp_server_new, AF_INET, SOCK_STREAM, SST_PLAIN},
    {"ThreadingTCPServer", "ThreadingMixIn > TCPServer > BaseServer", shs_threading_tcp_server_new,
     AF_INET, SOCK_STREAM, SST_THREADING},
    {"ForkingTCPServer", "ForkingMixIn > TCPServer > BaseServer", shs_forking_tcp_server_new,
     AF_INET, SOCK_STREAM, SST_FORKING},
    {"UnixStreamServer", "UnixStreamServer > TCPServer > BaseServer", sst_unix_stream_server_new,
     AF_UNIX, SOCK_STREAM, SST_PLAIN},
    {"ThreadingUnixStreamServer", "ThreadingMixIn > UnixStreamServer > TCPServer > BaseServer",
     shs_threading_unix_stream_server_new, AF_UNIX, SOCK_STREAM, SST_THREADING},
    {"ForkingUnixStreamServer", "ForkingMixIn > UnixStreamServer > TCPServer > BaseServer",
     shs_forking_unix_stream_server_new, AF_UNIX, SOCK_STREAM, SST_FORKING},
    {"UDPServer", "UDPServer > TCPServer > BaseServer", sst_udp_server_new, AF_INET, SOCK_DGRAM,
     SST_PLAIN},
    {"ThreadingUDPServer", "ThreadingMixIn > UDPServer > TCPServer > BaseServer",
     shs_threading_udp_server_new, AF_INET, SOCK_DGRAM, SST_THREADING},
    {"ForkingUDPServer", "ForkingMixIn > UDPServer > TCPServer > BaseServer",
     shs_forking_udp_server_new, AF_INET, SOCK_DGRAM, SST_FORKING},
    {"UnixDatagramServer", "UnixDatagramServer > UDPServer > TCPServer > BaseServer",
     sst_unix_datagram_server_new, AF_UNIX, SOCK_DGRAM, SST_PLAIN},
    {"ThreadingUnixDatagramServer",
     "ThreadingMixIn > UnixDatagramServer > UDPServer > TCPServer > BaseServer",
     shs_threading_unix_datagram_server_new, AF_UNIX, SOCK_DGRAM, SST_THREADING},
    {"ForkingUnixDatagramServer",
     "ForkingMixIn > UnixDatagramServer > UDPServer > TCPServer > BaseServer",
     shs_forking_unix_datagram_server_new, AF_UNIX, SOCK_DGRAM, SST_FORKING},
};

const struct sst_class *sst_class(const char *name)
{
    for (size_t i = 0; i < sizeof sst_classes / sizeof sst_classes[0]; i++) {
        if (strcmp(sst_classes[i].name, name) == 0)
            return &sst_classes[i];
    }
    fail_msg("no class %s", name);
    return NULL;
}

void sst_assert_described(struct shs_server *server, const struct sst_class *cls)
{
    const char *mixin = sst_composed("thread") ? "ThreadingMixIn > "
                        : sst_composed("pool") ? "ThreadPoolMixIn > "
                        : sst_composed("fork") ? "ForkingMixIn > "
                                               : "";
    char wanted[160];

    snprintf(wanted, sizeof wanted, "%s%s", cls->mixin == SST_PLAIN ? mixin : "", cls->description);
    assert_string_equal(shs_server_describe(server), wanted);
}

/* -- where Unix sockets live ------------------------------------------------------------------- */

void sst_dir_make(struct sst_dir *dir)
{
    snprintf(dir->path, sizeof dir->path, "/tmp/shs-test-XXXXXX");
    assert_non_null(mkdtemp(dir->path));
}

static void unlink_those(const struct sst_dir *dir, const char *beginning)
{
    DIR *d = opendir(dir->path);
    struct dirent *entry;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) {
        if (strncmp(entry->d_name, beginning, strlen(beginning)) == 0)
            unlinkat(dirfd(d), entry->d_name, 0);
    }
    closedir(d);
}

void sst_dir_remove(struct sst_dir *dir)
{
    unlink_those(dir, "");
    rmdir(dir->path);
}

void sst_dir_forget_clients(const struct sst_dir *dir)
{
    unlink_those(dir, "client-");
}

const char *sst_in_dir(const struct sst_dir *dir, const char *name)
{
    static char paths[4][108];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", dir->path, name);
    return path;
}

void sst_options(struct shs_options *opt, const struct sst_class *cls, const struct sst_dir *dir)
{
    shs_options_init(opt);
    opt->poll_interval_ms = 50;
    opt->stop_ms = 60000;
    opt->close_ms = 500;
    opt->idle_ms = 60000;
    if (cls != NULL && cls->family == AF_UNIX)
        opt->path = sst_in_dir(dir, "server");
}

/* -- a server in a thread ---------------------------------------------------------------------- */

void sst_serve(struct sst_server *s)
{
    assert_int_equal(pthread_create(&s->thread, NULL, loopback_serve, s->server), 0);
}

void sst_start(struct sst_server *s, const struct sst_class *cls, const struct shs_options *opt,
               const struct shs_request_handler_class *handler)
{
    struct shs_error err = {.code = SHS_OK, .text = ""};

    if (cls->make(&s->server, opt, handler, &err) != SHS_OK)
        fail_msg("%s: %s", cls->name, err.text);
    sst_serve(s);
}

int sst_join(struct sst_server *s)
{
    void *rc = NULL;

    assert_int_equal(pthread_join(s->thread, &rc), 0);
    return (int)(intptr_t)rc;
}

void sst_stop(struct sst_server *s)
{
    assert_int_equal(shs_shutdown_wait(s->server, (unsigned)patience_ms()), SHS_OK);
    assert_int_equal(sst_join(s), SHS_OK);
    assert_int_equal(shs_server_close(s->server), SHS_OK);
    assert_int_equal(shs_server_fileno(s->server), -1);
    shs_server_free(s->server);
    s->server = NULL;
}

/* -- clients ----------------------------------------------------------------------------------- */

static int dial_inet(const struct sst_server *s, int type)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    loopback_connect(fd, shs_server_port(s->server));
    return fd;
}

static int dial_unix(const struct sst_server *s, int type, const struct sst_dir *dir)
{
    static unsigned number;
    const char *path = shs_server_host(s->server);
    struct sockaddr_un to = {.sun_family = AF_UNIX}, own = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    if (type == SOCK_DGRAM && dir != NULL) {
        snprintf(own.sun_path, sizeof own.sun_path, "%s/client-%u", dir->path, number++);
        assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    }
    memcpy(to.sun_path, path, strlen(path));
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    assert_int_equal(connect(fd, (struct sockaddr *)&to,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))),
                     0);
    return fd;
}

int sst_dial(const struct sst_server *s, const struct sst_dir *dir)
{
    int type = shs_server_socket_type(s->server);

    return shs_server_address_family(s->server) == AF_UNIX ? dial_unix(s, type, dir)
                                                           : dial_inet(s, type);
}

void sst_await_request(const struct sst_server *s)
{
    struct pollfd p = {.fd = shs_server_fileno(s->server), .events = POLLIN};

    assert_int_equal(poll(&p, 1, patience_ms()), 1);
}

void sst_say(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

ssize_t sst_hear(int fd, void *buf, size_t cap)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (poll(&p, 1, patience_ms()) != 1)
        return -1;
    return recv(fd, buf, cap, 0);
}

void sst_ask(const struct sst_server *s, const struct sst_dir *dir, const char *text,
             const char *answer)
{
    char buf[256];
    int fd = sst_dial(s, dir);
    ssize_t n;

    sst_say(fd, text, strlen(text));
    n = sst_hear(fd, buf, sizeof buf - 1);
    assert_true(n >= 0);
    buf[n] = '\0';
    assert_string_equal(buf, answer);
    close(fd);
}

void sst_pause(void)
{
    struct timespec ms = {.tv_nsec = 1000000};

    nanosleep(&ms, NULL);
}

/* -- handlers ---------------------------------------------------------------------------------- */

static int echo_handle(struct shs_request_handler *self)
{
    char buf[8192];
    size_t got = 0;
    int rc;

    while ((rc = shs_conn_read(self->request, buf, sizeof buf, &got)) == SHS_OK) {
        if (got >= 4 && memcmp(buf, "exit", 4) == 0)
            return SHS_EXIT;
        if (got >= 4 && memcmp(buf, "fail", 4) == 0)
            return SHS_USAGE;
        rc = shs_conn_write(self->request, buf, got);
        if (rc != SHS_OK)
            return rc;
    }
    return rc == SHS_CLOSED ? SHS_OK : rc;
}

const struct shs_request_handler_class sst_echo = {
    .name = "Echo",
    .instance_size = sizeof(struct shs_request_handler),
    .handle = echo_handle,
};

static int echo_line(struct shs_rfile *rfile, struct shs_wfile *wfile)
{
    char line[8192];
    size_t len = 0;
    int rc = shs_rfile_readline(rfile, line, sizeof line, &len);

    return rc == SHS_OK ? shs_wfile_write(wfile, line, len) : rc;
}

/* CPython's MyStreamHandler: one line, echoed. */
static int stream_echo_handle(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self =
        SHS_CONTAINER_OF(base, struct shs_stream_request_handler, base);

    return echo_line(self->rfile, self->wfile);
}

const struct shs_stream_request_handler_class sst_stream_echo = {
    .base = {.name = "StreamEcho",
             .instance_size = sizeof(struct shs_stream_request_handler),
             .setup = shs_stream_request_handler_setup,
             .handle = stream_echo_handle,
             .finish = shs_stream_request_handler_finish},
    .rbufsize = -1,
};

/* CPython's MyDatagramHandler. */
static int datagram_echo_handle(struct shs_request_handler *base)
{
    struct shs_datagram_request_handler *self =
        SHS_CONTAINER_OF(base, struct shs_datagram_request_handler, base);

    return echo_line(self->rfile, self->wfile);
}

const struct shs_request_handler_class sst_datagram_echo = {
    .name = "DatagramEcho",
    .instance_size = sizeof(struct shs_datagram_request_handler),
    .setup = shs_datagram_request_handler_setup,
    .handle = datagram_echo_handle,
    .finish = shs_datagram_request_handler_finish,
};

/* -- what is said ------------------------------------------------------------------------------ */

static void keep_line(void *ctx, enum shs_log_level level, const char *line)
{
    struct sst_log *log = ctx;
    size_t have;

    (void)level;
    pthread_mutex_lock(&log->lock);
    have = strlen(log->text);
    snprintf(log->text + have, sizeof log->text - have, "%s\n", line);
    pthread_mutex_unlock(&log->lock);
}

void sst_log_init(struct sst_log *log, struct shs_options *opt)
{
    pthread_mutex_init(&log->lock, NULL);
    log->text[0] = '\0';
    opt->log = keep_line;
    opt->log_ctx = log;
    opt->log_level = SHS_LOG_DEBUG;
}

bool sst_log_has(struct sst_log *log, const char *part)
{
    bool found;

    pthread_mutex_lock(&log->lock);
    found = strstr(log->text, part) != NULL;
    pthread_mutex_unlock(&log->lock);
    return found;
}

/* -- the spy ----------------------------------------------------------------------------------- */

#define SPY(l) SHS_CONTAINER_OF(l, struct sst_spy, layer)

static void write_down(struct sst_spy *spy, const char *word)
{
    size_t have;

    pthread_mutex_lock(&spy->lock);
    have = strlen(spy->trace);
    snprintf(spy->trace + have, sizeof spy->trace - have, "%s%s", have == 0 ? "" : " ", word);
    pthread_mutex_unlock(&spy->lock);
}

static int spy_bind(struct shs_layer *l)
{
    write_down(SPY(l), "bind");
    return shs_super_server_bind(l);
}
static int spy_activate(struct shs_layer *l)
{
    write_down(SPY(l), "activate");
    return shs_super_server_activate(l);
}
static int spy_get(struct shs_layer *l, struct shs_conn **out)
{
    int rc;

    SPY(l)->loop = pthread_self();
    if (atomic_exchange(&SPY(l)->fail_get, false))
        return SHS_IO;
    rc = shs_super_get_request(l, out);
    if (rc == SHS_OK)
        write_down(SPY(l), "get");
    return rc;
}
static bool spy_verify(struct shs_layer *l, struct shs_conn *conn)
{
    write_down(SPY(l), "verify");
    SPY(l)->super_said = shs_super_verify_request(l, conn);
    return !SPY(l)->refuse && SPY(l)->super_said;
}
static int spy_process(struct shs_layer *l, struct shs_conn *conn)
{
    SPY(l)->processes++;
    write_down(SPY(l), "process");
    return shs_super_process_request(l, conn);
}
static int spy_finish(struct shs_layer *l, struct shs_conn *conn)
{
    int rc = shs_super_finish_request(l, conn);

    if (rc <= 0)
        write_down(SPY(l), "finish");
    return rc;
}
static void spy_shutdown(struct shs_layer *l, struct shs_conn *conn)
{
    write_down(SPY(l), "shutdown");
    shs_super_shutdown_request(l, conn);
}
static void spy_close(struct shs_layer *l, struct shs_conn *conn)
{
    write_down(SPY(l), "close");
    shs_super_close_request(l, conn);
}
static void spy_error(struct shs_layer *l, struct shs_conn *conn, const struct shs_error *err)
{
    write_down(SPY(l), "error");
    pthread_mutex_lock(&SPY(l)->lock);
    snprintf(SPY(l)->error_text, sizeof SPY(l)->error_text, "%s", err->text);
    pthread_mutex_unlock(&SPY(l)->lock);
    SPY(l)->error_code = err->code;
    shs_super_handle_error(l, conn, err);
    SPY(l)->errors++; /* who has seen this finds the rest, and the log */
}
static void spy_timeout(struct shs_layer *l)
{
    SPY(l)->timeouts++;
    shs_super_handle_timeout(l);
}
static void spy_service(struct shs_layer *l)
{
    SPY(l)->services++;
}
static int spy_server_close(struct shs_layer *l)
{
    SPY(l)->closes++;
    return shs_super_server_close(l);
}

static void spy_free(struct shs_layer *l)
{
    SPY(l)->freed = true;
}

static const struct shs_server_ops spy_ops = {
    .name = "Spy",
    .get_request = spy_get,
    .verify_request = spy_verify,
    .process_request = spy_process,
    .finish_request = spy_finish,
    .shutdown_request = spy_shutdown,
    .close_request = spy_close,
    .handle_error = spy_error,
    .handle_timeout = spy_timeout,
    .service_actions = spy_service,
    .server_close = spy_server_close,
    .layer_free = spy_free,
};
/* With what may only be pushed before binding. */
static const struct shs_server_ops spy_all_ops = {
    .name = "Spy",
    .server_bind = spy_bind,
    .server_activate = spy_activate,
    .get_request = spy_get,
    .verify_request = spy_verify,
    .process_request = spy_process,
    .finish_request = spy_finish,
    .shutdown_request = spy_shutdown,
    .close_request = spy_close,
    .handle_error = spy_error,
    .handle_timeout = spy_timeout,
    .service_actions = spy_service,
    .server_close = spy_server_close,
    .layer_free = spy_free,
};

void sst_spy_push(struct sst_spy *spy, struct shs_server *server)
{
    bool bound = shs_server_fileno(server) >= 0;

    memset(spy, 0, sizeof *spy);
    pthread_mutex_init(&spy->lock, NULL);
    assert_int_equal(shs_server_push(server, &spy->layer, bound ? &spy_ops : &spy_all_ops), SHS_OK);
}

static bool traced(struct sst_spy *spy, const char *trace)
{
    bool is;

    pthread_mutex_lock(&spy->lock);
    is = strcmp(spy->trace, trace) == 0;
    pthread_mutex_unlock(&spy->lock);
    return is;
}

bool sst_spy_becomes(struct sst_spy *spy, const char *trace)
{
    for (int i = 0; i < patience_ms() && !traced(spy, trace); i++)
        sst_pause();
    return sst_spy_is(spy, trace);
}

bool sst_spy_is(struct sst_spy *spy, const char *trace)
{
    bool is;

    pthread_mutex_lock(&spy->lock);
    is = strcmp(spy->trace, trace) == 0;
    if (!is)
        print_message("trace: %s\n", spy->trace);
    pthread_mutex_unlock(&spy->lock);
    return is;
}

/* -- what a process holds ---------------------------------------------------------------------- */

static unsigned count_entries(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *entry;
    unsigned count = 0;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(d);
    return count;
}

unsigned sst_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

#ifdef __SANITIZE_THREAD__
static void *no_work(void *unused)
{
    return unused;
}

/* The sanitizer has a thread of its own, from the first pthread_create on. */
static unsigned own_threads(void)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, no_work, NULL), 0);
    pthread_join(thread, NULL);
    return count_entries("/proc/self/task") - 1;
}
#else
static unsigned own_threads(void)
{
    return count_entries("/proc/self/task");
}
#endif

unsigned sst_threads(void)
{
    return own_threads();
}

/* The kernel wakes who joins a thread a moment before it takes the thread off its list. */
unsigned sst_threads_settle(unsigned wanted)
{
    unsigned threads = own_threads();

    for (int i = 0; i < patience_ms() && threads != wanted; i++) {
        usleep(1000);
        threads = own_threads();
    }
    return threads;
}

static unsigned children_of(const char *task)
{
    unsigned count = 0;
    char path[320], pid[32];
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/task/%s/children", task);
    f = fopen(path, "r");
    if (f == NULL)
        return 0; /* a thread that has just ended */
    while (fscanf(f, "%31s", pid) == 1)
        count++;
    fclose(f);
    return count;
}

unsigned sst_children(void)
{
    DIR *d = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned count = 0;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < 16)
            count += children_of(entry->d_name);
    }
    closedir(d);
    return count;
}

long sst_rss_kib(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &pages, &resident), 2);
    fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}
