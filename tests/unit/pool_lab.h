/*
 * pool_lab.h - what the tests of ThreadPoolMixIn share: a handler that can be held back, and a
 * server in a thread with a layer that counts above and below the mixin.
 */
#ifndef POOL_LAB_H
#define POOL_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include <shs/shs.h>

#include "fake_layer.h"
#include "loopback.h"
#include "patience.h"
#include "server/server.h"

struct pool_fixture {
    struct shs_server *server;
    struct fake_layer below, above;
    pthread_t thread;
};

/* GET answers with the path; POST with how many bytes its body had. */
extern const struct shs_http_handler pool_handler;

/* GET of "/block" waits while the gate is closed, and of "/spin" computes; until so many do, within
   a limit. */
void pool_set_gate(bool closed);
void pool_wait_at_gate(unsigned count);

/* GET of "/nap/US" sleeps so many microseconds, "/compute/US" computes: how many such handlers ran
   at the same time, at most, since the last call. */
unsigned pool_most_at_once(void);

/* Two workers, and who closes it waits for as long as a machine may stand still; what a test wants
   otherwise it sets. */
void pool_defaults(struct shs_options *opt);

/*
 * FakeMixIn > ThreadPoolMixIn > FakeMixIn > HTTPServer, serving. pool_finish looks at the counts.
 */
void pool_start(struct pool_fixture *f, const struct shs_options *opt);
/* The same with another mixin in its place. */
typedef int pool_push_fn(struct shs_server *server, struct shs_error *err);
void pool_start_with(struct pool_fixture *f, const struct shs_options *opt, pool_push_fn *push);
void pool_stop_loop(struct pool_fixture *f);
void pool_finish(struct pool_fixture *f);
int pool_dial(const struct pool_fixture *f);
/*
 * For deadlines: between pool_stop_loop and pool_serve_again nobody accepts, and what a client says
 * then is there before its time begins.
 */
int pool_dial_early(const struct pool_fixture *f, const char *text);
void pool_serve_again(struct pool_fixture *f);
void pool_assert_served(int fd, const char *path);
unsigned pool_threads_of(const struct pool_fixture *f);

/* Until it is so, patience_ms at most. */
bool pool_becomes_threads(const struct pool_fixture *f, unsigned count);
/* So many of its requests wait for a worker. Which of two connections is heard first is not said:
   who wants an order asks in between. */
bool pool_becomes_queue(const struct pool_fixture *f, unsigned count);
int64_t pool_ms_since(int64_t then_ns);

#endif
