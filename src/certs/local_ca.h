/*
 * local_ca.h - a certificate authority of this user's own, and a certificate for localhost.
 *
 * Concept
 *
 *   HTTPS on one's own machine, without a warning once the user's browser trusts ca.pem. A state
 *   directory (0700) holds
 *
 *     ca.key         the CA: its private key and its certificate (0600). The truth.
 *     ca.pem         the certificate alone, to give to browsers and clients
 *     localhost.pem  a server's certificate and key in one file (0600), for opt.certfile
 *
 *   What is there is checked and used again; a leaf that is missing, runs out soon or lacks a name
 *   is made again. A file is complete before it gets its name, and a lock keeps two processes
 *   apart. The CA itself is never replaced before it has expired, and never because it looks
 *   damaged: somebody may trust it. A clock that is wrong (a board without a battery starts in
 *   1970) is said and does no harm: before the CA's first day nothing that is there is touched, and
 *   of one that has expired by the clock of now the file stays, as ca.key.expired.
 */
#ifndef SHS_CERTS_LOCAL_CA_H
#define SHS_CERTS_LOCAL_CA_H

#include "base/base.h"

struct shs_local_ca {
    char *ca_path;   /* of ca.pem */
    char *leaf_path; /* of localhost.pem */
    bool ca_made;    /* by this call: the user has to trust it (again) */
    bool leaf_made;
    char fingerprint[96]; /* of the CA: SHA-256, "AB:CD:..." */
    char *ca_pem;         /* its certificate alone, as text and as DER */
    unsigned char *ca_der;
    size_t ca_der_len;
    int64_t leaf_start; /* Unix time: from when on it is valid, */
    int64_t leaf_due;   /* and when another should be made; INT64_MAX: it lasts as long as the CA */
    char warning[240];  /* a sentence about the clock or the CA's end; "" */
    char left_out[240]; /* those of `also` that it may not sign for, ", " between; "" */
};

/*
 * Opens the CA in `dir`, which is made with its parents if need be.
 *
 *   names  beside localhost, 127.0.0.1 and ::1: DNS names and IP addresses, ended by NULL; or NULL
 *   now    Unix time
 *
 * Returns SHS_OK with *out, for shs__local_ca_free; else SHS_USAGE (a name), SHS_IO, SHS_TLS,
 * SHS_TIMEOUT (another process holds the lock for 10 s), SHS_NOMEM with *err, which names the file.
 */
int shs__local_ca_open(struct shs_local_ca *out, const char *dir, const char *const *names,
                       int64_t now, struct shs_error *err);
/*
 * The same with names that are only found to be this machine's, such as its addresses: one of
 * `also` that the CA may not sign for is left out of the certificate, and is in out->left_out.
 */
int shs__local_ca_open_also(struct shs_local_ca *out, const char *dir, const char *const *names,
                            const char *const *also, int64_t now, struct shs_error *err);

/*
 * For a server that runs on: true when the leaf of *self should be made again, and that. Of an open
 * one only leaf_start and leaf_due change; *changed says that there is another leaf now, also one
 * that somebody else made. It is the leaf alone: without a CA that is valid at `now` nothing is
 * made. `dir`, `names`, `also` and the errors as above. Owner thread only.
 */
bool shs__local_ca_due(const struct shs_local_ca *self, int64_t now);
int shs__local_ca_renew(struct shs_local_ca *self, const char *dir, const char *const *names,
                        const char *const *also, int64_t now, bool *changed, struct shs_error *err);
void shs__local_ca_free(struct shs_local_ca *self);

#endif
