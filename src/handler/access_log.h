/*
 * access_log.h - the access log: a struct shs_access becomes a line, the line goes into a queue.
 *
 * Give shs__access_log_request and the log to a handler's table: .log_request, .log_ctx. It never
 * blocks: a reader that is too slow costs lines (log_queue.h), not requests.
 */
#ifndef SHS_HANDLER_ACCESS_LOG_H
#define SHS_HANDLER_ACCESS_LOG_H

#include <shs/http.h>

#include "base/log_queue.h"
#include "handler/access_format.h"

struct shs_access_log {
    struct shs_log_queue *queue; /* borrowed */
    enum shs_access_style style;
    struct shs_access_clock clock;
};

void shs__access_log_init(struct shs_access_log *self, struct shs_log_queue *queue,
                          enum shs_access_style style);
void shs__access_log_free(struct shs_access_log *self);

/* What a line says about *access, at the present time. Views: as long as *access. Owner thread. */
void shs__access_line_fill(struct shs_access_line *line, const struct shs_access *access);

/* A shs_http_handler.log_request; log_ctx is a struct shs_access_log. Any thread. */
void shs__access_log_request(void *log_ctx, const struct shs_access *access);

/* A shs_log_dropped_fn for a queue of JSON lines. */
size_t shs__access_json_dropped(char *buf, size_t cap, uint64_t dropped);

#endif
