/*
 * hand_over.h - the listening sockets go to a new process of the same program.
 *
 * A process in a sandbox cannot start another one, and must not. So before the sandbox is closed a
 * small one is started that does nothing but wait: it is told to start the program, by its path,
 * with the command line and the environment of the beginning, and is given the sockets. It ends
 * with us.
 *
 * The new process says by a socket ("shs-ready") that it serves, and is told that it may take our
 * place. Whoever gives up closes that socket: then the other one goes on (we) or ends (it).
 */
#ifndef SHS_CMD_HAND_OVER_H
#define SHS_CMD_HAND_OVER_H

#include "base/base.h"

#define HAND_OVER_FDS_MAX 63

/* Starts the one that waits. Before there are threads. CMD_OK, or a failure already said. */
int hand_over_open(int argc, char **argv);
bool hand_over_is_open(void);

struct hand_over_fd {
    int fd;
    const char *name;
};

/*
 * Has the program started with these sockets. Returns the socket by which it will say that it
 * serves, and *pid; or -1, and *why says what went wrong.
 */
int hand_over_begin(const struct hand_over_fd *fds, size_t count, int *pid, const char **why);
/* Waits for that; false: it ended, or time is up. hand_over_end in either case. */
bool hand_over_wait(int ready_fd, unsigned ms);
/* With `taken` it is told that it has our place; else it ends. */
void hand_over_end(int ready_fd, bool taken);

/* In the new process: says that it serves, and waits to be told that the place is its own. False:
   the process before us goes on, and we end. */
bool hand_over_take(int ready_fd, unsigned ms);

#endif
