/*
 * shs/service.h - a whole service: one handler at several addresses, until a signal.
 *
 * Concept
 *
 *   A server has one TLS setting for all of its addresses. Who wants the same routes over TLS for
 *   the network, and at a Unix socket for the users of this machine, has a server for each; and a
 *   thread for each loop, an admin plane that looks at them all, and an end that all of them come
 *   to together. That is a struct shs_service:
 *
 *       static const struct shs_place places[] = {
 *           {.name = "tls", .host = "", .port = "8443", .certfile = "cert.pem",
 *            .keyfile = "key.pem", .client_ca = "clients.pem"},
 *           {.name = "local", .path = "/run/app/app.sock"},
 *           {.name = "admin", .path = "/run/app/admin.sock", .admin = true}};
 *       static const int until[] = {SIGTERM, SIGINT, 0};
 *
 *       shs_service_options_init(&opt);
 *       opt.routes = routes;
 *       opt.rules = "app.rules";
 *       opt.until = until;
 *       rc = shs_service_new(&service, places, 3, &opt, &err);
 *       if (rc == 0)
 *           rc = shs_service_run(service, &err);
 *       shs_service_free(service);
 *
 *   Each place is ThreadPoolMixIn > TLSMixIn > HTTPServer > TCPServer > BaseServer, TLSMixIn where
 *   it has a certificate. All places have one set of workers (shs_thread_pool_share in server.h).
 *   For another composition, make the servers yourself.
 *
 * How it ends
 *
 *   The first of the signals, or shs_service_stop, drains all servers (drain.h) with grace_ms; the
 *   next one ends the grace, and one more cuts the requests that are under way. A server that ends
 *   for another reason (POST drain of the admin plane, a listening socket that is gone) ends the
 *   others with it.
 *
 *   The library installs no signal handler: new makes its threads with the signals blocked, run
 *   blocks them in its own thread and takes them (signalfd(2)), and the mask of the thread is as it
 *   was when either returns. Other threads of the program have to block the signals themselves. A
 *   signal that comes before run waits for it only if the program blocks the signals before new.
 *   Of several services in a process only one can have the signals; when it has ended, the program
 *   stops the others by shs_service_stop. A program with signal handlers of its own leaves `until`
 *   NULL, and calls shs_service_stop in a handler.
 *
 * Threads: new, run and free by one thread; shs_service_stop by any.
 *
 * Follows: what `shs serve` does. Python has no such class; there one writes the threads oneself.
 */
#ifndef SHS_SERVICE_H
#define SHS_SERVICE_H

#include <signal.h>

#include <shs/admin.h>
#include <shs/drain.h>
#include <shs/router.h>
#include <shs/secure_http_server.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHS_SERVICE_PLACES_MAX 64

struct shs_service;

/* Where it is served, and how. What is not said is NULL or 0. */
struct shs_place {
    const char *name SHS_OPTIONAL; /* in the admin plane's answers, of 299 bytes at most.
                                      NULL: its address, with the port that it has */
    const char *host SHS_OPTIONAL; /* as in struct shs_options: NULL = "127.0.0.1" */
    const char *port SHS_OPTIONAL;
    const char *path SHS_OPTIONAL;  /* a Unix socket instead; one that nobody serves any more is
                                       replaced, and it is removed at the end */
    unsigned mode SHS_OPTIONAL;     /* of its file. 0 = 0660 */
    const char *group SHS_OPTIONAL; /* whose it is, a name or a number. NULL: as it comes */

    const char *certfile SHS_OPTIONAL;                   /* PEM. NULL: plain HTTP */
    const char *keyfile SHS_OPTIONAL;                    /* NULL: in certfile */
    const char *client_ca SHS_OPTIONAL;                  /* whose clients are known by their
                                                            certificate */
    enum shs_tls_client_auth client_auth SHS_OPTIONAL;   /* with client_ca 0 is
                                                            SHS_TLS_CLIENT_REQUIRED */
    const struct shs_tls_config *tls SHS_OPTIONAL;       /* for all that tls.h has, instead of the
                                                            four above */
    const struct shs_http_handler *handler SHS_OPTIONAL; /* another one than the service's */
    const struct shs_options *options SHS_OPTIONAL;      /* other limits than the service's */

    bool admin SHS_OPTIONAL; /* the admin plane is served there (admin.h), on threads of its own: of
                                those at one Unix socket and one address of TCP at most. `tls`,
                                `handler` and `options` are nothing for it */
};

struct shs_service_options {
    size_t size; /* set by shs_service_options_init */

    /* -- what is served where a place has no handler: one of the two --------------------------- */
    const struct shs_http_handler *handler; /* borrowed until it is freed */
    const struct shs_route *routes;         /* copied (router.h), with `ctx` for their functions */
    void *ctx;

    const char *rules; /* a file as of access.h: who may do what, in front of all that is served,
                          and for the admin plane, which reads them again for POST reload. NULL:
                          everybody may come, and the admin plane is as without rules */
    const char *audit; /* the admin plane's audit log. NULL: its lines go to the log */
    const struct shs_options *options;     /* limits, deadlines and the log of each server; where it
                                              listens is said by its place. NULL: the defaults, and
                                              errors as SHS_ERRORS_PROBLEM */
    const struct shs_admin_options *admin; /* more of the admin plane; what the members and places
                                              here say counts for it as well. NULL: its defaults */
    const int *until;  /* signals that end it, ended by 0; copied, at most 8. NULL: none */
    unsigned grace_ms; /* at the end connections are still taken so long, for a balancer to see that
                          readiness has gone. 0 */
};
SHS_API void shs_service_options_init_sized(struct shs_service_options *opt, size_t size);
#define shs_service_options_init(opt) shs_service_options_init_sized((opt), sizeof *(opt))

/*
 * Makes the servers, and listens at all places or at none; the admin plane begins to answer. In the
 * process that serves: not before a fork.
 *
 *   places  1 to SHS_SERVICE_PLACES_MAX; copied. Handlers are borrowed
 *   opt     copied; NULL: the defaults
 *
 * Returns 0; SHS_USAGE (no place, no handler, an option that cannot be used); SHS_IO, SHS_TLS and
 * SHS_NOMEM as the servers' and shs_admin_new do. *err begins with the place's name.
 */
SHS_API int shs_service_new(struct shs_service **out, const struct shs_place *places, size_t count,
                            const struct shs_service_options *opt,
                            struct shs_error *err) SHS_MUST_CHECK;

/*
 * Serves until one of opt.until, until shs_service_stop, or until a server ends. All are closed
 * when it returns. Once.
 *
 * Returns 0; SHS_TIMEOUT with *err when requests were cut at the end, or one still runs; SHS_USAGE
 * when it has run already; SHS_IO; or why a server has ended.
 */
SHS_API int shs_service_run(struct shs_service *self, struct shs_error *err) SHS_MUST_CHECK;

/* As the first signal, and the further ones. Any thread, and a signal handler. */
SHS_API void shs_service_stop(struct shs_service *self);

/* The server of a place: number 0 is the first that is not the admin plane's. NULL beyond them. Any
   thread. */
SHS_API struct shs_server *shs_service_server(const struct shs_service *self, size_t i);
/* The admin plane, and opt.rules. NULL: there is none. Any thread. */
SHS_API struct shs_access_rules *shs_service_rules(const struct shs_service *self);
SHS_API struct shs_admin *shs_service_admin(const struct shs_service *self);

/* What became of the connections of all servers together (drain.h). Any thread. */
SHS_API void shs_service_get_receipt(const struct shs_service *self, struct shs_drain_receipt *out);

/* Ends the admin plane, then frees the servers. What a request uses that still runs then, of theirs
   or of the admin plane's, stays until it has ended. Not while it runs. NULL is fine. */
SHS_API void shs_service_free(struct shs_service *self);

#ifdef __cplusplus
}
#endif

#endif
