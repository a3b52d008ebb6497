/*
 * shs/middleware.h - handlers that stand in front of another handler.
 *
 * Concept
 *
 *   A struct shs_http_handler answers; one of these looks at the request first and then lets the
 *   next one answer, or does not. They are put together from the inside to the outside:
 *
 *       shs_static_files_new(&files, &opt, &err);
 *       shs_basic_auth_new(&auth, shs_static_files_handler(files), "users", "files", &err);
 *       shs_cors_new(&cors, shs_basic_auth_handler(auth), "https://app.example", &err);
 *       shs_http_server_new(&server, &options, shs_cors_handler(cors), &err);
 *
 *   A table is copied where it is given; what stands behind its ctx is borrowed. So is everything
 *   here: free it after the server, from the outside to the inside.
 *
 * Follows: RFC 7617 (Basic), the Fetch standard (CORS protocol), crypt(5).
 */
#ifndef SHS_MIDDLEWARE_H
#define SHS_MIDDLEWARE_H

#include <shs/chain.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_cors;

/*
 * Lets pages of other origins read the answers: Access-Control-Allow-Origin on all of them, and
 * answers to the preflight questions of browsers.
 *
 *   next    copied; its ctx borrowed
 *   origin  "*", or one origin as a browser writes it: "https://app.example:8443"; copied
 *
 * Returns 0, SHS_USAGE (an origin that is none), SHS_NOMEM.
 */
SHS_API int shs_cors_new(struct shs_cors **out, const struct shs_http_handler *next,
                         const char *origin, struct shs_error *err) SHS_MUST_CHECK;
/*
 * Only pages of these origins may ask with other methods than GET and HEAD; they may read, too.
 * Until it is called, whoever may read may ask with any method that the handler has.
 *
 *   origins  NULL-terminated, copied; NULL or empty: nobody
 *
 * Before the server serves. Returns 0, SHS_USAGE (an origin that is none, "*" too), SHS_NOMEM.
 */
SHS_API int shs_cors_set_writers(struct shs_cors *self, const char *const *origins,
                                 struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_cors_free(struct shs_cors *self); /* NULL is fine */
SHS_API const struct shs_http_handler *shs_cors_handler(const struct shs_cors *self);

struct shs_basic_auth;

/*
 * Asks for a user's name and password before anything is answered: 401 without, or with a wrong
 * one. Only behind TLS are passwords secret on their way.
 *
 *   next   copied; its ctx borrowed
 *   file   lines of "user:hash", read once; "#" begins a comment. Hashes are those of crypt(5) that
 *          are slow on purpose: yescrypt ($y$), bcrypt ($2b$), SHA-512 ($6$), SHA-256 ($5$), as
 *          mkpasswd(1) or htpasswd -B make them
 *   realm  shown by browsers; copied
 *
 * A password that was right is known again until it was not used for a minute (and verified again
 * after an hour), so that who is active pays once. Equal ones that come at the same time are
 * verified once. Two verifications run at a time; the others wait, for at most ten seconds, up to
 * 64 of them and 16 of one address; beyond it 503 with Retry-After. An address that guessed wrong
 * waits behind those that did not, and never has both: a flood of guesses hurts whoever sends it.
 *
 * Returns 0, SHS_IO (the file cannot be read), SHS_USAGE (a line that is none, with its number, or
 * no user at all; or a library built without libcrypt), SHS_NOMEM.
 */
SHS_API int shs_basic_auth_new(struct shs_basic_auth **out, const struct shs_http_handler *next,
                               const char *file, const char *realm,
                               struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_basic_auth_free(struct shs_basic_auth *self); /* NULL is fine */
SHS_API const struct shs_http_handler *shs_basic_auth_handler(const struct shs_basic_auth *self);
/* For a chain; `next` is NULL then. So it is with every other one that has both. */
SHS_API const struct shs_middleware *shs_basic_auth_middleware(const struct shs_basic_auth *self);

#ifdef __cplusplus
}
#endif

#endif
