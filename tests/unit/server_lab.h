/*
 * server_lab.h - a TCPServer that echoes, in a thread, with a layer that counts below and above its
 * mixin; for the tests of the object model and of the loop.
 */
#ifndef SERVER_LAB_H
#define SERVER_LAB_H

#include "socketserver_support.h"

#include "fake_layer.h"
#include "loopback.h"

struct server_lab {
    struct shs_server *server;
    struct fake_layer below, above;
    pthread_t thread;
};

/* sst_echo in instances of its own: each must be fresh. How many were set up and finished since the
   start, and what the last one that ended gave. */
extern const struct shs_request_handler_class server_lab_echo;
extern _Atomic int server_lab_setups, server_lab_finishes, server_lab_result;

/* Who closes it waits as long as a machine may stand still, and it is not bound yet; what a test
   wants otherwise it sets. */
void server_lab_defaults(struct shs_options *opt);
/*
 * FakeMixIn > a mixin > FakeMixIn > TCPServer, serving: ThreadingMixIn, or what this run is about.
 */
void server_lab_start(struct server_lab *f, const struct shs_options *opt, bool threads);
/* What shs_serve_forever returned. The server is still there. */
int server_lab_stop(struct server_lab *f);

#endif
