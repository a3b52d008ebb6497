/*
 * admin.h - what is inside struct shs_admin, for the files that make it: admin.c (its life),
 * call.c (who asks, and may he), routes.c (the table), show.c, change.c.
 */
#ifndef SHS_ADMIN_ADMIN_H
#define SHS_ADMIN_ADMIN_H

#include <jansson.h>
#include <pthread.h>

#include <shs/access.h>
#include <shs/admin.h>
#include <shs/middleware.h>
#include <shs/router.h>

#include "admin/audit.h"
#include "admin/denied.h"
#include "admin/handshakes.h"
#include "admin/history.h"
#include "admin/values.h"
#include "admin/watch.h"

#define SHS_ADMIN_PREFIX "/admin/v1"
#define SHS_ADMIN_OWN_MAX 2 /* a Unix socket, and TCP */

/* One of its own servers. */
struct shs_admin_own {
    struct shs_layer layer; /* whose end says that nobody answers there any more */
    struct shs_admin *admin;
    struct shs_server *server;
    struct shs_admin_watch *watch;
    pthread_t thread;
    bool started;
    int closed; /* what shs_server_close returned */
};

/* A route, as `GET routes` has it. */
struct shs_admin_route {
    const char *method, *pattern;
    shs_method_fn *fn;
    bool changes;      /* on record before it is done; one at a time */
    const char *takes; /* parameters of its query, blanks between; others are 400. NULL: none */
    const char *does;
};

/* A request that does not return keeps all of it, and the servers that it looks at. */
struct shs_admin {
    _Atomic unsigned refs;        /* the owner, and each of its own servers */
    struct shs_admin_options opt; /* a copy; its strings are owned here */
    void *strings;
    uid_t uid;       /* of the process: the socket's own user */
    bool only_looks; /* check.h: no address is taken */
    struct shs_admin_audit *audit;
    struct shs_admin_denied *denied;
    struct shs_admin_handshakes *handshakes;
    struct shs_admin_history *history;
    int64_t began_ns;                /* by shs__elapsed_ns, as keylog_until_ns */
    int keylog_fd;                   /* -1: nobody may ask for it */
    _Atomic int64_t keylog_until_ns; /* 0: nobody has asked, or its end was said */
    _Atomic unsigned watchers;       /* of GET status */
    struct shs_admin_watch_events events, own_events;
    struct shs_access_rules *rules; /* own_rules, or the program's; NULL: there are none */
    struct shs_access_rules *own_rules;
    struct shs_router *router;
    struct shs_rate_limit *rate;
    struct shs_http_handler handler; /* of its own servers */
    struct shs_admin_own own[SHS_ADMIN_OWN_MAX];
    unsigned own_count;
    struct shs_admin_watch *watches[SHS_ADMIN_SERVERS_MAX];
    _Atomic unsigned watch_count;
    _Atomic uint64_t changes; /* how many there were: part of the tag of GET config */
};

/* Who asks, and what was decided. As long as the request. */
struct shs_admin_call {
    struct shs_admin *admin;
    const char *via; /* "unix", "tls", "tcp" */
    struct shs_identity who;
    char name[160]; /* for logs and for the rate: "uid=0", "cn=alice" */
    struct shs_access_decision decision;
    const char *refused;    /* why the guard kept it out; NULL */
    bool changing;          /* the first part of its line is written */
    json_t *before, *after; /* what it has changed; NULL: nothing */
};

/* The identity as JSON. */
json_t *shs__admin_who(const struct shs_admin_call *call);
/* What answers everything: call.c. */
int shs__admin_answer(struct shs_request *req, struct shs_response *res);
struct shs_admin_call *shs__admin_call(const struct shs_request *req);
/* Whom the rate counts by. */
struct shs_str shs__admin_rate_key(void *ctx, struct shs_request *req);
/* In front of each route that changes something. */
int shs__admin_change(struct shs_request *req, struct shs_response *res, void *ctx,
                      const struct shs_next *next);
/* Who was let in for long may come no more: the rules are others by now. */
bool shs__admin_still_allowed(struct shs_request *req);
/* A line of the audit log for a handshake that failed at one of our own servers. */
void shs__admin_audit_failure(struct shs_admin *self, const struct shs_tls_failure *failure);
/* What a handler has changed; takes both. NULL is fine: null. */
void shs__admin_changed(struct shs_request *req, json_t *before, json_t *after);
/* {"error": text, ...members}; takes `members`, which may be NULL. */
int shs__admin_refuse(struct shs_response *res, int status, const char *error, json_t *members);

/* The same protocol for what no request asks for: on record before it is done. Both take their
   line; `status` is for a line that cannot be made. */
int shs__admin_record_begin(struct shs_admin *self, json_t *line, struct shs_error *err);
int shs__admin_record_end(struct shs_admin *self, json_t *end, int status);
/* A flag of a query: there, and neither "0" nor "false". It is one of those, "1", "true" or "". */
bool shs__admin_is_on(struct shs_str flag);

/* The file of opt.keylog; a server that has come may write there; its end is said. */
int shs__admin_keylog_open(struct shs_admin *self, struct shs_error *err);
int shs__admin_keylog_allow(struct shs_admin *self, struct shs_server *server,
                            struct shs_error *err);
void shs__admin_keylog_look(struct shs_admin *self);

/* The rows, ended by one without a method; and the router of them. */
const struct shs_admin_route *shs__admin_routes(void);
int shs__admin_router_new(struct shs_admin *self, struct shs_error *err);

/* Calls `each` for every server: those it looks at, then its own. Until it returns false. */
void shs__admin_each(struct shs_admin *self,
                     bool (*each)(void *ctx, struct shs_admin_watch *watch, bool own), void *ctx);
/* Makes a point of the history when it is time for one; for watch.h's `turn`. */
void shs__admin_look(void *admin);
/* What GET servers and GET certs say, as values; NULL when there is no memory. Certificates and the
   like that end within that time, the one that ends first in front. */
json_t *shs__admin_servers_value(struct shs_admin *self, bool with_own);
json_t *shs__admin_certs_value(struct shs_admin *self, int64_t within_s);
/* The tag of what GET config says now, in quotes. */
int shs__admin_config_tag(struct shs_admin *self, char *buf, size_t cap);
/* Reads the file opt.deny, which need not be there. */
int shs__admin_deny_load(struct shs_admin *self, struct shs_error *err);
/* What is denied goes to a server that has just come. */
int shs__admin_deny_tell(struct shs_admin *self, struct shs_server *server, struct shs_error *err);

/* -- the routes' functions --------------------------------------------------------------------- */

shs_method_fn shs__admin_get_whoami, shs__admin_get_routes, shs__admin_get_servers,
    shs__admin_get_connections, shs__admin_get_handshakes, shs__admin_get_certs,
    shs__admin_get_deny, shs__admin_get_config, shs__admin_get_threads, shs__admin_get_log,
    shs__admin_put_log, shs__admin_get_drain, shs__admin_get_status, shs__admin_get_status_style,
    shs__admin_get_status_script, shs__admin_get_keylog, shs__admin_post_keylog,
    shs__admin_get_status_icon, shs__admin_get_root;
shs_method_fn shs__admin_delete_connection, shs__admin_post_reload, shs__admin_post_deny,
    shs__admin_delete_deny, shs__admin_post_drain, shs__admin_post_undrain;

#endif
