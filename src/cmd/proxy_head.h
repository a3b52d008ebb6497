/*
 * proxy_head.h - the head of the request that --proxy sends to the other server.
 */
#ifndef SHS_CMD_PROXY_HEAD_H
#define SHS_CMD_PROXY_HEAD_H

#include <shs/http.h>

#include "base/base.h"
#include "cmd/proxy_target.h"

#define PROXY_PSEUDONYM "shs" /* in Via: RFC 9110 section 7.6.3 */

/* Appends it to `out`. exact: the path is the prefix itself, and nothing below it. SHS_LIMIT: `out`
   has no room for it. */
int proxy_head_make(struct shs_buf *out, struct shs_request *req, const struct proxy_target *target,
                    bool exact);

#endif
