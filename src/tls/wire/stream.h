/*
 * stream.h - TLS as a byte stream: one SSL over any lower stream.
 *
 * Concept
 *
 *   A struct shs_tls_stream keeps the contract of stream/stream.h. What is written is encrypted at
 *   once and gathered; flush sends it. The handshake is driven by shs__tls_stream_handshake, or by
 *   the first read or write.
 *
 *   What a TLS 1.3 server says after the handshake (the session ticket) is held until there is
 *   something else to say. A client that sends its data and closes without reading has the ticket
 *   unread in its kernel otherwise, which then resets the connection instead of ending it, and what
 *   it has not sent yet is lost. But a client with Nagle's algorithm sends its request only when
 *   its Finished is acknowledged, and the kernel puts off an acknowledgement that has nothing to
 *   ride on for 40 ms: so the lower stream is told to acknowledge at once.
 *
 *   The end of the peer's data is SHS_CLOSED after its close_notify and SHS_TRUNCATED when the
 *   connection ended without one. Many clients never send a close_notify: who has a length, or is
 *   between two messages, need not mind.
 *
 *   With SHS_TLS_RECORDS_DIRECT a connection may leave its SSL (door.h): from then on its records
 *   are read and written by records.h, and nothing else about this stream changes.
 *
 *   One thread at a time.
 */
#ifndef SHS_TLS_STREAM_H
#define SHS_TLS_STREAM_H

#include "stream/stream.h"
#include "tls/config/context.h"
#include "tls/wire/bio.h"
#include "tls/wire/door.h"
#include "tls/wire/facts.h"
#include "tls/wire/ja4.h"

/* How many times a peer may change its keys, or be refused a renegotiation, on one connection. */
#define SHS_TLS_KEY_UPDATES_MAX 64

/* After so many records of our own the keys are changed (TLS 1.3) or the connection ends (1.2):
   half the bound of AES-GCM, RFC 8446, 5.5. */
#define SHS_TLS_RECORDS_MAX ((uint32_t)1 << 23)

enum shs_tls_why {
    SHS_TLS_WHY_NONE,
    SHS_TLS_WHY_CLOSE_NOTIFY, /* the peer ended its data */
    SHS_TLS_WHY_TRUNCATED,    /* the lower stream ended without that */
    SHS_TLS_WHY_LOWER,        /* the lower stream failed */
    SHS_TLS_WHY_PROTOCOL,     /* OpenSSL says why: tls_code and the alert */
    SHS_TLS_WHY_PLAIN_HTTP,   /* the client speaks no TLS */
    SHS_TLS_WHY_KEY_UPDATES,  /* too many of them */
    SHS_TLS_WHY_CLIENT,       /* its certificate is no longer accepted */
    SHS_TLS_WHY_RECORDS,      /* as many records as one key of TLS 1.2 may seal */
    SHS_TLS_WHY_NOMEM
};

/* How far it has come: what is read ... */
enum shs_tls_stage {
    SHS_TLS_SHAKES, /* the handshake is not complete */
    SHS_TLS_UNREAD, /* it is, and nothing has been asked for since */
    SHS_TLS_OPEN
};

/* ... and what is written. */
enum shs_tls_goodbye {
    SHS_TLS_SPEAKS,
    SHS_TLS_NOTIFIED, /* our close_notify is made, if there was anybody to tell */
    SHS_TLS_SHUT      /* and the lower stream is shut down */
};

struct shs_tls_refusal;
struct shs_client_record;
struct shs_tls_recheck;

struct shs_tls_stream {
    struct shs_stream base;
    struct shs_tls_context *context;
    SSL *ssl;                        /* NULL: `records` has taken over */
    struct shs_tls_records *records; /* NULL: `ssl` reads and writes */
    struct shs_tls_door *door;       /* how to get from the one to the other; NULL: there is none */
    struct shs_tls_bio bio;
    struct shs_tls_facts facts; /* from the end of the handshake on */
    uint32_t tls_code;          /* OpenSSL's, for WHY_PROTOCOL: 32 bits in all of OpenSSL 3 */
    uint32_t records_left;      /* of SHS_TLS_RECORDS_MAX */
    uint32_t held;       /* all that is gathered is a ticket of so many bytes; 0: it is not */
    int8_t failed;       /* SHS_OK, or the code that every later read and write answers */
    uint8_t why;         /* enum shs_tls_why */
    uint8_t key_updates; /* counted */
    uint8_t alert_in, alert_out;     /* the last fatal alert each way; 255 = none */
    uint8_t stage;                   /* enum shs_tls_stage */
    uint8_t goodbye;                 /* enum shs_tls_goodbye */
    int8_t ended;                    /* SHS_OK, or the end that every later read answers */
    bool starved;                    /* OpenSSL has used up what it was given */
    bool acknowledged;               /* the lower stream has been told to, while a ticket is held */
    uint8_t stays;                   /* enum shs_tls_stays: with `ssl`, and why */
    bool rekeyed;                    /* our key was changed while libssl had it */
    bool owes_key;                   /* the peer has asked for our next key */
    bool no_name;                    /* no certificate for the name asked for, by strict_sni */
    uint8_t client_reason;           /* enum shs_client_reason */
    char *ja4;                       /* NULL when none was made */
    struct shs_tls_refusal *refusal; /* more about client_reason; or NULL */
    struct shs_client_record *client; /* made when somebody asks */
    int64_t client_until;             /* Unix time: the first end of its chain; 0 without one */
    int64_t client_crls_until;        /* and of the CRLs that speak of it */
    struct shs_tls_recheck *recheck;  /* looks at the client again; NULL: nobody does */
    struct shs_tls_talk *talk;        /* the mixin's, until the handshake is over */
};

/*
 * A TLS stream over `lower` (borrowed), in the role of the context's method; keeps a reference to
 * the context. Returns SHS_OK or SHS_NOMEM.
 */
int shs__tls_stream_new(struct shs_tls_stream **out, struct shs_tls_context *context,
                        struct shs_stream *lower);

/*
 * Goes on with the handshake: SHS_OK once it is complete, SHS_WAIT_*, SHS_CLOSED when the peer went
 * away, SHS_TLS, SHS_IO, SHS_NOMEM. After a failure, shutdown sends the alert that is waiting. A
 * client that speaks plain HTTP is given a readable 400 in the same way.
 */
int shs__tls_stream_handshake(struct shs_tls_stream *self);

static inline bool shs__tls_is_established(const struct shs_tls_stream *self)
{
    return self->stage != SHS_TLS_SHAKES;
}

/* Its client is not let in: the handshake was let through, to say why. */
static inline bool shs__tls_is_refused(const struct shs_tls_stream *self)
{
    return self->stage != SHS_TLS_SHAKES && self->client_reason != SHS_CLIENT_OK;
}

/* It was the peer's alert that ended it, and not a warning of before we sent ours. */
bool shs__tls_is_ended_by_alert(const struct shs_tls_stream *self);

/* The stream that has made this SSL: for callbacks. NULL: none has. */
struct shs_tls_stream *shs__tls_stream_of(const SSL *ssl);

/* Leaves libssl now, if nothing hinders it: `stays` says what does. */
void shs__tls_stream_go_direct(struct shs_tls_stream *self);

/* A line of libssl's key log. It is wiped by who made it. */
void shs__tls_stream_secret(struct shs_tls_stream *self, const char *line);

/* The name that the client asks for, as soon as it is known; NULL: none. A view. */
const char *shs__tls_stream_sni(const struct shs_tls_stream *self);

/* The topmost TLS stream of a stack, or NULL. */
struct shs_tls_stream *shs__tls_stream_find(struct shs_stream *top);

/* OpenSSL's message callback, for contexts; `arg` is the stream. */
void shs__tls_stream_message(int write_p, int version, int content_type, const void *buf,
                             size_t len, SSL *ssl, void *arg);

#endif
