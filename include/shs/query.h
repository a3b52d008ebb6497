/*
 * shs/query.h - the parameters of a query and of a form: "name=value&name=value".
 *
 * Concept
 *
 *   A browser writes the fields of a form as application/x-www-form-urlencoded: in the query of a
 *   GET, in the body of a POST. Here they become a list of names and values, in their order, with
 *   the same name as often as it came. Each is decoded exactly once: "+" is a space, "%2B" is "+",
 *   "%252B" is "%2B". The bytes are what the client sent, usually UTF-8; nothing checks that.
 *
 *       struct shs_str who;
 *       SHS_RETURN_IF_ERROR(shs_request_query_param(req, "who", &who));
 *       if (who.ptr == NULL)
 *           return shs_send_error(res, 400, "Say who: ?who=...");
 *
 * What is refused
 *
 *   A "%" without two hex digits, and a NUL, raw or as %00: 400. More than 1000 parameters: 413. A
 *   handler that returns the code has that answered. Empty pieces ("a=1&&b=2") are skipped; a piece
 *   without "=" is a name with an empty value; only "&" separates.
 *
 * Follows: URL Standard section 5.1 (application/x-www-form-urlencoded), strict about "%".
 */
#ifndef SHS_QUERY_H
#define SHS_QUERY_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Parameters of one query or form; more are SHS_LIMIT. */
#define SHS_MAX_PARAMS 1000

struct shs_param {
    struct shs_str name, value; /* decoded; never with ptr NULL, perhaps empty */
};

/* In the order they came. Memory of the request's. */
struct shs_params {
    const struct shs_param *at;
    size_t count;
};

/*
 * The value of the nth parameter (from 0) with this name, case-sensitive; ptr is NULL when there is
 * none. For a list box: n = 0, 1, 2 ... until ptr is NULL.
 */
SHS_API struct shs_str shs_params_get(const struct shs_params *params, const char *name, size_t n);

/*
 * All parameters of the query; none when there is no query. Decoded at the first call.
 * Returns 0, SHS_PROTO, SHS_LIMIT, SHS_NOMEM. Owner thread only, as all of this header.
 */
SHS_API int shs_request_query_params(struct shs_request *req,
                                     struct shs_params *out) SHS_MUST_CHECK;

/* The first one with that name; out->ptr is NULL when there is none. */
SHS_API int shs_request_query_param(struct shs_request *req, const char *name,
                                    struct shs_str *out) SHS_MUST_CHECK;

/*
 * The first one with that name as a number: digits only, at most max. *out stays as it was when
 * there is none. SHS_PROTO for anything else: 400 with the name and the bound, for a handler that
 * returns it; or as above.
 */
SHS_API int shs_request_query_number(struct shs_request *req, const char *name, uint64_t max,
                                     uint64_t *out) SHS_MUST_CHECK;

/*
 * All fields of a form in the body, which is read here, up to `max` bytes. No body is no fields.
 *
 * Returns 0; SHS_PROTO when the Content-Type is another (415 for a handler that returns it) or the
 * form is malformed (400); SHS_LIMIT beyond `max` or 1000 fields (413); otherwise as
 * shs_request_body. For uploads see multipart.h.
 */
SHS_API int shs_request_form(struct shs_request *req, size_t max,
                             struct shs_params *out) SHS_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
