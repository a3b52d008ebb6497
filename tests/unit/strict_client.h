/*
 * strict_client.h - a client that verifies strictly, goes on whatever it finds, and writes down
 * every fault: of the certificates (OpenSSL's strict verification, `shs cert check --strict`), of
 * the CRLs and OCSP responses that they name or that are stapled, of the handshake, and of the
 * answer.
 */
#ifndef STRICT_CLIENT_H
#define STRICT_CLIENT_H

#include <stddef.h>

#include <shs/lab.h>

#define ERRORS_MAX 8

/* What it forgives. */
enum {
    WEAK = 1,    /* short keys and SHA-1 in the handshake: security level 0 */
    OLD = 2,     /* TLS 1.0 and 1.1 */
    SUITES = 4,  /* every cipher suite that OpenSSL has */
    CURVES = 8,  /* rare curves, and DSA */
    LARGE = 16,  /* long messages */
    TLS12 = 32,  /* it offers no TLS 1.3 */
    SILENT = 64, /* it offers no ALPN */
    H2 = 128,    /* it offers HTTP/2 as well */
    CERT = 256,  /* it has a client certificate */
    LATER = 512  /* and gives it after the handshake */
};

enum stage {
    PAGE,     /* an answer, all of it, and close_notify */
    CUT,      /* an answer that ends too early, or without close_notify */
    NOTHING,  /* no answer */
    HANDSHAKE /* no connection */
};

struct visit {
    int errors[ERRORS_MAX]; /* X509_V_ERR_..., each once */
    size_t count;
    char lint[300]; /* words of `shs cert check --strict`, notes left out; ' ' between */
    char ocsp[100]; /* what is wrong with the status of the certificate; likewise */
    enum stage end;
    int reason; /* OpenSSL's, for an end that is none; 0: the connection was reset, or closed */
    int status; /* of the answer; 0: none */
};

/* Asks for / of a condition. Any thread; ends the program when the lab itself cannot be reached. */
void strict_visit(struct visit *out, const struct shs_lab *lab, const struct shs_condition *c,
                  unsigned forgives);

#endif
