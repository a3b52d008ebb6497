/*
 * look.h - a client's certificate in a file, judged as a server would judge it in a handshake.
 */
#ifndef SHS_TLS_CLIENT_LOOK_H
#define SHS_TLS_CLIENT_LOOK_H

#include <shs/tls.h>

struct shs_client_look;

/*
 *   certfile  PEM: the certificate, then the CAs that the client sends along
 *   host      what a server asks of its clients: client_ca, crl, client_depth and so on
 *
 * SHS_OK, also for one that is refused; SHS_TLS with *err for files that cannot be read; SHS_NOMEM.
 */
int shs__client_look_new(struct shs_client_look **out, const char *certfile,
                         const struct shs_tls_host *host, struct shs_error *err);
void shs__client_look_free(struct shs_client_look *self); /* NULL is fine */

/* Who it is; NULL: it would be refused, and *why says it. As long as `self`. */
const struct shs_client_identity *shs__client_look_identity(const struct shs_client_look *self,
                                                            const char **why);

#endif
