/*
 * serve_reload.h - what `shs serve` reads again, when SIGHUP says so: certificates, keys, CAs,
 * CRLs, rules and routes of all listeners. With an admin plane that is what its POST reload does.
 *
 * Everything is read and checked first, and then taken: a certificate with its key, the CAs with
 * their CRLs, the rules of a listener, each as a whole or not at all. What cannot be used stays as
 * it was, holds up nothing else, and is tried again after 1 s, 2 s, ... 60 s, until it can be. One
 * line of the log says which files were taken and which were kept, and why.
 */
#ifndef SHS_CMD_SERVE_RELOAD_H
#define SHS_CMD_SERVE_RELOAD_H

#include <pthread.h>
#include <stdatomic.h>

#include <shs/access.h>
#include <shs/admin.h>
#include <shs/tls.h>

#include "base/base.h"
#include "cmd/serve_config.h"

struct serve_reload_part;

/* Zeroed before its first use. */
struct serve_reload {
    struct serve_reload_part *parts;
    size_t count;
    struct shs_admin *admin; /* it asks for the rules, and does the rest; NULL: there is none */
    pthread_mutex_t one;     /* at a time; from serve_reload_start on */
    char said[400];          /* why it failed the last time; "": it did not. Under the lock */
    shs_log_fn *log;
    void *log_ctx;
    int wake; /* an eventfd */
    atomic_bool stop;
    pthread_t thread;
    void (*minute)(void *ctx); /* each minute, on the thread; NULL: nothing is to be done then */
    void *minute_ctx;
    bool sandboxed;      /* files may be out of reach */
    bool started, ready; /* ready: the lock is there */
};

/* More to read again: a server's TLS, or rules and their file. False: no memory. Borrowed until
   serve_reload_stop. Before serve_reload_start. */
bool serve_reload_add_tls(struct serve_reload *self, const char *listener,
                          struct shs_server *server);
bool serve_reload_add_rules(struct serve_reload *self, const char *listener,
                            struct shs_access_rules *rules, const char *file);

/* And the configuration's file. */
bool serve_reload_add_config(struct serve_reload *self, struct serve_config *config);

/* The thread that does it when SIGHUP says so. An exit code; a failure has been said. */
int serve_reload_start(struct serve_reload *self, shs_log_fn *log, void *log_ctx);
/* Ends the thread; as often as you like. Before the admin plane ends, which the thread asks. */
void serve_reload_end(struct serve_reload *self);
/* The same, and after it nothing is read again. */
void serve_reload_stop(struct serve_reload *self);

/* Rules and the configuration, without TLS: `reload` of struct shs_admin_options. */
int serve_reload_rest(void *reload, enum shs_admin_reload_step step, struct shs_error *err);
/* Their files: `reload_files` of it. */
void serve_reload_files(void *reload,
                        void (*each)(void *to, const struct shs_tls_file_result *result), void *to);

#endif
