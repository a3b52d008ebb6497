/*
 * check.h - would the admin plane begin? For who wants to know before it has to.
 */
#ifndef SHS_ADMIN_CHECK_H
#define SHS_ADMIN_CHECK_H

#include <shs/admin.h>

/*
 * Reads all that shs_admin_new would, and returns what that would return, but takes no address and
 * makes no file. *out is not served: its servers (shs_admin_server) may be looked at; for
 * shs_admin_free.
 */
int shs__admin_check(struct shs_admin **out, const struct shs_admin_options *opt,
                     struct shs_error *err);

#endif
