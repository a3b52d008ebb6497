/*
 * report.h - what became of each file in a reload: taken, as it was, or kept back, and why.
 *
 * One bad file does not hold up the others: who reads files says here what came of each, and goes
 * on.
 */
#ifndef SHS_TLS_REPORT_H
#define SHS_TLS_REPORT_H

#include <shs/tls.h>

#include "base/base.h"

struct shs_tls_report_line {
    struct shs_tls_report_line *next;
    enum shs_tls_file_state state;
    char *file, *why; /* why: NULL unless KEPT */
};

struct shs_tls_report {
    struct shs_tls_report_line *first, **last;
    unsigned taken, kept;
    int64_t valid_at;        /* Unix time when the first that is not valid yet will be; INT64_MAX */
    struct shs_error reason; /* of the first that was kept */
};

void shs__tls_report_init(struct shs_tls_report *self);
void shs__tls_report_free(struct shs_tls_report *self);

/* `file` NULL: nothing happens. `why` is for KEPT. Without memory it is counted all the same. */
void shs__tls_report_add(struct shs_tls_report *self, enum shs_tls_file_state state,
                         const char *file, const struct shs_error *why);

#endif
