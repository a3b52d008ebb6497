/*
 * recoding.c - a body that streams, in the content coding that middleware has offered for it.
 *
 * What is written while the handler runs goes through the coder and out; what the coder still has
 * when the handler has returned, and all that a source gives, comes out of a source of our own, so
 * that a slow reader holds no thread.
 */
#include "http/exchange.h"
#include "http/mistake.h"

/* Coded bytes leave in pieces of this size; a source is asked for as much. */
#define PIECE ((size_t)16 * 1024)

struct shs_recoding {
    const struct shs_content_coding *coding;
    void *ctx;
    bool asked, runs; /* begin was called; and it wanted to */
    bool pends;       /* something went in since the last flush */
    bool over;        /* the coder has given its last byte */
    uint64_t sent;
    /* After the handler: the source that it gave, or NULL. */
    const struct shs_source *inner;
    void *inner_ctx;
    struct shs_response *res;
    bool inner_over;
    struct shs_str left; /* of `in`: not coded yet */
    char *in;            /* PIECE bytes; NULL without a source */
};

int shs_response_set_coding(struct shs_response *res, const struct shs_content_coding *coding,
                            void *ctx)
{
    struct shs_recoding *self = NULL;
    int rc = SHS_LIMIT;

    if (res->head_sent)
        rc = shs__mistake(res->x, "shs_response_set_coding", "the head has been sent already");
    else if (res->recoding == NULL) {
        self = shs__arena_alloc(&res->x->arena, sizeof *self);
        rc = SHS_NOMEM;
    }
    if (self == NULL) {
        if (coding->free != NULL)
            coding->free(ctx);
        return rc;
    }
    *self = (struct shs_recoding){.coding = coding, .ctx = ctx, .res = res};
    res->recoding = self;
    return SHS_OK;
}

void shs__recoding_free(struct shs_response *res)
{
    struct shs_recoding *self = res->recoding;

    res->recoding = NULL;
    if (self != NULL && self->coding->free != NULL)
        self->coding->free(self->ctx);
}

void shs__recoding_take_back(struct shs_response *res)
{
    if (res->recoding != NULL && res->recoding->asked)
        shs__recoding_free(res);
}

bool shs__recoding_runs(const struct shs_response *res)
{
    return res->recoding != NULL && res->recoding->runs;
}

uint64_t shs__recoding_sent(const struct shs_response *res)
{
    return res->recoding->sent;
}

bool shs__recoding_pends(const struct shs_response *res)
{
    return res->recoding != NULL && res->recoding->pends;
}

void shs__recoding_count(struct shs_response *res, size_t sent)
{
    res->recoding->sent += sent;
}

/* The head is about to leave in front of a body that streams. */
static int begin(struct shs_response *res, uint64_t length)
{
    struct shs_recoding *self = res->recoding;
    bool head_done = res->head_done;
    const char *name;
    int rc;

    if (self == NULL || self->asked)
        return SHS_OK;
    self->asked = true;
    if (res->no_body && !shs__str_eq(res->x->req.head.method, SHS_STR("HEAD")))
        return SHS_OK;
    name = self->coding->begin(self->ctx, &res->x->req, res, length);
    if (name == NULL)
        return SHS_OK;
    rc = shs_response_weaken_etag(res);
    if (rc == SHS_OK) {
        res->head_done = false; /* nothing of it has left */
        rc = shs_send_header(res, "Content-Encoding", name);
        res->head_done = head_done;
    }
    self->runs = rc == SHS_OK;
    return rc;
}

/* A coder that neither takes nor gives anything would be asked for ever. */
static int code(struct shs_recoding *self, enum shs_coding_step step, struct shs_str *in, void *out,
                size_t cap, size_t *got)
{
    size_t before = in->len;
    int rc;

    *got = 0;
    rc = self->coding->code(self->ctx, step, in, out, cap, got);
    if (rc == SHS_OK &&
        (*got > cap || in->len > before || (before > 0 && in->len == before && *got == 0)))
        return SHS_USAGE;
    return rc;
}

static int send_coded(struct shs_response *res, const void *buf, size_t len,
                      enum shs_coding_step step)
{
    struct shs_recoding *self = res->recoding;
    struct shs_str in = {buf, len};
    char out[PIECE];
    size_t got = 0;
    int rc = SHS_OK;

    self->pends = step == SHS_CODING_MORE && (self->pends || len > 0);
    do {
        rc = code(self, step, &in, out, sizeof out, &got);
        if (rc == SHS_OK && got > 0)
            rc = res->x->ops->send_body(res->x, out, got);
        self->sent += got;
    } while (rc == SHS_OK && (in.len > 0 || got == sizeof out));
    return rc == SHS_OK && !res->head_sent ? res->x->ops->send_body(res->x, NULL, 0) : rc;
}

int shs__send_piece(struct shs_response *res, const void *buf, size_t len,
                    enum shs_coding_step step)
{
    if (!res->head_sent)
        SHS_RETURN_IF_ERROR(begin(res, res->has_length ? res->length : UINT64_MAX));
    if (!shs__recoding_runs(res) || res->no_body)
        return res->x->ops->send_body(res->x, buf, len);
    /* Of a head alone the coder has nothing to say. */
    if (len == 0 && !res->recoding->pends)
        return res->head_sent ? SHS_OK : res->x->ops->send_body(res->x, NULL, 0);
    return send_coded(res, buf, len, step);
}

/* -- after the handler ------------------------------------------------------------------------- */

/* More for the coder from the handler's source; held against the length that it said. */
static int ask_inner(struct shs_recoding *self)
{
    struct shs_response *res = self->res;
    size_t got = 0;
    int rc = self->inner->read(self->inner_ctx, self->in, PIECE, &got);

    if (rc == SHS_OK && got > PIECE)
        rc = SHS_USAGE;
    if (rc != SHS_OK)
        return rc;
    self->inner_over = got == 0;
    res->body_total += got;
    self->left = (struct shs_str){self->in, got};
    return res->has_length && (res->body_total > res->length ||
                               (self->inner_over && res->body_total < res->length))
               ? SHS_USAGE
               : SHS_OK;
}

static int coded_read(void *ctx, void *buf, size_t cap, size_t *got)
{
    struct shs_recoding *self = ctx;
    size_t n = 0;
    int rc = SHS_OK;

    *got = 0;
    while (rc == SHS_OK && !self->over && *got < cap) {
        if (self->left.len == 0 && !self->inner_over)
            rc = ask_inner(self);
        if (rc != SHS_OK)
            return rc;
        rc = code(self, self->inner_over ? SHS_CODING_END : SHS_CODING_MORE, &self->left,
                  (char *)buf + *got, cap - *got, &n);
        *got += n;
        self->over = self->inner_over && self->left.len == 0 && *got < cap;
    }
    return rc;
}

static void coded_free(void *ctx)
{
    struct shs_recoding *self = ctx;

    if (self->inner != NULL && self->inner->free != NULL)
        self->inner->free(self->inner_ctx);
    self->inner = NULL;
}

static const struct shs_source coded_source = {.read = coded_read, .free = coded_free};

/* It is HEAD, and the handler has said or written what GET would have had. */
static bool tells_of_body(const struct shs_response *res)
{
    return res->no_body && !res->is_file &&
           (res->has_length || res->body_total > 0 || res->is_source);
}

int shs__recoding_settle(struct shs_response *res)
{
    struct shs_recoding *self = res->recoding;

    if (self == NULL || !res->started)
        return SHS_OK;
    if (!res->head_sent && (res->source != NULL || tells_of_body(res)))
        SHS_RETURN_IF_ERROR(begin(res, res->has_length  ? res->length
                                       : res->is_source ? UINT64_MAX
                                                        : res->body_total));
    if (!self->runs || res->no_body)
        return SHS_OK;
    if (res->source != NULL) {
        self->in = shs__arena_alloc(&res->x->arena, PIECE);
        if (self->in == NULL)
            return SHS_NOMEM;
    }
    self->inner = res->source;
    self->inner_ctx = res->source_ctx;
    self->inner_over = res->source == NULL;
    res->source = &coded_source;
    res->source_ctx = self;
    res->file_left = UINT64_MAX;
    return SHS_OK;
}
