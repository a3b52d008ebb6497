/*
 * ctl_where.h - which admin plane `shs ctl` talks to: at a Unix socket, or over TLS.
 */
#ifndef SHS_CMD_CTL_WHERE_H
#define SHS_CMD_CTL_WHERE_H

#include "base/base.h"
#include "testing/answer.h"

#define CTL_HOST_MAX 256

struct ctl_where {
    const char *socket, *url, *cert, *key, *cacert; /* as they were given; NULL: not */
    int64_t wait_s;
    char host[CTL_HOST_MAX]; /* of `url` */
    unsigned port;
    char field[CTL_HOST_MAX + 2]; /* the same as a Host field has it */
    char text[CTL_HOST_MAX + 16]; /* of it, for messages: the path, or "HOST:PORT" */
};

/* Looks at what was given, and at the environment. An exit code; what is wrong has been said. */
int ctl_where_check(struct ctl_where *self);

/*
 * Sends that request and waits for all of its answer.
 *
 *   body  JSON; body_len 0: there is none
 *
 * CMD_OK and *out for shs_test_answer_free; or an exit code, and it has been said.
 */
int ctl_where_ask(const struct ctl_where *self, const char *method, const char *target,
                  const char *body, size_t body_len, struct shs_test_answer **out);

#endif
