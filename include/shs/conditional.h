/*
 * shs/conditional.h - "only if it has changed", "only if it has not": entity tags in a handler.
 *
 * Concept
 *
 *   A thing that can change has a tag, its ETag: text in quotes that is another one when the thing
 *   is, as a version or a digest. Who has a copy asks with If-None-Match and gets 304 instead of
 *   the same again; who writes it back says If-Match, and gets 412 where somebody else was quicker,
 *   so that no change is lost:
 *
 *       bool go_on;
 *       snprintf(etag, sizeof etag, "\"%u\"", item->version);
 *       SHS_RETURN_IF_ERROR(shs_check_conditions(req, res, etag, SHS_TIME_UNKNOWN, &go_on));
 *       if (!go_on)
 *           return SHS_OK;
 *       SHS_RETURN_IF_ERROR(shs_response_stand(res, "ETag", etag));
 *       return shs_send_json(res, 200, ...);
 *
 *   In a PUT, PATCH or DELETE check and change belong under one lock: two that ask at once have
 *   the same tag.
 *
 * Follows: RFC 9110 sections 8.8 and 13. Owner thread only.
 */
#ifndef SHS_CONDITIONAL_H
#define SHS_CONDITIONAL_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

/* There is no such time, or nobody knows it. */
#define SHS_TIME_UNKNOWN INT64_MIN

/*
 * Looks at If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since, in the order of RFC
 * 9110 section 13.2.2. Where they do not hold it answers: 304 (GET and HEAD, with the ETag and
 * Last-Modified) or 412 as shs_send_page.
 *
 *   etag   of what there is now, with its quotes, "\"7\"" or "W/\"7\""; NULL = there is nothing:
 *          before a PUT that makes it, or a 404
 *   mtime  when it was changed, in seconds since 1970; SHS_TIME_UNKNOWN = its dates do not count
 *   go_on  true: they hold, or there are none. false: it is answered; return what this returned
 *
 * If-Match takes the weak form of a strong `etag`, too: that is what compression on the way makes
 * of it (shs_compress_middleware), and it is of the same version.
 *
 * Returns 0; SHS_USAGE for an etag that is none, or when an answer has begun; or as shs_send_page.
 */
SHS_API int shs_check_conditions(struct shs_request *req, struct shs_response *res,
                                 const char *etag, int64_t mtime, bool *go_on) SHS_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
