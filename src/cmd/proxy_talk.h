/*
 * proxy_talk.h - one request that another server answers: it is passed on, and so is the answer.
 */
#ifndef SHS_CMD_PROXY_TALK_H
#define SHS_CMD_PROXY_TALK_H

#include <shs/http.h>

#include "cmd/proxy_target.h"

/*
 * Asks, and answers `res`; a failure of the other server is answered with 502 or 504 and logged.
 * Returns what a handler returns.
 *
 *   timeout_ms  without a byte of the other server
 *   exact       the path is the target's prefix itself, and nothing below it
 */
int proxy_talk(struct shs_request *req, struct shs_response *res, const struct proxy_target *target,
               unsigned timeout_ms, bool exact);

#endif
