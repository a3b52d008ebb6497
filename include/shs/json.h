/*
 * shs/json.h - JSON in and out, by jansson; problem details.
 *
 * Concept
 *
 *   A value is a json_t of jansson: a program that makes or reads one includes <jansson.h> itself
 *   and links with it; this header does not need it. What is here is what lies between a value
 *   and HTTP:
 *
 *       static int create_item(struct shs_request *req, struct shs_response *res)
 *       {
 *           json_t *item;
 *           const char *name;
 *
 *           SHS_RETURN_IF_ERROR(shs_request_json(req, NULL, &item));
 *           if (json_unpack(item, "{s:s}", "name", &name) != 0)
 *               return shs_send_problem(res, 422, "An item has a name.");
 *           return shs_send_json(res, 201, json_pack("{s:i, s:s}", "id", 7, "name", name));
 *       }
 *
 *   A library that was built without jansson has these functions too: each returns SHS_USAGE, with
 *   a line in the log (shs_json_available tells it before).
 *
 * Follows: RFC 8259, RFC 9457. Duplicate keys are refused: two readers of one message would see
 * two different ones (RFC 8259 section 4).
 */
#ifndef SHS_JSON_H
#define SHS_JSON_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

struct json_t; /* jansson's */

struct shs_json_limits {
    size_t size;        /* set by shs_json_limits_init */
    size_t max_bytes;   /* of the body; more is 413. 1 MiB */
    unsigned max_depth; /* arrays and objects within one another; more is 400. 32; at most 512 */
};

SHS_API void shs_json_limits_init_sized(struct shs_json_limits *limits, size_t size);
#define shs_json_limits_init(limits) shs_json_limits_init_sized((limits), sizeof *(limits))

/* Was the library built with jansson? */
SHS_API bool shs_json_available(void);

/*
 * The body as a JSON value.
 *
 *   limits  NULL = the defaults above
 *   out     borrowed from the request, until it ends; json_incref keeps it longer
 *
 * Returns 0; or what a handler returns to have the client told: SHS_PROTO, and 415 when the
 * Content-Type is neither application/json nor .../...+json, 400 for what is not JSON, has a key
 * twice, or is nested too deeply, with line and column; SHS_LIMIT and 413 when it is too long;
 * SHS_NOMEM; or as shs_request_body.
 */
SHS_API int shs_request_json(struct shs_request *req, const struct shs_json_limits *limits,
                             struct json_t **out) SHS_MUST_CHECK;

/*
 * A whole answer: this status, and the value as application/json; further fields (an ETag, a
 * Location) by shs_response_stand before it. Takes the reference, also on an error; NULL is
 * SHS_NOMEM with a line in the log, so that what json_pack returned can be handed in. SHS_LIMIT
 * beyond 64 MiB: stream it.
 */
SHS_API int shs_send_json(struct shs_response *res, int status,
                          struct json_t *value) SHS_MUST_CHECK;

/* The same for text that is JSON already, of a database for one; it is not looked at. Needs no
   jansson. SHS_USAGE for {NULL, 0}. */
SHS_API int shs_send_json_text(struct shs_response *res, int status,
                               struct shs_str json) SHS_MUST_CHECK;

/*
 * shs_send_problem (http.h) with members of one's own: {"type", "title", "status", "detail"}, and
 * those of `members`, an object, which may replace the first two. Takes the reference; NULL is
 * SHS_NOMEM, and what is not an object SHS_USAGE, with a line in the log. What is not UTF-8 in
 * `detail` becomes U+FFFD. The connection lives on.
 */
SHS_API int shs_send_problem_json(struct shs_response *res, int status, const char *detail,
                                  struct json_t *members) SHS_MUST_CHECK;

/*
 * An array that is longer than memory: begin, a value at a time, end. What is written leaves when
 * it outgrows opt.max_buffered_response. A failure is kept: the later calls return it too.
 *
 *   add  takes the reference, also on an error; NULL is SHS_NOMEM
 *
 * The answer is an array only when end has returned 0: return what it returned.
 */
struct shs_json_array {
    struct shs_response *res; /* private, as the others */
    size_t count;
    int rc;
    size_t held_len; /* of held: values leave together, not each by itself */
    char held[4096];
};
SHS_API int shs_json_array_begin(struct shs_json_array *self, struct shs_response *res,
                                 int status) SHS_MUST_CHECK;
SHS_API int shs_json_array_add(struct shs_json_array *self, struct json_t *value);
SHS_API int shs_json_array_end(struct shs_json_array *self) SHS_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
