/*
 * proxy_wire.h - the connection that --proxy opens to the other server for one request: every wait
 * on it has a deadline, and ends when the client of the request has gone.
 */
#ifndef SHS_CMD_PROXY_WIRE_H
#define SHS_CMD_PROXY_WIRE_H

#include <shs/http.h>

#include "base/base.h"
#include "cmd/proxy_target.h"

struct proxy_wire {
    struct shs_request *req; /* for which it is; borrowed */
    unsigned timeout_ms;     /* without a byte of the other server */
    int fd;                  /* -1: not open */
    int error;               /* errno, where that server cannot be reached; 0 */
    bool endless;     /* the answer is a stream without an end: a stop does not wait for it */
    bool ours_failed; /* the client's side went wrong, not the other server's */
};

/* The functions below return SHS_WAIT_READ when the other server has not answered in time, and
   SHS_IO when it cannot be reached; another error is the client's. */

/* Connects to the first of its addresses that accepts. */
int proxy_wire_open(struct proxy_wire *self, const struct proxy_target *target);
void proxy_wire_close(struct proxy_wire *self);

/* When a wait that begins now ends. */
int64_t proxy_wire_deadline(const struct proxy_wire *self);
/* Until the socket is ready for `events` (of poll), the client has gone, or the time is over. */
int proxy_wire_wait(struct proxy_wire *self, short events, int64_t deadline);
/* True: a read would not wait. */
bool proxy_wire_can_be_read(const struct proxy_wire *self);
/* Appends the next bytes to `in`; *got 0: the other server has closed. */
int proxy_wire_receive(struct proxy_wire *self, struct shs_buf *in, size_t *got);

#endif
