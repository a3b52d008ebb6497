/*
 * shs/drain.h - the end of a server that others send requests to, and what it came to.
 *
 * Concept
 *
 *   A server that simply stops is missed by whoever does not know it yet: a balancer sends requests
 *   to a closed port until its next probe. To drain is to say it first:
 *
 *       1. shs_server_drain: from this moment every answer says Connection: close, and a readiness
 *          check of shs_health_add_server (health.h) fails. New connections and idle ones are
 *          served as before.
 *       2. When grace_ms have passed, shs_serve_forever returns, and the caller calls
 *          shs_server_close as always: idle connections end at once.
 *       3. Requests that are then still under way have stop_ms, and are cut.
 *
 *   Meanwhile opt.log is told once a second what is waited for, and at the end who was cut.
 *   shs_server_get_receipt says what it came to: how many requests were served since 1, how many
 *   connections ended in order, how many were cut in the middle of a request.
 *
 *   Until the grace has passed, shs_server_undrain takes it all back.
 *
 *   ForkingMixIn: children that there are already know nothing of it, and their requests are not in
 *   the receipt.
 *
 * Follows: draining as load balancers do it; socketserver knows shutdown and server_close only.
 */
#ifndef SHS_DRAIN_H
#define SHS_DRAIN_H

#include <shs/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For grace_ms: there is no end to it, until another call or shs_shutdown. */
#define SHS_DRAIN_ENDLESS 0xffffffffu
/* For stop_ms: opt.stop_ms. */
#define SHS_DRAIN_STOP 0xffffffffu

/*
 * Begins to drain; or, when the server does already, hurries: each of the two moments is the
 * earlier one of what it was and what it would be now. So (server, 0, SHS_DRAIN_STOP) ends the
 * grace, and (server, 0, 0) cuts everything now, also while shs_server_close waits.
 *
 *   grace_ms  how long connections are still taken; SHS_DRAIN_ENDLESS
 *   stop_ms   how long requests may take after that; SHS_DRAIN_STOP
 *
 * Before shs_serve_forever the time runs as well. shs_shutdown ends the grace like its time does.
 * Safe from any thread and from a signal handler.
 */
SHS_API void shs_server_drain(struct shs_server *self, unsigned grace_ms, unsigned stop_ms);

/*
 * Takes it back: answers keep their connections again. Returns 0, also when the server did not
 * drain; SHS_STOPPED when it is too late, because the grace has passed. Any thread.
 */
SHS_API int shs_server_undrain(struct shs_server *self);

/* True from shs_server_drain on, also when it is over, unless it was taken back. Any thread, and a
   signal handler. */
SHS_API bool shs_server_draining(const struct shs_server *self);

/* What has happened since shs_server_drain, or, if nobody called it, since shs_server_close. */
struct shs_drain_receipt {
    uint64_t served; /* requests of HTTP that were answered to their end */
    uint64_t closed; /* connections that ended, whoever ended them, and were not cut */
    uint64_t cut;    /* connections that were ended in the middle of a request, at the deadline */
    uint64_t open;   /* connections that there are now */
    uint64_t busy;   /* of them, in the middle of a request */
    int64_t took_ms; /* since it began: up to now, or to the end of shs_server_close */
};

/* All zeros before it begins. Any thread. */
SHS_API void shs_server_get_receipt(struct shs_server *self, struct shs_drain_receipt *out);

#ifdef __cplusplus
}
#endif

#endif
