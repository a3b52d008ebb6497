/*
 * socketserver_support.h - what the tests of the socketserver family share: the twelve classes in
 * one table, clients for each of them, and a server in a thread.
 *
 * A test's name has the number of the line it is for: test_S14_...; tests/style/check_semantics.sh
 * demands one for each.
 */
#ifndef SOCKETSERVER_SUPPORT_H
#define SOCKETSERVER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <shs/shs.h>

#include "patience.h"

enum sst_mixin { SST_PLAIN, SST_THREADING, SST_FORKING };

/* One class of the family. */
struct sst_class {
    const char *name; /* Python's */
    const char *description;
    int (*make)(struct shs_server **out, const struct shs_options *opt,
                const struct shs_request_handler_class *handler, struct shs_error *err);
    int family, type;
    enum sst_mixin mixin;
};

extern const struct sst_class sst_classes[12];
/* The composition is that of the class, with the mixin of this run on a plain one. */
void sst_assert_described(struct shs_server *server, const struct sst_class *cls);
const struct sst_class *sst_class(const char *name);

/*
 * The composition that this run is about: SHS_TEST_THREADING is none (or not set), thread, pool or
 * fork. ctest runs these programs once for each; the servers below, and the plain classes of the
 * table, get that mixin. sst_compose pushes it.
 */
const char *sst_threading(void);
bool sst_composed(const char *name); /* is it that one? */
int sst_compose(struct shs_server *server, struct shs_error *err);
int sst_tcp_server_new(struct shs_server **out, const struct shs_options *opt,
                       const struct shs_request_handler_class *handler, struct shs_error *err);
int sst_udp_server_new(struct shs_server **out, const struct shs_options *opt,
                       const struct shs_request_handler_class *handler, struct shs_error *err);
int sst_unix_stream_server_new(struct shs_server **out, const struct shs_options *opt,
                               const struct shs_request_handler_class *handler,
                               struct shs_error *err);
int sst_unix_datagram_server_new(struct shs_server **out, const struct shs_options *opt,
                                 const struct shs_request_handler_class *handler,
                                 struct shs_error *err);
/* The line is about some compositions only, and tests/README.md says why: the others skip it. */
#define SST_ONLY(condition)                                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            skip();                                                                                \
    } while (0)

/* A directory for Unix sockets that is gone after sst_dir_remove. */
struct sst_dir {
    char path[64];
};
void sst_dir_make(struct sst_dir *dir);
void sst_dir_remove(struct sst_dir *dir);
void sst_dir_forget_clients(const struct sst_dir *dir); /* the paths that datagram clients bound */
/* dir/name in static storage, a new one for each of four calls */
const char *sst_in_dir(const struct sst_dir *dir, const char *name);

/*
 * Who closes it waits for as long as a machine may stand still; the caller's dir gives Unix servers
 * their path.
 */
void sst_options(struct shs_options *opt, const struct sst_class *cls, const struct sst_dir *dir);

/* A server in a thread of its own. */
struct sst_server {
    struct shs_server *server;
    pthread_t thread;
};
void sst_start(struct sst_server *s, const struct sst_class *cls, const struct shs_options *opt,
               const struct shs_request_handler_class *handler);
void sst_serve(struct sst_server *s); /* starts the thread, for a server that is made already */
int sst_join(struct sst_server *s);   /* what shs_serve_forever returned */
void sst_stop(struct sst_server *s);  /* shutdown, join, server_close, fileno is -1, free */

/*
 * A socket for that server: connected, or a datagram's with a name of its own (dir, for AF_UNIX).
 */
int sst_dial(const struct sst_server *s, const struct sst_dir *dir);
/* Until the server's socket has something to accept: a client can be connected before that. */
void sst_await_request(const struct sst_server *s);
void sst_say(int fd, const void *bytes, size_t len);
/* What comes within the limit: its length; 0 at the end, -1 when it was reset or time is up. */
ssize_t sst_hear(int fd, void *buf, size_t cap);
/* Says text, hears the answer and demands that it is `answer`. */
void sst_ask(const struct sst_server *s, const struct sst_dir *dir, const char *text,
             const char *answer);

/* Waits, patience_ms at most, for something that comes from another thread or process. */
#define sst_wait_until(condition)                                                                  \
    do {                                                                                           \
        int sst_tries_ = patience_ms();                                                            \
        while (!(condition) && sst_tries_-- > 0)                                                   \
            sst_pause();                                                                           \
        assert_true(condition);                                                                    \
    } while (0)
void sst_pause(void); /* a millisecond */
/* So many of them are long enough for whatever a handler waits for; then it goes on, so that none
   is left behind by a test that failed. */
#define SST_PAUSES 30000u

/*
 * Echo: a connection until its end, a datagram once. "exit" asks the server to stop, "fail" fails.
 */
extern const struct shs_request_handler_class sst_echo;
/* The same with rfile and wfile. */
extern const struct shs_stream_request_handler_class sst_stream_echo;
extern const struct shs_request_handler_class sst_datagram_echo;

/* Lines of opt.log, for tests on what is said. */
struct sst_log {
    pthread_mutex_t lock;
    char text[8192];
};
void sst_log_init(struct sst_log *log, struct shs_options *opt);
bool sst_log_has(struct sst_log *log, const char *part);

/*
 * A layer that writes down what it is asked, in calling order: "get verify process finish ...", and
 * then does what super does. finish is written once per request, when it has ended.
 */
struct sst_spy {
    struct shs_layer layer;
    pthread_mutex_t lock;
    char trace[1024];
    _Atomic unsigned services, timeouts, errors, processes, closes;
    _Atomic bool refuse;     /* verify_request says no */
    _Atomic bool fail_get;   /* the next get_request fails */
    _Atomic bool freed;      /* nobody uses the server any more */
    _Atomic bool super_said; /* what super().verify_request answered last */
    _Atomic int error_code;  /* of the last handle_error */
    char error_text[240];
    pthread_t loop; /* the thread that called get_request last */
};
void sst_spy_push(struct sst_spy *spy, struct shs_server *server);
bool sst_spy_is(struct sst_spy *spy, const char *trace);      /* exactly so far */
bool sst_spy_becomes(struct sst_spy *spy, const char *trace); /* ... when another thread is done */

unsigned sst_descriptors(void); /* open ones */
unsigned sst_threads(void);     /* of this process */
/* The same, once it is `wanted`, or after patience_ms. */
unsigned sst_threads_settle(unsigned wanted);
unsigned sst_children(void); /* of this process, zombies too */
long sst_rss_kib(void);

#endif
