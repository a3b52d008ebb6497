/*
 * listen_fds.h - listening sockets that the process was started with: systemd's socket activation,
 * sd_listen_fds(3). They are descriptors 3, 4 ..., LISTEN_FDS of them, each with a name in
 * LISTEN_FDNAMES.
 */
#ifndef SHS_CMD_LISTEN_FDS_H
#define SHS_CMD_LISTEN_FDS_H

#include "base/base.h"

#define LISTEN_FDS_FIRST 3
#define LISTEN_FDS_MAX 64
#define LISTEN_FD_NAME_MAX 256
/* Begins the names that the process before us gives, at a hand-over; hand_over.h has this one. */
#define LISTEN_FDS_OURS "shs-"
#define LISTEN_FDS_READY LISTEN_FDS_OURS "ready"

struct listen_fd {
    char name[LISTEN_FD_NAME_MAX]; /* as the unit says; "unknown" when it does not */
    int fd;
    bool taken;
    char host[108], port[8], path[110]; /* where it listens, once it has been looked at */
};

/*
 * Reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, marks the descriptors close-on-exec, and removes
 * the variables: they are for this process alone. Before there are threads. CMD_OK, or a failure
 * already said.
 */
int listen_fds_read(void);
/* One that the command line names by its number: as the others from now on. NULL: there are too
   many. */
struct listen_fd *listen_fds_add(int fd);
/* Fills host and port, or path. False: it is not a socket, and errno says why. */
bool listen_fds_look(struct listen_fd *self);
size_t listen_fds_count(void);
struct listen_fd *listen_fds_at(size_t i);
/* Those that nobody has taken are closed; how many of somebody else, and the first one's name for a
   warning. What is to say that we are ready stays. */
size_t listen_fds_close_rest(char *name, size_t cap);

#endif
