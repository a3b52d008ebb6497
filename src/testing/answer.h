/*
 * answer.h - an answer as bytes, made into values; and a request as values, made into bytes.
 *
 * A reader of answers for tests: it demands what RFC 9112 demands of a server, and where the answer
 * ends is decided by its section 6.3.
 */
#ifndef SHS_TESTING_ANSWER_H
#define SHS_TESTING_ANSWER_H

#include <shs/testing.h>

#include "base/base.h"

/* As many fields as an answer may have, trailers included. */
#define SHS_TEST_FIELDS_MAX 256u

struct shs_test_field {
    char *name, *value; /* NUL-terminated, in `bytes` */
};

/* What a head says of its body. */
struct shs_test_framing {
    bool chunked, has_length, bad;
    uint64_t length;
};

/* What has been read of an answer, and where in it that was. */
struct shs_test_shape {
    int status;
    unsigned interim;
    size_t fields_at; /* of the final head */
    size_t body_at;   /* 0: the final head has not ended yet */
    bool in_fields;   /* of a head */
    bool in_trailers;
    bool no_body;
    struct shs_test_framing framing;
};

struct shs_test_answer {
    struct shs_buf bytes; /* as received; names and values are cut out in place */
    struct shs_test_field fields[SHS_TEST_FIELDS_MAX];
    size_t field_count;
    struct shs_test_field trailers[16];
    size_t trailer_count;
    struct {
        size_t at, searched;
        struct shs_test_shape shape;
    } looked;            /* how far shs__test_answer_is_whole has come */
    struct shs_buf body; /* without framing; a NUL behind it */
    int status;
    unsigned interim;
    bool complete;
    struct shs_error error;
};

/* Defaults for what the caller's struct does not have, and for a request that is NULL. */
/* SHS_USAGE for one that was not initialised, or whose fields are not pairs. */
int shs__test_request_take(struct shs_test_request *to, const struct shs_test_request *from,
                           struct shs_error *err);
/* SHS_USAGE when a list of name, value, ..., NULL ends behind a name. */
int shs__test_list_is_paired(const char *const *fields, const char *whose, struct shs_error *err);

/* Appends the request's bytes; `host` is the Host field's value where the request has none. */
int shs__test_request_bytes(struct shs_buf *out, const struct shs_test_request *request,
                            const char *host);

/* An empty answer that takes so many bytes; NULL when out of memory. */
struct shs_test_answer *shs__test_answer_new(size_t max_answer);

/*
 * Is the whole answer in self->bytes? Where an answer ends with its connection it never is. For
 * each read: it goes on where it stopped the last time. `head`: the request was HEAD.
 */
bool shs__test_answer_is_whole(struct shs_test_answer *self, bool head);

/*
 * Reads what is in self->bytes, once. `ended`: the peer has ended its data in good order. SHS_OK;
 * SHS_PROTO with *err for what is not an HTTP answer; SHS_CLOSED when there is not even a whole
 * head; SHS_NOMEM.
 */
int shs__test_answer_read(struct shs_test_answer *self, bool head, bool ended,
                          struct shs_error *err);

#endif
