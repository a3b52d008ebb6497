/*
 * world.h - the server of a scenario: in a thread of this process, one of a few compositions, with
 * an application that has something of everything.
 */
#ifndef FAULTS_WORLD_H
#define FAULTS_WORLD_H

#include <pthread.h>

#include <shs/access.h>
#include <shs/admin.h>
#include <shs/certs.h>
#include <shs/chain.h>
#include <shs/handler.h>
#include <shs/lab.h>
#include <shs/middleware.h>
#include <shs/proxy.h>
#include <shs/router.h>
#include <shs/secure_http_server.h>
#include <shs/static_files.h>
#include <shs/testing.h>

#include "client.h"

/* Made once, before there is any thread: files that every process finds. */
extern char place_dir[64];   /* everything is in it */
extern char site_dir[80];    /* what the static handler has */
extern char leaf_path[80];   /* the server's certificate with its key */
extern char other_path[80];  /* one for other.test */
extern char ca_path[80];     /* who issued both, and the client's */
extern char crl_path[80];    /* of that CA */
extern char deny_path[80];   /* nobody who is here */
extern char rules_path[80];  /* access rules: the client may read */
extern char config_path[80]; /* of `shs serve` */
extern const char *client_pem, *client_key_pem, *ca_pem;
bool place_make(void);
void place_remove(void);

enum threading { NONE, THREAD, POOL, FORK };
enum over { PLAIN, TLS12, TLS13, MTLS, EXPLAIN, HOSTS, DIRECT, UNIX, PROXY };

struct app;

struct world {
    enum threading threading;
    enum over over;
    bool short_limits; /* a silent client is gone after a third of a second */
    struct app *app;
    struct shs_server *server;
    const struct shs_admin_options *admin_options; /* NULL: no admin plane */
    struct shs_admin *admin;
    struct place place;
    pthread_t thread;
    SSL_CTX *client;      /* NULL: plain */
    SSL_SESSION *session; /* the last one that was given */
};

/* 0, or < 0 with a line on stderr. */
int world_open(struct world *world);
int world_open_with(struct world *world, const struct shs_request_handler_class *handler, bool udp);
void world_close(struct world *world);
/* Waits until no connection is open: false when one stays. */
bool world_is_quiet(struct world *world);

/* So many names are in a directory, but those with a dot in front. */
unsigned entries(const char *path);
/* Are no more threads left before long? One that was joined or detached may still be on its way
   out. */
bool threads_come_to(unsigned wanted);

#endif
