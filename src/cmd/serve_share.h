/*
 * serve_share.h - what `shs serve` tells people who want to open what it serves on another device:
 * every URL, and a QR code of the best one.
 */
#ifndef SHS_CMD_SERVE_SHARE_H
#define SHS_CMD_SERVE_SHARE_H

#include <shs/server.h>

#include "certs/local_ca.h"
#include "cmd/serve_here.h"
#include "cmd/serve_options.h"

#define SERVE_URL_MAX (SERVE_HOST_MAX + 32)

/* Does it listen where others can come to, by names that serve_here_find finds? */
bool serve_share_is_everywhere(const struct serve_options *o);

/*
 * Prints the URLs of a server that serves, beside those of its first lines, and draws the code.
 *
 *   here   what serve_here_find has found; empty when it does not listen everywhere
 *   local  the authority of its certificate; ca_path NULL: it has another one, or none
 */
void serve_share_say(const struct shs_server *server, const struct serve_options *o,
                     const struct serve_here *here, const struct shs_local_ca *local);

#endif
