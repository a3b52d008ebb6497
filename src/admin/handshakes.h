/*
 * handshakes.h - the last handshakes, for who asks why a client cannot come in: so many that
 * failed, and so many that did not. Any thread.
 */
#ifndef SHS_ADMIN_HANDSHAKES_H
#define SHS_ADMIN_HANDSHAKES_H

#include "admin/watch.h"

#define SHS_ADMIN_HANDSHAKES 256 /* of each kind */

/* What is kept of one. Strings are cut. */
struct shs_admin_handshake {
    int64_t when_ms; /* Unix time */
    uint64_t number; /* 1 is the first of its kind */
    char server[64], peer[112];
    unsigned port;
    bool failed, open, resumed; /* open: it had succeeded, and the client is no longer accepted */
    char label[64];             /* "client-cert:expired"; "" when it did not fail */
    char reason[192];           /* for people */
    char sni[128], ja4[48], version[12];
    char subject[256], cert_sha256[65]; /* of what the client showed, whether it counts or not */
};

struct shs_admin_handshakes;

int shs__admin_handshakes_new(struct shs_admin_handshakes **out);   /* SHS_OK or SHS_NOMEM */
void shs__admin_handshakes_free(struct shs_admin_handshakes *self); /* NULL is fine */

/* On the thread that has the connection. */
void shs__admin_handshakes_failed(struct shs_admin_handshakes *self, const char *server,
                                  const struct shs_tls_failure *failure);
void shs__admin_handshakes_done(struct shs_admin_handshakes *self, const char *server,
                                struct shs_conn *conn, const struct shs_admin_client *client);

/*
 * Copies them, the latest first: those that failed, or all. How many; `out` has room for
 * 2 * SHS_ADMIN_HANDSHAKES.
 */
size_t shs__admin_handshakes_copy(struct shs_admin_handshakes *self, bool failed,
                                  struct shs_admin_handshake *out);
/* How many there ever were. */
uint64_t shs__admin_handshakes_count(struct shs_admin_handshakes *self, bool failed);

/* What the failure of a handshake means, for people: "no client certificate". */
const char *shs__admin_failure_reason(const struct shs_tls_failure *failure);

#endif
