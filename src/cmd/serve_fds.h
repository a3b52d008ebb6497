/*
 * serve_fds.h - listeners of `shs serve` that it is started with, and that it gives to the next
 * one.
 *
 * systemd, or whoever starts us, passes sockets with names of its own; the process before us, at a
 * hand-over, names each after what was asked of it ("shs-host,127.0.0.1,8443"), so that the same
 * command line finds them whatever else has changed.
 */
#ifndef SHS_CMD_SERVE_FDS_H
#define SHS_CMD_SERVE_FDS_H

#include <shs/server.h>

#include "cmd/listen_fds.h"
#include "cmd/serve_options.h"

#define SERVE_FDS_NOTES_MAX 512

/* A socket of a server, and what was asked of it. */
struct serve_fds_note {
    struct shs_server *server;
    unsigned address;
    char name[LISTEN_FD_NAME_MAX];
};

/*
 * Puts what was passed in the place of --bind's fd:N and systemd, or, where no --bind is, of all:
 * their real addresses. False: something is wrong, and *problem says what.
 */
bool serve_fds_places(struct serve_options *o, struct setting_problem *problem);

/*
 * Before a server binds: gives it the sockets that there are for its addresses, and remembers it
 * for serve_fds_notes. A shs_admin_options.prepare as well; ctx may be NULL, or a struct
 * serve_options whose places the addresses are.
 */
int serve_fds_prepare(void *ctx, struct shs_server *server, struct shs_error *err);

/* What has been prepared so far. */
const struct serve_fds_note *serve_fds_notes(size_t *count);
/* A server is freed. */
void serve_fds_forget(const struct shs_server *server);

#endif
