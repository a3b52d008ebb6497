/*
 * h1_exchange.h - between h1.c (the states), h1_input.c (bodies in) and h1_output.c (answers out).
 */
#ifndef SHS_H1_EXCHANGE_H
#define SHS_H1_EXCHANGE_H

#include "http/h1.h"
#include "http/parser.h"

/* Room for the first read of a request. */
#define SHS_H1_FIRST_READ 4096u
/* Files and streamed bodies go out in pieces of this size. */
#define SHS_H1_PIECE ((size_t)64 * 1024)
#define SHS_H1_SEALED_PIECE ((size_t)16 * 1024)
/* A source and a sink: so much at a time, which is all that a slow peer costs. */
#define SHS_H1_SOURCE_PIECE ((size_t)16 * 1024)
/* After so many pieces of a body others have their turn. */
#define SHS_H1_SINK_TURN 4u

/* What follows when `out` is with the stream: more of the same answer, a wait, or nothing ever. */
enum shs_h1_then { SHS_H1_MORE, SHS_H1_FLUSH, SHS_H1_END_DATA };
/* An unread body up to this is read and thrown away to keep the connection. */
#define SHS_H1_DRAIN_BYTES ((uint64_t)64 * 1024)

struct shs_h1_exchange {
    struct shs_exchange base;
    struct shs_h1 *h1;
    struct shs_parser parser;
    struct shs_body body;
    struct shs_progress progress; /* of the body, then of the answer */
    size_t head_len;              /* of h1->in */
    size_t body_at;               /* offset in h1->in: body bytes not looked at yet */
    struct shs_str pending;       /* content in h1->in that nobody has taken yet */
    struct shs_buf early;         /* content read before the handler was called */
    const char *failure;          /* why the answer is not what the handler wanted */
    int failure_code;
    bool content_refused;     /* ... and it was the client's content: the connection lives on */
    bool continue_due;        /* Expect: 100-continue, and not answered yet */
    bool reading;             /* the handler has asked for the body */
    bool body_closed;         /* the peer ended in the middle of it */
    bool answer_ready;        /* HANDLE is over: SEND may finish the exchange */
    bool keep;                /* the connection stays open, as the head of the answer said */
    bool long_head;           /* `fields` is a block of its own, and not of the arena */
    struct shs_field *fields; /* of the head */
    char *outgrown;           /* NULL, or the block that the head's views are in: no more h1->in */
};
/* One for each request: what is larger than this is not among the blocks that malloc(3) has ready,
   and costs a request of 13 bytes 2 % (glibc 2.36, tcache). */
_Static_assert(sizeof(struct shs_h1_exchange) <= 1032, "an exchange fits a ready block");

#define SHS_H1_X(x) SHS_CONTAINER_OF(x, struct shs_h1_exchange, base)

extern const struct shs_exchange_ops shs__h1_exchange_ops;

/* -- h1_input.c -- */

/* Reads once into the room that h1->in has. As a stream's read. */
int shs__h1_fill(struct shs_h1 *h1);
/* Room in h1->in for `need` bytes behind the head, those that are there included. What points into
   the head is good until the exchange ends. SHS_OK, SHS_NOMEM, SHS_LIMIT. */
int shs__h1_make_room(struct shs_h1_exchange *x, size_t need);
/* The next content of the body into x->pending, or none at its end. SHS_OK, SHS_WAIT_*, or < 0. */
int shs__h1_next_content(struct shs_h1_exchange *x);
/* The next bytes of the body into `buf`, none at its end. SHS_OK, SHS_WAIT_*, or < 0. */
int shs__h1_take_body(struct shs_h1_exchange *x, void *buf, size_t cap, size_t *got);
/* Is the body read, or short enough to be thrown away for the next request's sake? */
bool shs__h1_can_drain(const struct shs_h1_exchange *x);
/* Around code of a handler's that makes or takes a body, for whoever counts its time. */
static inline void shs__h1_enter_body(struct shs_h1_exchange *x)
{
    const struct shs_h1_host *host = x->h1->config->host;

    if (host->enter_body != NULL)
        host->enter_body(x->h1->owner, &x->base);
}
static inline void shs__h1_leave_body(struct shs_h1_exchange *x)
{
    const struct shs_h1_host *host = x->h1->config->host;

    if (host->leave_body != NULL)
        host->leave_body(x->h1->owner);
}
/* Starts the clock of a body or an answer: ms, and opt->min_rate from then on. */
void shs__h1_start_progress(struct shs_h1_exchange *x, unsigned ms);
/* The same for who has just looked what time it is. */
void shs__h1_start_progress_at(struct shs_h1_exchange *x, int64_t now_ns, unsigned ms);

/* Until when a handler may wait: for its client, and by its own deadline. */
int64_t shs__h1_deadline(const struct shs_h1_exchange *x);

/* -- h1_output.c -- */

/* Hands h1->out to the stream. SHS_OK when the kernel has it all, SHS_WAIT_*, or < 0. */
int shs__h1_drain_out(struct shs_h1 *h1, enum shs_h1_then then);
/* When to look again at what the peer has taken: the answer's deadline at the latest. */
int64_t shs__h1_next_look(const struct shs_h1_exchange *x);
/* The same for a handler: waits, under the answer's progress. */
int shs__h1_drain_out_blocking(struct shs_h1_exchange *x);
/* Puts 100 Continue into h1->out. */
int shs__h1_put_continue(struct shs_h1_exchange *x);
/* Puts what is left of the answer into h1->out: head, body in memory, last chunk. */
int shs__h1_serialise(struct shs_h1_exchange *x, int64_t now_ns);
/* The next piece of what a source gives, behind what h1->out has. SHS_OK, or < 0: it fails. */
int shs__h1_fill_from_source(struct shs_h1_exchange *x);
/* The exchange ops. */
int shs__h1_send_interim(struct shs_exchange *base, int status, const struct shs_field *fields,
                         size_t count);
int shs__h1_send_body(struct shs_exchange *base, const void *buf, size_t len);

#endif
