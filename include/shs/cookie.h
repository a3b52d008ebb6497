/*
 * shs/cookie.h - cookies: what the browser sends back, and how to set one that is safe.
 *
 * Concept
 *
 *   A cookie is a name and a value that a server gives (Set-Cookie) and a browser returns with each
 *   request (Cookie). What comes back may be anything: sign what must not be changed. What goes out
 *   begins here with the safe attributes (Secure, HttpOnly, SameSite=Lax, Path=/), and is refused
 *   when a browser would refuse it, or worse, read it as something else.
 *
 *       struct shs_cookie c;
 *       shs_cookie_init(&c, "__Host-session", token);
 *       c.max_age_s = 3600;
 *       SHS_RETURN_IF_ERROR(shs_send_cookie(res, &c));
 *
 * Follows: RFC 6265bis (draft-ietf-httpbis-rfc6265bis) sections 4.1, 5.6, 5.7. Owner thread only.
 */
#ifndef SHS_COOKIE_H
#define SHS_COOKIE_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The first cookie of the request with that name (case-sensitive), in the order they came, over all
 * Cookie fields: true and *value, or false. The value is as it came, quotes included; nothing is
 * decoded. Pieces without "=" are not cookies: a browser may send them for names it does not check.
 */
SHS_API bool shs_request_cookie(const struct shs_request *req, const char *name,
                                struct shs_str *value);

/* Walks over all cookies: zero it first. The members are the walk's own. */
struct shs_cookie_walk {
    size_t field;
    size_t pos;
};
SHS_API bool shs_request_next_cookie(const struct shs_request *req, struct shs_cookie_walk *walk,
                                     struct shs_str *name, struct shs_str *value);

enum shs_same_site {
    SHS_SAME_SITE_LAX,    /* sent for links from other sites, not for their forms and images */
    SHS_SAME_SITE_STRICT, /* sent for nothing that another site started */
    SHS_SAME_SITE_NONE    /* sent always; needs secure */
};

struct shs_cookie {
    size_t size;        /* set by shs_cookie_init */
    const char *name;   /* a token */
    const char *value;  /* no control characters, spaces, quotes, commas, semicolons, backslashes */
    const char *path;   /* "/"; NULL = the directory of the request's path */
    const char *domain; /* NULL = this host only, which is safest; or "example.com" */
    int64_t max_age_s;  /* -1 = until the browser ends; 0 = delete it now */
    bool secure;        /* true: over TLS only */
    bool http_only;     /* true: not for scripts */
    enum shs_same_site same_site; /* SHS_SAME_SITE_LAX */
};

/* Fills *cookie with the defaults above; name and value are borrowed until it is sent. */
SHS_API void shs_cookie_init_sized(struct shs_cookie *cookie, size_t size, const char *name,
                                   const char *value);
#define shs_cookie_init(cookie, name, value)                                                       \
    shs_cookie_init_sized((cookie), sizeof *(cookie), (name), (value))

/*
 * Adds a Set-Cookie field to the answer, between shs_send_response and shs_end_headers.
 *
 * SHS_USAGE for bytes that may not be there, more than 4096 of them, SameSite=None without Secure,
 * a "__Secure-" name without Secure, a "__Host-" name without Secure and Path=/ or with a domain;
 * otherwise as shs_send_header.
 */
SHS_API int shs_send_cookie(struct shs_response *res,
                            const struct shs_cookie *cookie) SHS_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
