/*
 * shs/admin.h - the side door for operators: who is connected, what failed, reload, deny, drain.
 *
 * Concept
 *
 *   A struct shs_admin looks at servers, and answers about them at addresses of its own, with
 *   threads, a queue and limits of its own: it also answers while every worker of the servers is
 *   busy, and cannot take theirs.
 *
 *       shs_access_new(&rules, "/etc/app/rules", &err);     who may do what: access.h
 *       shs_secure_http_server_new(&server, &opt, &handler, &err);
 *       shs_threading_http_server_new(&local, &local_opt, &handler, &err);
 *
 *       shs_admin_options_init(&admin_opt);
 *       admin_opt.path = "/run/app/admin.sock";
 *       admin_opt.audit = "/var/log/app/audit.jsonl";
 *       admin_opt.access = rules;              POST reload reads them again, and all certificates,
 *       admin_opt.reload = reload_my_files;    and calls this, for what else the program has read
 *       shs_admin_new(&admin, server, &admin_opt, &err);
 *       shs_admin_add_server(admin, "local", local, &err);  each server that it is to look at
 *
 *       shs_serve_forever(server);             and the other one on a thread of its own
 *       shs_admin_free(admin);
 *       shs_server_free(local);
 *       shs_server_free(server);
 *       shs_access_free(rules);
 *
 *   shs/service.h does all of that in two calls.
 *
 *   `curl --unix-socket /run/app/admin.sock http://admin/admin/v1/connections`, or `shs ctl`.
 *
 * Routes, below /admin/v1
 *
 *   GET    status, whoami, routes, servers, connections, handshakes, certs, deny, log, config,
 *          threads, drain, keylog
 *   POST   reload, deny, drain, undrain, keylog
 *   PUT    log
 *   DELETE connections/{id}, deny/{id}
 *
 *   `GET routes` says of each what it takes and does. GET never changes anything. Answers are JSON;
 *   an error is {"error": "...", ...}. A parameter that the route does not take, that is given
 *   twice, or that has a value it cannot have, is 400, and nothing is done: a misspelt `dry_run`
 *   must not become a reload.
 *
 *   GET status is how the servers do: connections, requests, latency, answers, workers, handshakes,
 *   certificates, and the last ten minutes of them. JSON; for a browser (Accept: text/html) a page,
 *   which is where GET / leads; for Accept: text/event-stream the page's news as server-sent
 *   events, to 8 readers at once, for ten minutes or ?for=30s. The page needs no script, and
 *   nothing from elsewhere. A browser has no Unix socket, but SSH has:
 *
 *       ssh -L 9000:/run/app/admin.sock HOST     and then http://localhost:9000/
 *
 * Who may come
 *
 *   At the Unix socket a client is the process at its other end (SO_PEERCRED); with TLS it is its
 *   certificate, which `client_ca` must have issued. Rules (shs/access.h) say who has which role.
 *   Without rules the Unix socket's own user and root may do everything, and nobody else anything.
 *   `whoami` is answered to everybody who came in. Plain TCP is for loopback only, where nobody has
 *   a role.
 *
 *   A request with a Host that is not ours (at a Unix socket: a name with a dot, or an address that
 *   is not loopback), with an Origin other than the plane's own, or that a browser sends for
 *   another site (Sec-Fetch-Site, Sec-Fetch-Mode) is 403; with Upgrade, 400: the socket on
 *   loopback is nothing for web pages.
 *
 * Audit
 *
 *   Each request, and each client that is refused in the handshake, is a line of JSON. A request
 *   that changes something is written before it is done, without the line's end; when that cannot
 *   be written, it is not done: 503. The file may be a pipe: one that nobody reads is waited for
 *   for a second at most. A file that was removed is made anew; where it cannot be, that is 503
 *   too.
 *
 * Threads: new, add_server and free by one thread at a time; the rest from any.
 */
#ifndef SHS_ADMIN_H
#define SHS_ADMIN_H

#include <sys/types.h>

#include <shs/access.h>
#include <shs/health.h>
#include <shs/metrics.h>
#include <shs/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Servers that one struct shs_admin looks at. */
#define SHS_ADMIN_SERVERS_MAX 64

struct shs_admin;

/* One setting of the program, for GET config: secrets are to be left out by who calls it. */
typedef void shs_admin_setting_fn(void *to, const char *name, const char *value);

/* A reload in two steps: after LOOK or READ, whatever it returned, TAKE or DROP follows on that
   thread. */
enum shs_admin_reload_step {
    SHS_ADMIN_RELOAD_LOOK, /* read and check; it will not be taken, and no fault is counted */
    SHS_ADMIN_RELOAD_READ, /* read and check */
    SHS_ADMIN_RELOAD_TAKE, /* what was read and can be used counts from now on; it cannot fail */
    SHS_ADMIN_RELOAD_DROP  /* it is forgotten */
};

struct shs_admin_options {
    size_t size; /* set by shs_admin_options_init */

    /* -- where; at least one of path and host -------------------------------------------------- */
    const char *path;      /* a Unix socket; one that nobody serves any more is replaced. NULL:
                              none */
    unsigned mode;         /* of its file. 0660 */
    const char *group;     /* whose it is, a name or a number. NULL: as it comes */
    const char *host;      /* an address for TCP. NULL: none */
    const char *port;      /* "0" (NULL): the kernel's choice */
    const char *certfile;  /* PEM. NULL: plain HTTP, and then `host` must be loopback */
    const char *keyfile;   /* NULL: in certfile */
    const char *client_ca; /* PEM: whose clients may come in; needed with certfile */
    const char *crl;       /* as in struct shs_tls_host; NULL: none */
    const char *const *host_names; /* further names that a Host field may have; ended by NULL */

    /* -- who may do what ----------------------------------------------------------------------- */
    const char *rules; /* a file as of shs/access.h; POST reload reads it again. NULL: the Unix
                          socket's own user and root may do everything, nobody else anything */
    struct shs_access_rules *access; /* or rules that the program has already, such as those of its
                                        own routes; POST reload reads them again. Borrowed. NULL:
                                        none */

    /* -- what it shows ------------------------------------------------------------------------- */
    const char *name;            /* of `server` in answers. "server" */
    struct shs_health *health;   /* /livez and /readyz there too; borrowed. NULL: no */
    struct shs_metrics *metrics; /* /metrics there too; borrowed. NULL: no */
    void (*settings)(void *ctx, shs_admin_setting_fn *each, void *to); /* GET config. NULL: none */
    void *settings_ctx;
    /* Called with each of its own servers before it is bound; shs_server_inherit, for example.
       Returns 0, or < 0 with *err. NULL: none */
    int (*prepare)(void *prepare_ctx, struct shs_server *server, struct shs_error *err);
    void *prepare_ctx;

    /* -- what it keeps ------------------------------------------------------------------------- */
    const char *audit; /* a file, appended to; a new one when it was moved away (logrotate). NULL:
                          the lines go to `log` */
    const char *deny;  /* a file that has what POST deny was told, for the next start. NULL: no */

    const char *keylog; /* a file, made with mode 0600: POST keylog has the secrets of the servers'
                           TLS sessions written there for a time, for the role "admin" only. Who
                           has it can read the traffic. NULL: that cannot be asked for */

    /* -- what a reload is ---------------------------------------------------------------------- */
    /* What the program has to read again as well, as a part of POST reload. NULL: nothing. Returns
       0, or an error with *err for LOOK and READ. Any thread, one at a time. */
    int (*reload)(void *ctx, enum shs_admin_reload_step step, struct shs_error *err);
    void *reload_ctx;
    /* Calls `each` for every file of these: what the answer of POST reload and the audit log say of
       them. After LOOK or READ, before TAKE or DROP, on that thread. NULL: nothing is said */
    void (*reload_files)(void *reload_ctx,
                         void (*each)(void *to, const struct shs_tls_file_result *result),
                         void *to);

    /* -- bounds -------------------------------------------------------------------------------- */
    unsigned burst;           /* requests of one identity at once. 100 */
    unsigned per_minute;      /* and on and on; more are 429. 3000 */
    unsigned max_connections; /* at each address. 128 */
    unsigned head_ms;         /* as in struct shs_options. 5000 */
    unsigned idle_ms;         /* 30000 */
    unsigned stop_ms;         /* shs_admin_free waits so long for requests under way, and one more
                                 second once they are cut. 2000 */
    unsigned stuck_ms;        /* a request that is answered for longer is shown as stuck. 30000 */

    unsigned drain_grace_ms; /* POST drain without ?grace: connections are taken so long (drain.h);
                                 no longer than its ?timeout. 5000 */

    shs_log_fn *log; /* diagnostics. NULL: none */
    void *log_ctx;
};

SHS_API void shs_admin_options_init_sized(struct shs_admin_options *opt, size_t size);
#define shs_admin_options_init(opt) shs_admin_options_init_sized((opt), sizeof *(opt))

/*
 * Listens, and begins to answer on threads of its own: call it in the process that serves, before
 * `server` serves, with its mixins pushed.
 *
 *   server  looked at until shs_admin_free; NULL: none yet
 *   opt     copied
 *
 * Returns 0; SHS_USAGE (neither path nor host, an address that is not safe, a server that forks or
 * has served, or a library without jansson); SHS_IO (it cannot listen, open the audit file or read
 * the deny file); SHS_TLS; SHS_NOMEM.
 */
SHS_API int shs_admin_new(struct shs_admin **out, struct shs_server *server,
                          const struct shs_admin_options *opt,
                          struct shs_error *err) SHS_MUST_CHECK;

/*
 * It looks at this server too. Before that serves. SHS_USAGE for NULL.
 *
 *   name  in answers, of 299 bytes at most; copied. A second one of the same name is SHS_USAGE,
 *         and those of the plane itself, "admin" and "admin-tcp", are there already
 */
SHS_API int shs_admin_add_server(struct shs_admin *self, const char *name,
                                 struct shs_server *server, struct shs_error *err) SHS_MUST_CHECK;

/*
 * POST reload without a request, as for a signal: all files of all servers are looked at, then what
 * can be used is taken, each certificate with its key as a whole. It is on record in the audit log,
 * or it is not done; what came of it is a line of opt.log. Reads files: not in a signal handler.
 *
 *   who      asks: "SIGHUP"; for the records
 *   dry_run  only looks: nothing is changed, logged or on record
 *
 * Returns 0; or an error with *err, the first of what cannot be used and stays as it was. Any
 * thread.
 */
SHS_API int shs_admin_reload(struct shs_admin *self, const char *who, bool dry_run,
                             struct shs_error *err);

/*
 * Ends its threads: requests under way have opt.stop_ms, then are cut off, and have another second
 * to see it. Before the servers are freed: they may be closed by then. NULL is fine.
 *
 * SHS_TIMEOUT when a request still runs, such as one in a `reload` of yours that does not return.
 * What it uses of the plane, and the servers that it looks at, are freed when it has ended; what is
 * borrowed (access, health, metrics, the contexts) has to stay until then.
 */
SHS_API int shs_admin_free(struct shs_admin *self);

/* Its own servers, for who wants to know where they listen: Unix socket first. NULL beyond them. */
SHS_API struct shs_server *shs_admin_server(const struct shs_admin *self, unsigned i);

#ifdef __cplusplus
}
#endif

#endif
