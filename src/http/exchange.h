/*
 * exchange.h - one request and its response, apart from the connection that carries them.
 *
 * Concept
 *
 *   A handler sees an exchange only. What it needs of the wire goes through a small table: HTTP/1.1
 *   (h1.c) has one exchange at a time on a connection; another version may have many.
 *   request.c and response.c are what all versions share.
 *
 *   The response keeps its head and the beginning of its body until the handler has returned or
 *   the body outgrows its buffer, so that a small answer leaves in one write, with a
 *   Content-Length. After that it streams.
 */
#ifndef SHS_EXCHANGE_H
#define SHS_EXCHANGE_H

#include <shs/http.h>
#include <shs/options.h>

#include "http/message.h"

/* Response fields of one answer, and the bytes they may take together. */
#define SHS_MAX_RESPONSE_FIELDS 100u
#define SHS_MAX_RESPONSE_HEAD 16384u
/* What handlers and their helpers may take with shs_request_alloc. */
#define SHS_EXCHANGE_MEMORY ((size_t)1 << 20)
/* Beside it, for the fields of the answer: so that one can say that there is no memory. */
#define SHS_EXCHANGE_RESERVE ((size_t)64 * 1024)
/* Response trailers of one answer. */
#define SHS_MAX_RESPONSE_TRAILERS 16u
/* Fields that middleware puts on whatever the answer will be. */
#define SHS_MAX_STANDING_FIELDS 16u
/* Handlers that call one another: more is one that calls itself. */
#define SHS_MAX_HANDLER_DEPTH 64u
/* Fields of one interim answer. */
#define SHS_MAX_INTERIM_FIELDS 32u

struct shs_exchange;

/* What an exchange asks of the connection. May block, as shs_conn_read and shs_conn_write do. */
struct shs_exchange_ops {
    /* The next bytes of the request body; as shs_request_read. */
    int (*read_body)(struct shs_exchange *x, void *buf, size_t cap, size_t *got);
    /* Sends the head (if it has not been sent) and these bytes of the body. */
    int (*send_body)(struct shs_exchange *x, const void *buf, size_t len);
    /* Sends a head with this 1xx status and these fields; the real head is still to come. */
    int (*send_interim)(struct shs_exchange *x, int status, const struct shs_field *fields,
                        size_t count);
    /* What the request's id is made of; false: there is none. NULL: likewise. */
    bool (*identify)(struct shs_exchange *x, uint64_t numbers[3]);
    /* A moment at which the request was here already, by shs_now_ns; 0: not known. NULL: never. */
    int64_t (*there_since)(struct shs_exchange *x);
    /* Waits until the deadline, or until `wake_fd` can be read (-1: none): SHS_OK then; SHS_CLOSED
       when the peer has gone, SHS_STOPPED. */
    int (*wait_peer)(struct shs_exchange *x, int64_t deadline_ns, int wake_fd);
};

/* Three numbers in hexadecimal, two dashes. */
#define SHS_REQUEST_ID_MAX 50u

/* A value under a key of somebody's: shs_request_set_slot. */
struct shs_slot {
    const void *key;
    void *value;
    struct shs_slot *next;
};

/* What is to be done when the answer is out. */
struct shs_ending {
    shs_end_fn *fn;
    void *arg;
    struct shs_ending *next;
};

/* Who wants to know what became of it: shs_request_on_access. */
struct shs_access_call {
    shs_access_fn *fn;
    void *ctx;
    struct shs_access_call *next;
};

struct shs_recoding;   /* recoding.c */
struct shs_file_watch; /* file_watch.h */
struct shs_content; /* content.c: what was made of the query and the body; NULL until asked for */

struct shs_request {
    struct shs_exchange *x;
    struct shs_head head;
    bool body_taken;              /* a handler has read of it */
    bool body_failed;             /* read_body has failed: the connection cannot go on */
    bool sink_over;               /* the sink has had its last byte, or wants no more */
    int body_code;                /* body_failed: with this */
    struct shs_refusal refusal;   /* and, for SHS_PROTO and SHS_LIMIT, for this reason */
    uint64_t body_read, max_body; /* what a handler has read, and may (shs_request_limit_body) */
    int content_code;             /* a helper refused the content (shs__refuse_content) with this */
    int sink_rc;                  /* sink_over: this is what `done` is told */
    struct shs_content *content;
    struct shs_str user;         /* whom authentication let in, in the arena; ptr NULL: nobody */
    struct shs_str full_path;    /* before shs_request_set_path; ptr NULL: as head.path */
    const struct shs_sink *sink; /* NULL, or who takes the body */
    void *sink_ctx;
    const struct shs_http_handler *sink_handler; /* that asked for it */
    struct shs_slot *slots; /* what middleware left for those behind it; in the arena */
    struct shs_str id;      /* len 0: not asked for yet, or there is none; in the arena */
};

struct shs_response {
    struct shs_exchange *x;
    int status;
    struct shs_str reason;
    struct shs_field *fields;
    size_t field_count, field_cap;
    size_t field_bytes;
    uint64_t length;                 /* what Content-Length says, when has_length */
    struct shs_buf body;             /* not sent yet */
    uint64_t body_total;             /* what the handler wrote */
    int file_fd;                     /* -1, or the body */
    struct shs_file_watch *watch;    /* of that file; NULL: none. In the arena */
    uint64_t file_offset, file_left; /* of a source: what it gave; more than 0 until its end */
    const struct shs_source *source; /* NULL, or the body */
    void *source_ctx;
    struct shs_recoding *recoding; /* NULL, or a coding that somebody offers; in the arena */
    struct shs_field *trailers;    /* NULL: none */
    size_t trailer_count;
    struct shs_field *standing; /* sent with any answer, an error's too; NULL: none */
    size_t standing_count, standing_bytes;
    bool started;   /* shs_send_response was called */
    bool head_done; /* shs_end_headers was called */
    bool head_sent; /* bytes are on their way: no other answer is possible */
    bool has_length;
    bool has_date, has_server;
    bool close;              /* Connection: close */
    bool is_file, is_source; /* shs_send_file, shs_send_source was called */
    bool no_body;            /* HEAD, 1xx, 204, 304: what the handler writes is counted, not sent */
    bool chunked;
    bool broken; /* cannot be completed: the connection must be cut */
};

struct shs_exchange {
    const struct shs_exchange_ops *ops;
    struct shs_conn *conn;                  /* for handlers; this room does not look inside */
    const struct shs_http_handler *handler; /* the one that runs; NULL: none does */
    const char *middleware;                 /* that runs in front of it; NULL: it runs itself */
    const char *culprit;                    /* who returned culprit_rc first; NULL: nobody */
    int culprit_rc;                         /* 0, or what is not a result */
    unsigned depth;                         /* how many have called one another */
    const struct shs_options *opt;          /* of the server; NULL: none made it (in a test) */
    const char *mistake;                    /* of the handler, a sentence (mistake.h); NULL: none */
    int mistake_code;                       /* what the call returned that it was made with */
    bool culprit_started;                   /* an answer had begun when it returned */
    bool culprit_is_middleware;
    bool making_error;   /* opt->error_page runs */
    int64_t deadline_ns; /* of the handlers: nothing of theirs waits longer; INT64_MAX: none */
    struct shs_access_call *access_calls; /* the latest first; in the arena */
    struct shs_ending *endings;           /* shs_request_on_end: the latest first; in the arena */
    struct shs_arena arena;
    struct shs_request req;
    struct shs_response res;
};

/* Is the name one of these? Any case. */
bool shs__is_one_of(struct shs_str name, const char *const *names, size_t count);
/* Content-Length, Transfer-Encoding ...: written by the server, where they are right. */
bool shs__is_framing_field(struct shs_str name);

/* Has the answer a field of that name: of its own; or one that stands? */
bool shs__response_says(const struct shs_response *res, struct shs_str name);
bool shs__response_stands(const struct shs_response *res, struct shs_str name);
/* Is a standing field on this answer? Not when the answer says it itself. */
bool shs__standing_is_sent(const struct shs_response *res, const struct shs_field *field);

void shs__exchange_init(struct shs_exchange *x, const struct shs_exchange_ops *ops,
                        size_t max_buffered_response);
void shs__exchange_clear(struct shs_exchange *x); /* frees what it holds, closes the file */

/*
 * The content of the request is not what it should be: a handler that returns the code has this
 * answered. `code` is SHS_PROTO or SHS_LIMIT; the texts are static. Returns the code.
 */
int shs__refuse_content(struct shs_request *req, int code, int status, const char *rule,
                        const char *text);
/* The same for content that is larger than somebody takes: 413. */
int shs__content_too_long(struct shs_request *req);
/* Somebody has read so much of the body: SHS_OK, or that it is more than he may. */
int shs__request_count_body(struct shs_request *req, size_t got);
void shs__content_free(struct shs_content *content); /* NULL is fine */

/* The sink has what it is going to get: its answer. As a method of a handler. */
int shs__sink_done(struct shs_request *req, struct shs_response *res);
void shs__sink_free(struct shs_request *req); /* without one it does nothing */

/* The method of the handler for this request; NULL when it has none. */
shs_method_fn *shs__handler_method(const struct shs_http_handler *handler, struct shs_str method);

/* True when the status never has a body (RFC 9110 sections 6.4.1, 15.3.5, 15.3.6, 15.4.5). */
bool shs__status_without_body(int status);

/* As shs_send_response_reason; borrows the reason. */
int shs__response_start(struct shs_response *res, int code, struct shs_str reason);

/* -- recoding.c: a body that streams, in the coding that middleware has offered ---------------- */

/* Is the body coded on its way out? */
bool shs__recoding_runs(const struct shs_response *res);
/* How many coded bytes there have been. */
uint64_t shs__recoding_sent(const struct shs_response *res);
/* These bytes of a body that streams leave, with the head if it has not gone. Blocks. */
int shs__send_piece(struct shs_response *res, const void *buf, size_t len,
                    enum shs_coding_step step);
/* Is something of it in the coder, and should leave at a flush? */
bool shs__recoding_pends(const struct shs_response *res);
/* The handler has returned: what is left of the body, and of a source, comes from a source. */
int shs__recoding_settle(struct shs_response *res);
/* From that source: so many bytes. */
void shs__recoding_count(struct shs_response *res, size_t sent);
/* The answer is taken back: a coding that has begun is of no use any more. */
void shs__recoding_take_back(struct shs_response *res);
void shs__recoding_free(struct shs_response *res);

/* Takes back an answer of which nothing has left. */
void shs__response_take_back(struct shs_response *res);

#endif
