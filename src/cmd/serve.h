/*
 * serve.h - a `shs serve` command line without serving.
 */
#ifndef SHS_CMD_SERVE_H
#define SHS_CMD_SERVE_H

#include <shs/server.h>

/*
 * Reads the command line and all files as `shs serve --check` does, and calls `look` with each
 * server, none of which is bound, until it returns another code than CMD_OK. Returns that;
 * CMD_USAGE when the command line is wrong; `failed` when something cannot be used, and that was
 * said.
 */
int serve_check(int argc, char **argv, int (*look)(void *ctx, struct shs_server *server), void *ctx,
                int failed);

#endif
