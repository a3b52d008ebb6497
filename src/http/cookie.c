/*
 * cookie.c - the Cookie and Set-Cookie fields.
 */
#include <shs/cookie.h>

#include "base/chars.h"
#include "http/guard.h"
#include "http/mistake.h"

/* RFC 6265bis section 5.6: a browser ignores what is longer. */
#define MAX_PAIR 4096u
#define MAX_ATTRIBUTE 1024u
#define MAX_FIELD (MAX_PAIR + 2 * MAX_ATTRIBUTE + 256u)

/* -- Cookie ------------------------------------------------------------------------------------ */

/* The piece of the field at walk->pos, which is moved behind it. */
static bool take_pair(struct shs_str field, struct shs_cookie_walk *walk, struct shs_str *name,
                      struct shs_str *value)
{
    struct shs_str rest = {field.ptr + walk->pos, field.len - walk->pos};
    const char *semicolon = memchr(rest.ptr, ';', rest.len), *equals;

    if (semicolon != NULL)
        rest.len = (size_t)(semicolon - rest.ptr);
    walk->pos += rest.len + 1;
    equals = memchr(rest.ptr, '=', rest.len);
    if (equals == NULL)
        return false;
    *name = shs__trim((struct shs_str){rest.ptr, (size_t)(equals - rest.ptr)});
    *value = shs__trim((struct shs_str){equals + 1, (size_t)(rest.ptr + rest.len - (equals + 1))});
    return name->len > 0;
}

bool shs_request_next_cookie(const struct shs_request *req, struct shs_cookie_walk *walk,
                             struct shs_str *name, struct shs_str *value)
{
    while (walk->field < req->head.field_count) {
        const struct shs_field *field = &req->head.fields[walk->field];

        if (shs__str_eq_nocase(field->name, SHS_STR("Cookie"))) {
            while (walk->pos < field->value.len) {
                if (take_pair(field->value, walk, name, value))
                    return true;
            }
        }
        walk->field++;
        walk->pos = 0;
    }
    return false;
}

bool shs_request_cookie(const struct shs_request *req, const char *name, struct shs_str *value)
{
    struct shs_cookie_walk walk = {0, 0};
    struct shs_str found_name, found;

    while (shs_request_next_cookie(req, &walk, &found_name, &found)) {
        if (shs__str_eq(found_name, shs__str(name))) {
            *value = found;
            return true;
        }
    }
    return false;
}

/* -- Set-Cookie -------------------------------------------------------------------------------- */

void shs_cookie_init_sized(struct shs_cookie *cookie, size_t size, const char *name,
                           const char *value)
{
    const struct shs_cookie defaults = {
        .size = size,
        .name = name,
        .value = value,
        .path = "/",
        .max_age_s = -1,
        .secure = true,
        .http_only = true,
        .same_site = SHS_SAME_SITE_LAX,
    };

    shs__sized_init(cookie, size, &defaults, sizeof defaults);
}

/* cookie-octet of RFC 6265bis section 4.1.1 */
static bool is_value(struct shs_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c <= 0x20 || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '\\')
            return false;
    }
    return true;
}

static bool is_path(struct shs_str s)
{
    if (s.len == 0 || s.len > MAX_ATTRIBUTE || s.ptr[0] != '/')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c < 0x20 || c >= 0x7f || c == ';')
            return false;
    }
    return s.ptr[s.len - 1] != ' '; /* a browser would cut it off */
}

/* Letters, digits, "-" and dots between them. */
static bool is_domain(struct shs_str s)
{
    if (s.len == 0 || s.len > 253 || s.ptr[0] == '.' || s.ptr[s.len - 1] == '.')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = shs__lower((unsigned char)s.ptr[i]);

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' &&
            (c != '.' || s.ptr[i - 1] == '.'))
            return false;
    }
    return true;
}

/* Section 5.7: browsers compare the prefixes without case. */
static bool begins(struct shs_str s, struct shs_str prefix)
{
    return s.len >= prefix.len && shs__str_eq_nocase((struct shs_str){s.ptr, prefix.len}, prefix);
}

static bool is_valid(const struct shs_cookie *c)
{
    struct shs_str name = shs__str(c->name), value = shs__str(c->value);
    struct shs_str path = shs__str(c->path), domain = shs__str(c->domain);

    if (name.ptr == NULL || value.ptr == NULL || !shs_is_token(name) || !is_value(value))
        return false;
    if (name.len > MAX_PAIR || value.len > MAX_PAIR - name.len)
        return false;
    if ((path.ptr != NULL && !is_path(path)) || (domain.ptr != NULL && !is_domain(domain)))
        return false;
    if (c->max_age_s < -1 || (c->same_site == SHS_SAME_SITE_NONE && !c->secure))
        return false;
    if (begins(name, SHS_STR("__Secure-")) && !c->secure)
        return false;
    if (begins(name, SHS_STR("__Host-")))
        return c->secure && domain.ptr == NULL && path.ptr != NULL &&
               shs__str_eq(path, SHS_STR("/"));
    return true;
}

static const char *same_site_text(enum shs_same_site same_site)
{
    switch (same_site) {
    case SHS_SAME_SITE_LAX:
        return "Lax";
    case SHS_SAME_SITE_STRICT:
        return "Strict";
    case SHS_SAME_SITE_NONE:
        return "None";
    }
    return NULL;
}

static int put_cookie(struct shs_buf *field, const struct shs_cookie *c, const char *same_site)
{
    int rc = shs__buf_printf(field, "%s=%s", c->name, c->value);

    if (rc == SHS_OK && c->path != NULL)
        rc = shs__buf_printf(field, "; Path=%s", c->path);
    if (rc == SHS_OK && c->domain != NULL)
        rc = shs__buf_printf(field, "; Domain=%s", c->domain);
    if (rc == SHS_OK && c->max_age_s >= 0)
        rc = shs__buf_printf(field, "; Max-Age=%lld", (long long)c->max_age_s);
    if (rc == SHS_OK)
        rc = shs__buf_printf(field, "%s%s; SameSite=%s", c->secure ? "; Secure" : "",
                             c->http_only ? "; HttpOnly" : "", same_site);
    return rc;
}

int shs_send_cookie(struct shs_response *res, const struct shs_cookie *cookie)
{
    struct shs_cookie c;
    struct shs_buf field;
    const char *same_site;
    int rc;

    shs_cookie_init(&c, NULL, NULL);
    rc = shs__sized_copy(&c, sizeof c, cookie, "shs_cookie", NULL);
    if (rc != SHS_OK)
        return rc;
    same_site = same_site_text(c.same_site);
    if (same_site == NULL || !is_valid(&c))
        return shs__mistake(res->x, "shs_send_cookie",
                            "the name or the value is not allowed in a cookie");
    shs__buf_init(&field, MAX_FIELD);
    rc = put_cookie(&field, &c, same_site);
    if (rc == SHS_OK)
        rc = shs_send_header_str(res, "Set-Cookie",
                                 (struct shs_str){shs__buf_head(&field), field.len});
    shs__buf_free(&field);
    return rc;
}
