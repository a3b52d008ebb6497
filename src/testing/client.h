/*
 * client.h - a client of HTTP/1.1 for tests: one connection, one thread, one deadline for all of
 * it.
 *
 * It remembers the alert that the server sent, which in TLS 1.3 comes after the client's handshake
 * is over: "was my certificate let in?" is known only when something was read.
 */
#ifndef SHS_TESTING_CLIENT_H
#define SHS_TESTING_CLIENT_H

#include "base/base.h"
#include "testing/answer.h"

struct shs_test_client_spec {
    const char *path; /* a Unix socket to connect to; NULL = host and port */
    const char *host; /* where to connect to: a name or an address */
    unsigned port;
    bool tls;
    const char *name;               /* SNI, and what the certificate has to be for; NULL = `host` */
    const char *ca_pem;             /* whom to trust; NULL = everybody */
    const char *ca_path;            /* the same as a file, where ca_pem is NULL */
    const char *cert_pem, *key_pem; /* the client's own, leaf first; NULL = none */
    int version;                    /* 12 or 13: no other; 0 = either */
    int64_t deadline_ns;
};

struct shs_test_client {
    struct ssl_st *ssl; /* NULL: plain */
    int fd;
    int64_t deadline_ns;
    int alert;      /* that the server sent, fatal; -1 = none */
    bool connected; /* somebody has taken the connection */
    bool ended;     /* the server's data has ended ... */
    bool cut;       /* ... without the close_notify that should be there */
    bool wanted;    /* the server asked for a certificate */
};

/*
 * Connects, and makes the handshake. SHS_OK; SHS_IO, SHS_TIMEOUT, SHS_TLS, SHS_NOMEM with *err:
 * self->alert and self->ended tell more. Close it in any case.
 */
int shs__test_client_open(struct shs_test_client *self, const struct shs_test_client_spec *spec,
                          struct shs_error *err);
int shs__test_client_write(struct shs_test_client *self, const void *bytes, size_t len,
                           struct shs_error *err);
/* At least one byte; SHS_CLOSED at the end of the server's data, or when it was cut. */
int shs__test_client_read(struct shs_test_client *self, void *buf, size_t cap, size_t *got,
                          struct shs_error *err);
void shs__test_client_close(struct shs_test_client *self);

/* A whole request and its answer. As shs_test_server_ask. */
int shs__test_client_ask(struct shs_test_answer **out, const struct shs_test_client_spec *spec,
                         const struct shs_test_request *request, struct shs_test_client *client,
                         struct shs_error *err);

#endif
