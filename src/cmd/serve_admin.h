/*
 * serve_admin.h - `shs serve --admin`: the admin plane beside all listeners.
 */
#ifndef SHS_CMD_SERVE_ADMIN_H
#define SHS_CMD_SERVE_ADMIN_H

#include <shs/admin.h>

#include "cmd/serve_options.h"

/* "unix:PATH", "tls:ADDRESS:PORT", "tcp:ADDRESS:PORT", the address being optional. */
struct serve_admin_place {
    const char *path; /* of a Unix socket; NULL: TCP */
    bool tls;
    char host[SERVE_HOST_MAX];
    const char *port;
};
/* False: it is none. Points into `text`. */
bool serve_admin_place(const char *text, struct serve_admin_place *out);

/*
 * Whether the flags go together. False: the flag and what is wrong with it, as it follows its
 * name.
 */
bool serve_admin_fits(const struct serve_options *o, const char **flag, const char **problem);

/*
 * Opens what `o` asks for; *out is NULL when it asks for nothing, and does not serve when it asks
 * only to look (--check). CMD_OK, or a failure already said.
 *
 *   opt  what the caller has set: log, health, metrics. Copied
 */
int serve_admin_open(struct shs_admin **out, const struct serve_options *o,
                     const struct shs_admin_options *opt);
/* A line for each place, on stdout. */
void serve_admin_say(const struct shs_admin *admin);

#endif
