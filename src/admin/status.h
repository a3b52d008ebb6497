/*
 * status.h - how the servers do, in one value: for the page, and for GET status as JSON.
 */
#ifndef SHS_ADMIN_STATUS_H
#define SHS_ADMIN_STATUS_H

#include "admin/admin.h"
#include "admin/history.h"

/* Of "lately": the last five minutes. */
#define SHS_ADMIN_LATELY (5 * 60 * 1000 / SHS_ADMIN_POINT_MS)

struct shs_admin_status {
    const char *name;
    int64_t time_ms, up_ms;
    bool draining;
    struct shs_admin_moment now;
    uint64_t lately[SHS_ADMIN_CLASSES]; /* answers of the last five minutes, by class */
    uint64_t answered;                  /* all of them */
    double per_s;                       /* over the last ten seconds */
    int64_t p50_us, p99_us;             /* over the last five minutes */
    struct shs_admin_point points[SHS_ADMIN_POINTS];
    size_t count;
    json_t *certs;   /* as GET certs, the one that ends first in front */
    json_t *servers; /* as GET servers, without our own */
};

/* What they are at and have counted. Any thread. */
void shs__admin_moment_now(struct shs_admin *self, struct shs_admin_moment *out);

/* SHS_OK or SHS_NOMEM; shs__admin_status_free in any case. */
int shs__admin_status_make(struct shs_admin *self, struct shs_admin_status **out);
void shs__admin_status_free(struct shs_admin_status *status); /* NULL is fine */

/* The part of the page that changes. SHS_OK, SHS_LIMIT, SHS_NOMEM. */
int shs__admin_page_live(const struct shs_admin_status *status, struct shs_buf *out);
/* The whole page, with that in it. */
int shs__admin_page(const struct shs_admin_status *status, struct shs_buf *out);

/* -- what the page is drawn with (status_chart.c) ---------------------------------------------- */

/* A line, or the sum of it and those before it. */
struct shs_admin_line {
    const char *kind; /* its class in the style: "ok", "warn", "bad", "one", "two" */
    double values[SHS_ADMIN_POINTS];
};

/*
 * Lines over time as SVG, from 0 up to `top`. `stacked`: each stands on those before it. `label`
 * says it for who does not see it.
 */
int shs__admin_chart(struct shs_buf *out, const char *label, const struct shs_admin_line *lines,
                     size_t count, size_t points, double top, bool stacked);
/* How many points wide a picture of so many is: it grows with a young server. */
size_t shs__admin_span(size_t points);
/* A bar of parts, `values` of `all` wide. */
int shs__admin_bar(struct shs_buf *out, const char *label, const char *const *kinds,
                   const double *values, size_t count, double all);

extern const struct shs_str shs__admin_style, shs__admin_script, shs__admin_icon;

#endif
