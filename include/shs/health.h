/*
 * shs/health.h - is it alive, and should it get requests?
 *
 * Concept
 *
 *   Two questions that an orchestrator asks, and two answers. /livez: this process answers; restart
 *   it if not. /readyz: send it requests, or do not (yet, or any more). A program says what its
 *   readiness depends on, by checks and by one switch:
 *
 *       shs_health_new(&health, &err);
 *       shs_health_add_check(health, "database", database_answers, db, &err);
 *       shs_http_server_new(&inside, &opt, shs_health_handler(health), &err);
 *       ...
 *       shs_health_set_ready(health, false, "draining");
 *
 *   GET /livez is 200 "ok". GET /readyz is 200 "ok", or 503 and the names of what is not; with
 *   ?verbose a line for each check, "[+]database ok" or "[-]database failed: REASON". Both are also
 *   there for HEAD; everything else is 404. Answers are not to be cached.
 *
 *   What somebody should see to, while requests are served all the same, is a warning:
 *   "[!]certificates warning: REASON" with ?verbose, and nothing without. It never makes the answer
 *   503: an orchestrator would take a server away that serves.
 *
 *   Put it on a listener of its own, with its own threads: it answers also while every worker of
 *   the others is busy, and without a client certificate, which probes do not have.
 *
 * Threads: all functions but new, add_check and free from any thread.
 *
 * Follows: the paths and words of Kubernetes' API health endpoints.
 */
#ifndef SHS_HEALTH_H
#define SHS_HEALTH_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHS_HEALTH_CHECKS_MAX 512
#define SHS_HEALTH_REASON_MAX 128

struct shs_health;

/*
 * A check: true, or false with a reason for people in `reason` (SHS_HEALTH_REASON_MAX bytes). On
 * the thread that answers the probe, several at once: quick, and it must not wait.
 */
typedef bool shs_health_fn(void *ctx, char *reason);

/* Ready from the start. Returns 0 or SHS_NOMEM. */
SHS_API int shs_health_new(struct shs_health **out, struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_health_free(struct shs_health *self); /* NULL is fine; after its server */

/*
 *   name  as it is shown: letters, digits, '-', '_', '.'; copied
 *
 * Before it is served. Returns 0, SHS_USAGE (a name that is none, or is there), SHS_LIMIT,
 * SHS_NOMEM.
 */
SHS_API int shs_health_add_check(struct shs_health *self, const char *name, shs_health_fn *fn,
                                 void *ctx, struct shs_error *err) SHS_MUST_CHECK;

/*
 * A check that fails while the server drains (shs/drain.h): "draining", from the first moment. For
 * each server that gets requests, not for the one that answers probes.
 *
 *   server  borrowed until *self is freed
 *
 * As shs_health_add_check.
 */
SHS_API int shs_health_add_server(struct shs_health *self, const char *name,
                                  struct shs_server *server, struct shs_error *err) SHS_MUST_CHECK;

/*
 * A warning: as a check, where false is the reason to warn. It does not count for readiness.
 * As shs_health_add_check, and together with the checks SHS_HEALTH_CHECKS_MAX of them.
 */
SHS_API int shs_health_add_warning(struct shs_health *self, const char *name, shs_health_fn *fn,
                                   void *ctx, struct shs_error *err) SHS_MUST_CHECK;

/*
 * A warning while something that this server loaded is over: a CRL past its next update, with which
 * clients of its CA are refused; a certificate, one of its chain or a client CA that has expired;
 * an OCSP response. The reason names the first, its file and since when.
 *
 *   server  with TLSMixIn; borrowed until *self is freed
 *
 * As shs_health_add_check.
 */
SHS_API int shs_health_add_certificates(struct shs_health *self, const char *name,
                                        struct shs_server *server,
                                        struct shs_error *err) SHS_MUST_CHECK;

/* The switch, shown as the check "ready". `reason` (NULL: none) is copied, cut at its maximum. */
SHS_API void shs_health_set_ready(struct shs_health *self, bool ready, const char *reason);
/* What /readyz would say: the switch and all checks. */
SHS_API bool shs_health_is_ready(struct shs_health *self);

/* Borrowed from *self. */
SHS_API const struct shs_http_handler *shs_health_handler(const struct shs_health *self);

#ifdef __cplusplus
}
#endif

#endif
