/*
 * audit.h - who did what: a line of JSON for each request.
 *
 * Concept
 *
 *   A request that changes something is on record before it is done. So its line has two parts:
 *   the first, who wants what, is written before, without the line's end; the second, what came
 *   of it, is written after it. When the first cannot be written, it is not done. Changes are one
 *   at a time; lines of others that come in between wait in memory for the line to end.
 *
 *   A process that dies in between leaves a line without its end. Who opens the file next, ends
 *   it, as one that says so.
 */
#ifndef SHS_ADMIN_AUDIT_H
#define SHS_ADMIN_AUDIT_H

#include <shs/options.h>

#include "base/base.h"

/* Bytes of lines that may wait while something is changed; a line beyond it is SHS_IO. */
#define SHS_ADMIN_AUDIT_WAITING ((size_t)256 * 1024)

struct shs_admin_audit;

/*
 *   file  appended to; made with mode 0640. When it was moved away, the next line is in a new one
 *         of its name. NULL: lines go to `log` (NULL: nowhere)
 *
 * SHS_OK; SHS_IO, SHS_NOMEM with *err.
 */
int shs__admin_audit_new(struct shs_admin_audit **out, const char *file, shs_log_fn *log,
                         void *log_ctx, struct shs_error *err);
void shs__admin_audit_free(struct shs_admin_audit *self); /* NULL is fine */

/* A whole line, without its newline. SHS_OK, or SHS_IO: it was not written. Any thread. */
int shs__admin_audit_line(struct shs_admin_audit *self, struct shs_str line);

/*
 * The first part of a line, and nobody else changes anything until the second. Waits for who does
 * now, at most `wait_ms`. SHS_OK, and then shs__admin_audit_end must follow, on any thread;
 * SHS_IO with *err: it could not be written; SHS_TIMEOUT.
 */
int shs__admin_audit_begin(struct shs_admin_audit *self, struct shs_str part, unsigned wait_ms,
                           struct shs_error *err);
/* The second part. SHS_OK; SHS_IO: it is not in the file, and the next line says so. */
int shs__admin_audit_end(struct shs_admin_audit *self, struct shs_str part);

#endif
