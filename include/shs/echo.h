/*
 * shs/echo.h - a handler that answers with what it received, as JSON.
 *
 * For tests and for looking at what a client or a proxy really sends:
 *
 *     {"method": "POST", "target": "/a?b=1", "version": "HTTP/1.1",
 *      "headers": [["Host", "localhost:8443"], ["Content-Length", "5"]],
 *      "body_length": 5,
 *      "body_sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}
 *
 * Every method is answered. The fields stand in the order they came; a body of any length up to
 * opt.max_body_bytes is read and digested piece by piece. Bytes that are not UTF-8 are read as
 * latin-1, so that the answer is always JSON.
 */
#ifndef SHS_ECHO_H
#define SHS_ECHO_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The handler. It has no state: static storage, any number of servers, any thread. */
SHS_API const struct shs_http_handler *shs_echo_handler(void);

#ifdef __cplusplus
}
#endif

#endif
