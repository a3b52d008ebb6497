/*
 * serve_sandbox.h - what `shs serve` keeps within reach, by its configuration.
 */
#ifndef SHS_CMD_SERVE_SANDBOX_H
#define SHS_CMD_SERVE_SANDBOX_H

#include "cmd/sandbox.h"
#include "cmd/serve_options.h"

/*
 * Closes the sandbox for files, by what the plan names. Before there are threads. CMD_OK, also with
 * --no-sandbox and where there is none; or a failure already said.
 */
int serve_sandbox_close(struct sandbox *self, const struct serve_plan *plan);
/* And for system calls, once all sockets are open. */
int serve_sandbox_filter(struct sandbox *self, const struct serve_plan *plan);

/* Is a directory, which may have been made or named since, out of reach though its mode allows to
   read it, or to write to it? Any thread. */
bool serve_sandbox_hides(const char *directory, bool written);

#endif
