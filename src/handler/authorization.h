/*
 * authorization.h - the Authorization field: RFC 9110 section 11.6.2.
 */
#ifndef SHS_HANDLER_AUTHORIZATION_H
#define SHS_HANDLER_AUTHORIZATION_H

#include <shs/http.h>

/*
 * What follows the scheme ("Basic"), when there is exactly one Authorization field and it has that
 * scheme, in any case; not empty. Otherwise false.
 */
bool shs__authorization(const struct shs_request *req, const char *scheme, struct shs_str *out);

#endif
