/*
 * look.h - certificates from outside, to be looked at: what is in them, and why a client would
 * refuse them.
 */
#ifndef SHS_CERTS_LOOK_H
#define SHS_CERTS_LOOK_H

#include "base/base.h"

#define SHS_LOOK_FINGERPRINT 96u

struct shs__look; /* the certificates of a file, or those a server sent */

enum shs__finding_level {
    SHS_FINDING_NOTE,    /* worth knowing */
    SHS_FINDING_WARNING, /* some clients refuse it */
    SHS_FINDING_SOON,    /* it runs out within the time asked about */
    SHS_FINDING_ERROR    /* clients refuse it */
};

struct shs__finding {
    enum shs__finding_level level;
    char word[24];  /* "expired" */
    char text[200]; /* a sentence */
};

/* What it is judged by. */
struct shs__look_wish {
    const char *host;   /* the name it must have; NULL = any */
    const char *ca_pem; /* the authorities that are trusted; NULL = the chain is judged by itself */
    size_t ca_pem_len;
    int64_t now;        /* Unix time */
    int64_t expires_in; /* seconds: SHS_FINDING_SOON when it runs out within them */
    bool client;        /* it is a client's */
    bool strict;        /* what a strict verifier insists on is an error */
};

/* All certificates in the bytes: PEM, or one in DER. SHS_OK; SHS_TLS when there is none. */
int shs__look_bytes(struct shs__look **out, const void *bytes, size_t len, struct shs_error *err);

/*
 * What a server sends for the name `sni` (NULL = none), whatever it is worth. SHS_IO, SHS_TIMEOUT
 * and SHS_CLOSED when it cannot be reached; SHS_TLS when it does not come to a certificate.
 * Writes to a socket: the process should ignore SIGPIPE.
 */
int shs__look_host(struct shs__look **out, const char *host, const char *port, const char *sni,
                   unsigned timeout_ms, struct shs_error *err);
void shs__look_free(struct shs__look *self);

/*
 * The serial number of the first certificate, for shs__free. SHS_USAGE when the authority in
 * `ca_der` has not issued it: its number means something else there.
 */
int shs__look_serial(char **out, const void *bytes, size_t len, const void *ca_der, size_t ca_len,
                     struct shs_error *err);

/*
 * Are all of them authorities, which others can be told to trust? SHS_USAGE when one is not, or
 * cannot be meant for others: *err says which and why. *over: one has ended by `now`.
 */
int shs__look_authorities(const struct shs__look *self, int64_t now, bool *over,
                          struct shs_error *err);

/* How many there are. */
size_t shs__look_count(const struct shs__look *self);
/*
 * The n-th, to be handed on: appends it alone as PEM, and writes its SHA-256 fingerprint as
 * "AB:CD:...". SHS_TLS, SHS_NOMEM, SHS_LIMIT with *err.
 */
int shs__look_copy(const struct shs__look *self, size_t n, struct shs_buf *pem,
                   char fingerprint[SHS_LOOK_FINGERPRINT], struct shs_error *err);

/* Appends a description, for people or as JSON, with the findings. SHS_LIMIT, SHS_NOMEM. */
int shs__look_print(const struct shs__look *self, const struct shs__look_wish *wish, bool json,
                    struct shs_buf *out);

/* Why it would be refused, the worst first; the number of findings, at most `cap`. */
size_t shs__look_judge(const struct shs__look *self, const struct shs__look_wish *wish,
                       struct shs__finding *list, size_t cap);

#endif
