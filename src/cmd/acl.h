/*
 * acl.h - what `shs acl explain` and `shs acl test` share.
 */
#ifndef SHS_CMD_ACL_H
#define SHS_CMD_ACL_H

#include <shs/access.h>

#include "tls/clients/look.h"

/* An identity and what it is made of; zeroed before its first use. */
struct acl_who {
    struct shs_identity identity;
    struct shs_client_look *look;
    const char *refused; /* why its certificate counts for nothing; NULL */
};

/*
 * A certificate from a file. `client_ca` as of `shs serve`; NULL: of the CAs that the rules have
 * files of, the first by which it verifies. An exit code.
 */
int acl_take_cert(struct acl_who *who, struct shs_access_rules *rules, const char *file,
                  const struct shs_tls_host *host);
/* A uid, by number or name, with the groups that it has on this system; or with `gids`, a list
   between commas. */
int acl_take_uid(struct acl_who *who, const char *uid, const char *gids);
void acl_who_free(struct acl_who *who);

int acl_test(int argc, char **argv);

#endif
