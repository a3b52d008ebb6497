/*
 * serve_redirect.h - the answer of --redirect: the same place, over https.
 */
#ifndef SHS_CMD_SERVE_REDIRECT_H
#define SHS_CMD_SERVE_REDIRECT_H

#include <shs/http.h>

/* Sends everybody to `target`, a server that is bound when the first request comes; borrowed. */
struct shs_http_handler serve_redirect_handler(struct shs_server **target);

#endif
