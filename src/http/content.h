/*
 * content.h - what is made of a request's query and body when a handler asks for it.
 */
#ifndef SHS_CONTENT_H
#define SHS_CONTENT_H

#include <shs/query.h>

#include "http/mistake.h"

/* A parsed list: one block with the parameters and behind them their bytes. */
struct shs_param_list {
    struct shs_param *block; /* NULL: not parsed yet */
    size_t count;
};

struct shs_content {
    struct shs_buf body;
    bool have_body;
    int body_code; /* it was read in part: what every further call returns */
    struct shs_param_list query, form;
};

/* The request's, made at the first call, in its arena; NULL when there is no memory. */
struct shs_content *shs__content(struct shs_request *req);

/*
 * Reads "a=1&b=2" into *list. SHS_OK; SHS_PROTO for a bad "%" or a NUL; SHS_LIMIT beyond
 * SHS_MAX_PARAMS; SHS_NOMEM. The list's block is for shs__free.
 */
int shs__params_parse(struct shs_str text, struct shs_param_list *list);

/* Content-Type is this media type, with any parameters: "multipart/form-data". */
bool shs__media_type_is(struct shs_str value, struct shs_str type);

/*
 * The next ";name=value" of a field: parameters of Content-Type, Content-Disposition.
 *
 *   rest   what is left of the field: behind the type at first, advanced by each call
 *   value  the bytes between the quotes, still with their backslashes, when *quoted
 *
 * SHS_OK with name->ptr, which is NULL at the end; SHS_PROTO.
 */
int shs__next_parameter(struct shs_str *rest, struct shs_str *name, struct shs_str *value,
                        bool *quoted);

/*
 * Takes the backslashes off a quoted string: before a quote or a backslash only, since browsers of
 * old sent C:\dir\file as it is. `out` has room for s.len bytes; returns how many there are.
 */
size_t shs__unquote(struct shs_str s, char *out);

#endif
