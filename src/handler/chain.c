#include "handler/chain.h"

#include "base/base.h"

struct shs_chain {
    struct shs_http_handler next, handler;
    const struct shs_middleware *list[SHS_CHAIN_MAX + 1];
};

int shs_next_call(const struct shs_next *next, struct shs_request *req, struct shs_response *res)
{
    const struct shs_middleware *first = next->rest == NULL ? NULL : *next->rest;
    struct shs_next following;
    const char *before;
    int rc;

    /* Who has answered calls nobody: the handler's call says so, with a line in the log. */
    if (first == NULL || shs_response_status(res) != 0)
        return shs_handler_call(next->end, req, res);
    following = *next;
    following.rest++;
    before = shs_request_enter_middleware(req, first->name);
    rc = first->handle(req, res, first->ctx, &following);
    shs_request_leave_middleware(req, before, rc);
    return rc;
}

/* Is it in the list "GET, HEAD, POST"? */
static bool lists(const char *allow, struct shs_str method)
{
    for (const char *at = allow; *at != '\0';) {
        size_t len = strcspn(at, ",");

        if (shs__str_eq((struct shs_str){at, len}, method))
            return true;
        at += len;
        at += strspn(at, ", ");
    }
    return false;
}

bool shs_next_has(const struct shs_next *next, struct shs_str method)
{
    return next->allow != NULL ? lists(next->allow, method) : shs_handler_has(next->end, method);
}

static int nothing_any(struct shs_request *req, struct shs_response *res)
{
    SHS_UNUSED(req);
    return shs_send_page(res, 404, NULL);
}

void shs__stand_before(struct shs_http_handler *kept, struct shs_http_handler *handler,
                       const char *name, shs_method_fn *any, const struct shs_http_handler *next,
                       void *ctx)
{
    static const struct shs_http_handler nothing = {
        .name = "nothing", .do_HEAD = nothing_any, .do_any = nothing_any};

    *kept = next == NULL ? nothing : *next;
    *handler = (struct shs_http_handler){
        .name = name,
        .do_HEAD = any,
        .do_any = any,
        .log_request = kept->log_request,
        .log_ctx = kept->log_ctx,
        .ctx = ctx,
    };
}

static int chain_any(struct shs_request *req, struct shs_response *res)
{
    const struct shs_chain *self = shs_request_ctx(req);
    struct shs_next next = {self->list, &self->next, NULL};

    return shs_next_call(&next, req, res);
}

int shs_chain_new(struct shs_chain **out, const struct shs_middleware *const *chain,
                  const struct shs_http_handler *next, struct shs_error *err)
{
    struct shs_chain *self;
    size_t count = 0;

    if (chain == NULL || next == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "A chain needs its middleware and a handler.");
    for (; chain[count] != NULL; count++) {
        if (count == SHS_CHAIN_MAX)
            return shs_error_set(err, SHS_USAGE, 0, "A chain has at most %u links.", SHS_CHAIN_MAX);
        if (chain[count]->handle == NULL)
            return shs_error_set(err, SHS_USAGE, 0, "Middleware %zu of the chain has no function.",
                                 count + 1);
    }
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a chain of middleware.");
    memcpy(self->list, chain, count * sizeof chain[0]);
    shs__stand_before(&self->next, &self->handler, next->name, chain_any, next, self);
    *out = self;
    return SHS_OK;
}

void shs_chain_free(struct shs_chain *self)
{
    shs__free(self);
}

const struct shs_http_handler *shs_chain_handler(const struct shs_chain *self)
{
    return &self->handler;
}
