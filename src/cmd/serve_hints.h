/*
 * serve_hints.h - what to do about a start that failed: who has the port, whose the key is.
 */
#ifndef SHS_CMD_SERVE_HINTS_H
#define SHS_CMD_SERVE_HINTS_H

#include <shs/error.h>

#include "cmd/serve_options.h"

#define SERVE_HINT_MAX 640

/*
 * Looks who has the ports that are asked for, for serve_hint to say: in the sandbox other processes
 * cannot be looked into. Before there are threads.
 */
void serve_hints_look(const struct serve_plan *plan);

/*
 * A sentence or two that follow "cannot bind to ...: Address already in use", for shs__say_more; ""
 * when there is nothing to add.
 */
const char *serve_hint(const struct serve_options *o, const struct shs_error *err, char *out,
                       size_t cap);
/* The same for the local authority's place: a whole sentence, after a space. */
const char *serve_hint_state(const struct shs_error *err, char *out, size_t cap);
/* Root could read it all, and the user that we have become is asked at the next SIGHUP: warns of
   each file that this one may not read. */
void serve_hints_warn_of_reload(const struct serve_plan *plan);

#endif
