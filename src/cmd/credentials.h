/*
 * credentials.h - where `shs serve` has its certificate from: files, or an authority of its own.
 */
#ifndef SHS_CMD_CREDENTIALS_H
#define SHS_CMD_CREDENTIALS_H

#include <shs/certs.h>
#include <shs/options.h>

#include "certs/local_ca.h"
#include "cmd/serve_here.h"
#include "cmd/serve_options.h"

#define CREDENTIALS_PASSWORD_MAX 1024

struct credentials {
    char password[CREDENTIALS_PASSWORD_MAX];
    size_t password_len;
    struct shs_local_ca local; /* all NULL when --cert was given */
    /* of credentials_look: the leaf that is there, or one for the look alone */
    char *found;
    struct shs_issued_cert *stand_in;
};

/* Where the local authority is kept, or would be; for shs__free. NULL: there is no place for it. */
char *credentials_state_directory(void);

/*
 * Sets the password for the certificates of the command line in *opt, which borrows from *self.
 * Without --cert also opt->certfile: from a local authority in $XDG_STATE_HOME/shs
 * (~/.local/state/shs), made if need be, a leaf for localhost, `bind`, --name and what `here` has,
 * as far as the authority may sign for that. Returns CMD_OK or a
 * failure that was said. credentials_free in either case, when the server, which may read them
 * again, is gone.
 */
int credentials_load(struct credentials *self, const struct serve_options *o,
                     const struct serve_here *here, struct shs_options *opt);
/*
 * While it is served: makes the local authority's leaf again when little is left of it, or when the
 * clock was set and it is not valid any more. True: there is another one to read. err->text is ""
 * unless that failed. On one thread, at most once a minute.
 */
bool credentials_renew(struct credentials *self, const struct serve_options *o,
                       const struct serve_here *here, struct shs_error *err);
/*
 * The same for a look at the configuration without --cert, which makes no file: opt->certfile is
 * the leaf that is there, or self->stand_in, a certificate in memory, stands for the one to come.
 */
int credentials_look(struct credentials *self, struct shs_options *opt);
/* Warns of what works and should be known: the clock, a file that others may read. */
void credentials_advise(const struct credentials *self, const struct serve_options *o);
/* Warns where `user`, who we have become, may not write in the local authority's directory. */
void credentials_warn_of_renewal(const struct credentials *self, const char *user);
void credentials_free(struct credentials *self);

#endif
