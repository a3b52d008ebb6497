/*
 * lab_env.h - what a shell or a client needs to find a lab: as text, on the command line and in
 * files; and where the lab is that this user serves.
 */
#ifndef SHS_CMD_LAB_ENV_H
#define SHS_CMD_LAB_ENV_H

#include <stdio.h>

#include <shs/testing.h>

#include "cmd/trust_env.h"

/* Writes every variable in the words of that shell, one of sh fish pwsh dotenv github docker. */
int lab_env_write(FILE *to, const struct trust_env *trust, const char *shell);
/* Writes where the names of a manifest are: hosts curl chromium dnsmasq. */
int lab_hosts_write(FILE *to, const char *format, const char *manifest, unsigned port);

/* GET of the lab's plain HTTP. CMD_OK with *answer, for shs_test_answer_free; or it was said. */
int lab_fetch(const char *host, unsigned port, const char *path, struct shs_test_answer **answer);

/* -- the lab that was started last ------------------------------------------------------------- */

#define LAB_HOST_MAX 64

/* Notes it in a file of this user's ($XDG_RUNTIME_DIR/shs-lab, or one in $TMPDIR), so that `shs lab
   env` needs no port. Where that cannot be, it needs one. */
void lab_here_note(const char *host, unsigned port);
/* Takes the note away, if it is still about this process. */
void lab_here_forget(void);
/* False: there is none. */
bool lab_here_find(char host[LAB_HOST_MAX], unsigned *port);

#endif
