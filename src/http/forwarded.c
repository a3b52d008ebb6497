#include "http/forwarded.h"

#include "base/chars.h"
#include "base/text.h"
#include "http/target.h"

static const struct {
    struct shs_str name;
    unsigned field;
} names[] = {
    {{"X-Forwarded-For", 15}, SHS_FORWARDED_FOR},
    {{"X-Forwarded-Proto", 17}, SHS_FORWARDED_PROTO},
    {{"X-Forwarded-Host", 16}, SHS_FORWARDED_HOST},
    {{"X-Forwarded-Client-Cert", 23}, SHS_FORWARDED_CERT},
    {{"Forwarded", 9}, SHS_FORWARDED_RFC7239},
    {{"X-Real-IP", 9}, SHS_FORWARDED_REAL_IP},
};

/* Few requests have it: it takes no room in the others. */
static const char slot_key;

const struct shs__forwarded *shs__forwarded_of(const struct shs_request *req)
{
    return req->slots == NULL ? NULL : shs_request_slot(req, &slot_key);
}

/* SHS_FORWARDED_..., or 0. */
static unsigned field_of(struct shs_str name)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(names); i++) {
        if (shs__str_eq_nocase(name, names[i].name))
            return names[i].field;
    }
    return 0;
}

bool shs__is_forwarded_name(struct shs_str name)
{
    static const struct shs_str prefix = {"X-Forwarded-", 12};

    if (name.len > prefix.len && shs__str_eq_nocase((struct shs_str){name.ptr, prefix.len}, prefix))
        return true;
    return field_of(name) != 0;
}

void shs__forwarded_delete(struct shs_head *head, unsigned keep)
{
    size_t kept = 0;

    for (size_t i = 0; i < head->field_count; i++) {
        struct shs_field field = head->fields[i];

        if (!shs__is_forwarded_name(field.name) || (field_of(field.name) & keep) != 0)
            head->fields[kept++] = field;
    }
    head->field_count = kept;
}

/* -- lists ------------------------------------------------------------------------------------- */

struct hop {
    struct shs_str node, proto, host; /* ptr NULL: not there */
};

/* The last ones of a list that may be long. */
struct hops {
    struct hop items[SHS_FORWARDED_HOPS];
    size_t count; /* of all that there were */
};

static struct hop *add_hop(struct hops *hops)
{
    struct hop *hop = &hops->items[hops->count++ % SHS_FORWARDED_HOPS];

    *hop = (struct hop){{NULL, 0}, {NULL, 0}, {NULL, 0}};
    return hop;
}

static size_t hops_kept(const struct hops *hops)
{
    return hops->count < SHS_FORWARDED_HOPS ? hops->count : SHS_FORWARDED_HOPS;
}

/* The n-th from the right; n < hops_kept. */
static const struct hop *hop_from_right(const struct hops *hops, size_t n)
{
    return &hops->items[(hops->count - 1 - n) % SHS_FORWARDED_HOPS];
}

/* All fields of that name are one list (RFC 9110, 5.3); empty elements are none. */
static void read_list(const struct shs_head *head, const char *name, struct hops *out)
{
    for (size_t i = 0; i < head->field_count; i++) {
        struct shs_str left = head->fields[i].value;

        if (!shs__str_eq_nocase(head->fields[i].name, shs__str(name)))
            continue;
        for (;;) {
            const char *comma = left.len == 0 ? NULL : memchr(left.ptr, ',', left.len);
            size_t len = comma == NULL ? left.len : (size_t)(comma - left.ptr);
            struct shs_str item = shs__trim((struct shs_str){left.ptr, len});

            if (item.len > 0)
                add_hop(out)->node = item;
            if (comma == NULL)
                break;
            left.ptr += len + 1;
            left.len -= len + 1;
        }
    }
}

/* -- pairs, of Forwarded and of X-Forwarded-Client-Cert ---------------------------------------- */

struct cursor {
    const char *p, *end;
};

static void skip_blanks(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
        c->p++;
}

/* Up to one of `ends`, or what stands in quotes. A backslash within them is refused: what it hides
   would have to be written again, and nobody sends it. */
static bool read_value(struct cursor *c, const char *ends, struct shs_str *out)
{
    const char *begin = c->p, *quote;

    if (c->p < c->end && *c->p == '"') {
        quote = memchr(begin + 1, '"', (size_t)(c->end - begin - 1));
        if (quote == NULL || memchr(begin, '\\', (size_t)(quote - begin)) != NULL)
            return false;
        *out = (struct shs_str){begin + 1, (size_t)(quote - begin - 1)};
        c->p = quote + 1;
        return true;
    }
    while (c->p < c->end && *c->p != '"' && strchr(ends, *c->p) == NULL)
        c->p++;
    *out = (struct shs_str){begin, (size_t)(c->p - begin)};
    return true;
}

/* name=value; *more: ';' follows, the same element goes on. */
static bool read_pair(struct cursor *c, const char *ends, struct shs_str *name,
                      struct shs_str *value, bool *more)
{
    const char *equals;

    skip_blanks(c);
    equals = memchr(c->p, '=', (size_t)(c->end - c->p));
    if (equals == NULL)
        return false;
    *name = (struct shs_str){c->p, (size_t)(equals - c->p)};
    c->p = equals + 1;
    if (!shs_is_token(*name) || !read_value(c, ends, value))
        return false;
    skip_blanks(c);
    *more = c->p < c->end && *c->p == ';';
    if (c->p < c->end && *c->p != ';' && *c->p != ',')
        return false;
    c->p += c->p < c->end ? 1 : 0;
    return true;
}

static bool set_once(struct shs_str *to, struct shs_str value)
{
    bool first = to->ptr == NULL;

    *to = value;
    return first;
}

/* RFC 7239, 4. */
static bool read_forwarded_value(struct shs_str text, struct hops *out)
{
    struct cursor c = {text.ptr, text.ptr + text.len};

    for (skip_blanks(&c); c.p < c.end; skip_blanks(&c)) {
        struct hop *hop;
        bool more = true;

        if (*c.p == ',') { /* an empty element */
            c.p++;
            continue;
        }
        hop = add_hop(out);
        while (more) {
            struct shs_str name, value;
            bool ok;

            if (!read_pair(&c, " \t;,", &name, &value, &more))
                return false;
            if (shs__str_eq_nocase(name, SHS_STR("for")))
                ok = set_once(&hop->node, value);
            else if (shs__str_eq_nocase(name, SHS_STR("proto")))
                ok = set_once(&hop->proto, value);
            else if (shs__str_eq_nocase(name, SHS_STR("host")))
                ok = set_once(&hop->host, value);
            else
                ok = true;
            if (!ok)
                return false;
        }
    }
    return true;
}

static bool read_forwarded(const struct shs_head *head, struct hops *out)
{
    for (size_t i = 0; i < head->field_count; i++) {
        if (shs__str_eq_nocase(head->fields[i].name, SHS_STR("Forwarded")) &&
            !read_forwarded_value(head->fields[i].value, out))
            return false;
    }
    return true;
}

static bool read_cert_pair(struct shs_forwarded_cert *cert, struct shs_str name,
                           struct shs_str value)
{
    if (shs__str_eq_nocase(name, SHS_STR("By")))
        return set_once(&cert->by, value) || value.len > 0; /* a proxy may have several */
    if (shs__str_eq_nocase(name, SHS_STR("Hash")))
        return set_once(&cert->hash, value);
    if (shs__str_eq_nocase(name, SHS_STR("Subject")))
        return set_once(&cert->subject, value);
    if (shs__str_eq_nocase(name, SHS_STR("URI")) && cert->uri_count++ == 0)
        cert->uri = value;
    if (shs__str_eq_nocase(name, SHS_STR("DNS")) && cert->dns_count++ == 0)
        cert->dns = value;
    return true;
}

/* The last element counts: the peer itself has added it. */
static bool read_cert(const struct shs_head *head, struct shs__forwarded *said)
{
    for (size_t i = 0; i < head->field_count; i++) {
        struct shs_str text = head->fields[i].value;
        struct cursor c = {text.ptr, text.ptr + text.len};

        if (!shs__str_eq_nocase(head->fields[i].name, SHS_STR("X-Forwarded-Client-Cert")))
            continue;
        for (skip_blanks(&c); c.p < c.end; skip_blanks(&c)) {
            struct shs_forwarded_cert cert = {.uri_count = 0};
            struct shs_str name, value;
            bool more = true;

            while (more) {
                if (!read_pair(&c, ";,", &name, &value, &more) ||
                    !read_cert_pair(&cert, name, value))
                    return false;
            }
            said->cert = cert;
            said->has_cert = true;
        }
    }
    return true;
}

/* -- who it is --------------------------------------------------------------------------------- */

/* "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:80", "2001:db8::1". An obfuscated port is none. */
static bool read_node(struct shs_str node, struct shs__address *address, unsigned *port)
{
    struct shs_str host = node, rest = {NULL, 0};
    const char *end;

    *port = 0;
    if (node.len == 0)
        return false;
    if (node.ptr[0] == '[') {
        end = memchr(node.ptr, ']', node.len);
        if (end == NULL)
            return false;
        host = (struct shs_str){node.ptr + 1, (size_t)(end - node.ptr - 1)};
        rest = (struct shs_str){end + 1, node.len - host.len - 2};
        if (memchr(host.ptr, ':', host.len) == NULL)
            return false;
    } else {
        end = memchr(node.ptr, ':', node.len);
        if (end != NULL && memchr(end + 1, ':', node.len - (size_t)(end + 1 - node.ptr)) == NULL) {
            host.len = (size_t)(end - node.ptr);
            rest = (struct shs_str){end, node.len - host.len};
        }
    }
    if (rest.len > 0 && (rest.ptr[0] != ':' || rest.len == 1))
        return false;
    if (rest.len > 1 && rest.ptr[1] != '_' &&
        !shs__read_port((struct shs_str){rest.ptr + 1, rest.len - 1}, port))
        return false;
    return shs__address_read(address, host);
}

/* "unknown", "_gazonk" with or without a port: RFC 7239, 6.2 and 6.3. */
static bool is_name(struct shs_str node)
{
    if (shs__str_eq_nocase(node, SHS_STR("unknown")))
        return true;
    if (node.len < 2 || node.ptr[0] != '_' || node.len > 256)
        return false;
    for (size_t i = 1; i < node.len; i++) {
        char c = node.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-' || c == ':'))
            return false;
    }
    return true;
}

static const char *keep(struct shs_request *req, struct shs_str text)
{
    char *copy = shs__arena_alloc(&req->x->arena, text.len + 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return copy;
}

struct walk {
    bool (*trusted)(const void *ctx, const struct shs__address *address);
    const void *ctx;
    struct shs_request *req;
};

/*
 * From the right, past trusted proxies. *place is the number from the right of the entry that is
 * the client's, SIZE_MAX: there is none.
 */
static int find_client(const struct walk *walk, const struct hops *hops,
                       struct shs__forwarded *said, size_t *place)
{
    char text[SHS_ADDRESS_TEXT_MAX] = "";
    struct shs_str name = {NULL, 0};

    *place = SIZE_MAX;
    for (size_t n = 0; n < hops_kept(hops); n++) {
        const struct hop *hop = hop_from_right(hops, n);
        struct shs__address address;
        unsigned port;

        if (read_node(hop->node, &address, &port)) {
            shs__address_text(&address, text);
            name = shs__str(text);
            said->port = port;
            *place = n;
            if (walk->trusted(walk->ctx, &address))
                continue;
        } else if (is_name(hop->node)) {
            name = hop->node;
            said->port = 0;
            *place = n;
        } else if (hop->node.ptr == NULL) {
            *place = n; /* it says other things of who asked it */
        }
        break;
    }
    if (name.ptr == NULL)
        return SHS_OK;
    said->client = keep(walk->req, name);
    return said->client == NULL ? SHS_NOMEM : SHS_OK;
}

/* The value that belongs to the client's entry, if there are as many as those; else the last. */
static struct shs_str value_at(const struct hops *values, size_t hop_count, size_t place)
{
    size_t n = values->count == hop_count && place != SIZE_MAX ? place : 0;

    return n < hops_kept(values) ? hop_from_right(values, n)->node : (struct shs_str){NULL, 0};
}

static void take_scheme(struct shs__forwarded *said, struct shs_str text)
{
    if (text.ptr != NULL && shs__str_eq_nocase(text, SHS_STR("https")))
        said->scheme = SHS_STR("https");
    else if (text.ptr != NULL && shs__str_eq_nocase(text, SHS_STR("http")))
        said->scheme = SHS_STR("http");
}

static void take_host(struct shs__forwarded *said, struct shs_str text)
{
    if (text.ptr != NULL && text.len > 0 && shs__is_host(text))
        said->host = text;
}

static void take_x_values(const struct shs_head *head, unsigned fields, size_t hop_count,
                          size_t place, struct shs__forwarded *said)
{
    struct hops values;

    values.count = 0;
    if ((fields & SHS_FORWARDED_PROTO) != 0) {
        read_list(head, "X-Forwarded-Proto", &values);
        take_scheme(said, value_at(&values, hop_count, place));
    }
    values.count = 0;
    if ((fields & SHS_FORWARDED_HOST) != 0) {
        read_list(head, "X-Forwarded-Host", &values);
        take_host(said, value_at(&values, hop_count, place));
    }
}

int shs__forwarded_read(struct shs_request *req, unsigned fields,
                        bool (*trusted)(const void *ctx, const struct shs__address *address),
                        const void *ctx, const char **why)
{
    struct shs__forwarded *said = shs__arena_alloc(&req->x->arena, sizeof *said);
    struct walk walk = {trusted, ctx, req};
    struct hops hops;
    size_t place;
    int rc;

    if (said == NULL)
        return SHS_NOMEM;
    memset(said, 0, sizeof *said);
    hops.count = 0;
    *why = "The Forwarded field cannot be read.";
    if ((fields & SHS_FORWARDED_RFC7239) != 0 && !read_forwarded(&req->head, &hops))
        return SHS_PROTO;
    if ((fields & SHS_FORWARDED_FOR) != 0)
        read_list(&req->head, "X-Forwarded-For", &hops);
    if ((fields & SHS_FORWARDED_REAL_IP) != 0)
        read_list(&req->head, "X-Real-IP", &hops);
    rc = find_client(&walk, &hops, said, &place);
    if (rc != SHS_OK)
        return rc;
    if ((fields & SHS_FORWARDED_RFC7239) != 0 && place != SIZE_MAX) {
        take_scheme(said, hop_from_right(&hops, place)->proto);
        take_host(said, hop_from_right(&hops, place)->host);
    }
    take_x_values(&req->head, fields, hops.count, place, said);
    *why = "The X-Forwarded-Client-Cert field cannot be read.";
    if ((fields & SHS_FORWARDED_CERT) != 0 && !read_cert(&req->head, said))
        return SHS_PROTO;
    return shs_request_set_slot(req, &slot_key, said);
}
