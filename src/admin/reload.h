/*
 * reload.h - all files are read again: for POST reload and for a program's signal.
 */
#ifndef SHS_ADMIN_RELOAD_H
#define SHS_ADMIN_RELOAD_H

#include "admin/admin.h"

struct shs_admin_reload {
    struct shs_admin *admin;
    bool dry_run;
    bool whole;  /* all or none; else what cannot be used holds up nothing else */
    bool failed; /* something cannot be used: err has the first reason */
    bool taken;  /* what can be used is in force */
    size_t files_taken;
    json_t *servers; /* what became of each */
    json_t *files;   /* of the one at hand */
    struct shs_error err;
    const char *at; /* where it failed */
};

/* One at a time; admin, dry_run and whole are set, the rest is 0. `servers` is to be given back. */
void shs__admin_reload_run(struct shs_admin_reload *self);
/* A line of the log says what came of it. */
void shs__admin_reload_say(const struct shs_admin_reload *self, const char *who);

/*
 * The same, with a certificate and its key that come with the request: they are looked at, then
 * they replace the files of a server, and if anything cannot be used the files are as they were.
 *
 *   pair  {"certificate": PEM, "key": PEM, "file": which one, if there are several}; borrowed
 *
 * The status for the answer.
 */
int shs__admin_reload_pair(struct shs_admin_reload *self, json_t *pair);

#endif
