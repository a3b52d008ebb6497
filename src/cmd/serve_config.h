/*
 * serve_config.h - the configuration of a server that runs, read again: its routes are taken, all
 * else needs a restart, and is said to.
 */
#ifndef SHS_CMD_SERVE_CONFIG_H
#define SHS_CMD_SERVE_CONFIG_H

#include "cmd/serve_options.h"

/* Zeroed before its first use. */
struct serve_config {
    int argc; /* the command line, which says the same again; borrowed */
    char **argv;
    const struct serve_plan *plan; /* what it began with; borrowed */
    struct serve_plan *now, *next; /* what its routes are of, if not that; what has been read */
    struct serve_site **sites;     /* of the plan's listeners; borrowed */
    struct serve_routes *made[SETTINGS_SECTIONS_MAX]; /* of `next` */
    bool other[SETTINGS_SECTIONS_MAX];                /* has other routes than before */
    char note[160];                                   /* what needs a restart; "": nothing */
};

/* Reads and checks it. *changed: there is something to be taken. SHS_OK, or *err says what is
   wrong, with file and line. serve_config_drop in either case. */
int serve_config_read(struct serve_config *self, bool *changed, struct shs_error *err);
void serve_config_take(struct serve_config *self);
void serve_config_drop(struct serve_config *self);
/* At the end. */
void serve_config_free(struct serve_config *self);

#endif
