/*
 * talk.h - one connection of the lab.
 *
 * OpenSSL reads from memory and writes to memory; what it writes goes through wire.c, record by
 * record, where faults are made.
 */
#ifndef SHS_LAB_TALK_H
#define SHS_LAB_TALK_H

#include "lab/hello.h"
#include "lab/lab.h"

#define LAB_REQUEST_MAX 16384u
#define LAB_PHASE_MS 30000u /* for a ClientHello, a handshake, a request */

struct shs__lab_talk {
    struct shs_lab *lab;
    struct shs_conn *conn;
    struct shs__lab_unit *unit; /* NULL before a ClientHello */
    struct shs__lab_hello hello;
    struct shs_buf in; /* bytes of the client that nobody has taken yet */
    SSL *ssl;
    BIO *rbio, *wbio;     /* the SSL's */
    struct shs_buf early; /* data that came with the ClientHello */
    struct shs_buf out;   /* records on their way to the wire */
    unsigned flight;      /* records sent in the handshake */
    bool handshake_done;  /* what is written from here on is answers */
    bool answering;       /* the request was read */
    bool fault_made;      /* the one fault of the wire has happened */
    bool over;            /* nothing more is sent or read */
    const char *outcome;  /* for the journal */
    int alert;            /* the last that came; -1 = none */
    bool went_on;
    bool proxied;                  /* by CONNECT, */
    char target[256];              /* ... to this name or address */
    struct shs__lab_unit *counted; /* the connection counts as one of its; NULL: of nobody yet */
};

/* Reads some more bytes of the client into `in`. SHS_OK, or the end as shs_conn_read. */
int shs__lab_talk_read(struct shs__lab_talk *talk);
/* The client came for this name. Before it is answered: it may look at the count when it is. */
void shs__lab_talk_came(struct shs__lab_talk *talk, const char *name);
/* Sends bytes as they are. */
int shs__lab_talk_send(struct shs__lab_talk *talk, const void *bytes, size_t len);
/* Sleeps, but not beyond the server's stop. */
void shs__lab_talk_nap(struct shs__lab_talk *talk, unsigned ms);
/* Keeps the connection and says nothing, until the client goes or the lab's patience ends. */
int shs__lab_talk_stall(struct shs__lab_talk *talk);
/* A reset instead of an end. */
int shs__lab_talk_reset(struct shs__lab_talk *talk);

/* -- wire.c: what OpenSSL has written goes out, with the condition's fault --------------------- */

int shs__lab_wire_flush(struct shs__lab_talk *talk);
/* The faults before OpenSSL has been asked: SHS_OK to go on, SHS_CLOSED when that was all. */
int shs__lab_wire_hello(struct shs__lab_talk *talk);

/* -- canned.c ---------------------------------------------------------------------------------- */

/* The bytes; static storage. */
struct shs_str shs__lab_canned(enum shs__lab_canned which);

/* -- app.c: the request over TLS, and its answer ----------------------------------------------- */

int shs__lab_app(struct shs__lab_talk *talk);
/* SSL_read and SSL_write, waiting. SHS_OK, SHS_CLOSED, or < 0. */
int shs__lab_app_read(struct shs__lab_talk *talk, void *buf, size_t cap, size_t *got);
int shs__lab_app_write(struct shs__lab_talk *talk, const void *bytes, size_t len);
int shs__lab_app_handshake(struct shs__lab_talk *talk);

/* -- plain.c: HTTP without TLS ----------------------------------------------------------------- */

/* One request, whose first bytes are in `in`. SHS_OK: it was CONNECT, and TLS follows. */
int shs__lab_plain(struct shs__lab_talk *talk);
/* A page of the lab's own, as "/" and what is beside it: the whole answer, for shs__buf_free. */
int shs__lab_plain_answer(struct shs_lab *lab, const char *method, const char *path,
                          struct shs_str body, struct shs_buf *out);

#endif
