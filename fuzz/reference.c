/*
 * reference.c - a slow reader of requests, written from the grammar.
 *
 * Functions are named after the rules of the RFCs and stand in the order of their sections. A
 * predicate answers for a whole text; nothing is skipped and come back to.
 */
#include "reference.h"

#include <string.h>

/* -- RFC 5234 appendix B, RFC 9110 section 5.6 ------------------------------------------------- */

static bool is_ALPHA(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_DIGIT(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_HEXDIG(char c)
{
    return is_DIGIT(c) || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

static bool is_VCHAR(char c)
{
    return c >= 0x21 && c <= 0x7e;
}

static bool is_obs_text(char c)
{
    return (unsigned char)c >= 0x80;
}

static bool is_blank(char c) /* of OWS, BWS */
{
    return c == ' ' || c == '\t';
}

static bool is_in(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static bool is_tchar(char c)
{
    return is_ALPHA(c) || is_DIGIT(c) || is_in(c, "!#$%&'*+-.^_`|~");
}

static bool is_field_char(char c) /* field-vchar, and what may stand between two of them */
{
    return is_VCHAR(c) || is_obs_text(c) || is_blank(c);
}

/* -- texts ------------------------------------------------------------------------------------- */

static struct ref_text part(struct ref_text s, size_t from, size_t to)
{
    return (struct ref_text){s.at + from, to - from};
}

/* Where this character is for the first time, or the length. */
static size_t find(struct ref_text s, char wanted)
{
    size_t i = 0;

    while (i < s.len && s.at[i] != wanted)
        i++;
    return i;
}

static bool all(struct ref_text s, bool (*is_one)(char c))
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_one(s.at[i]))
            return false;
    }
    return true;
}

static bool is_token(struct ref_text s)
{
    return s.len > 0 && all(s, is_tchar);
}

static char small(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool equals(struct ref_text s, const char *wanted)
{
    return s.len == strlen(wanted) && memcmp(s.at, wanted, s.len) == 0;
}

/* `wanted` in small letters. */
static bool equals_any_case(struct ref_text s, const char *wanted)
{
    if (s.len != strlen(wanted))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (small(s.at[i]) != wanted[i])
            return false;
    }
    return true;
}

static struct ref_text trim(struct ref_text s)
{
    while (s.len > 0 && is_blank(s.at[0]))
        s = part(s, 1, s.len);
    while (s.len > 0 && is_blank(s.at[s.len - 1]))
        s = part(s, 0, s.len - 1);
    return s;
}

/* -- RFC 3986 ---------------------------------------------------------------------------------- */

static bool is_unreserved(char c)
{
    return is_ALPHA(c) || is_DIGIT(c) || is_in(c, "-._~");
}

/* House: browsers and fetch() send some characters as they are, and so they may come. */
static bool is_path_char(char c) /* pchar without pct-encoded, and "/" */
{
    return is_unreserved(c) || is_in(c, "!$&'()*+,;=") || is_in(c, ":@") || c == '/' ||
           is_in(c, "[]{}|^`\"");
}

/* House: in a query a "%" may be only that, and the backslash is no "/". */
static bool is_query_char(char c)
{
    return is_path_char(c) || is_in(c, "?\\%");
}

/* Characters of the set, and "%" HEXDIG HEXDIG. */
static bool is_encoded(struct ref_text s, bool (*is_one)(char c))
{
    size_t i = 0;

    while (i < s.len) {
        if (s.at[i] == '%') {
            if (i + 2 >= s.len || !is_HEXDIG(s.at[i + 1]) || !is_HEXDIG(s.at[i + 2]))
                return false;
            i += 3;
        } else if (is_one(s.at[i])) {
            i++;
        } else {
            return false;
        }
    }
    return true;
}

static bool is_dec_octet(struct ref_text s) /* 0 to 255, without leading zeros */
{
    unsigned value = 0;

    if (s.len == 0 || s.len > 3 || !all(s, is_DIGIT) || (s.len > 1 && s.at[0] == '0'))
        return false;
    for (size_t i = 0; i < s.len; i++)
        value = value * 10 + (unsigned)(s.at[i] - '0');
    return value <= 255;
}

static bool is_IPv4address(struct ref_text s)
{
    for (int octet = 0; octet < 3; octet++) {
        size_t dot = find(s, '.');

        if (dot == s.len || !is_dec_octet(part(s, 0, dot)))
            return false;
        s = part(s, dot + 1, s.len);
    }
    return is_dec_octet(s);
}

/*
 * How many of the eight groups this is: h16 separated by ":", the last two perhaps as an IPv4
 * address if this is the end. -1: it is no such thing. Empty: 0.
 */
static int groups(struct ref_text s, bool at_the_end)
{
    int count = 0;

    if (s.len == 0)
        return 0;
    for (;;) {
        size_t colon = find(s, ':');
        struct ref_text group = part(s, 0, colon);

        if (colon == s.len && at_the_end && is_IPv4address(group))
            return count + 2;
        if (group.len < 1 || group.len > 4 || !all(group, is_HEXDIG))
            return -1;
        count++;
        if (colon == s.len)
            return count;
        s = part(s, colon + 1, s.len);
    }
}

static bool is_IPv6address(struct ref_text s)
{
    int before, after;

    for (size_t i = 0; i + 1 < s.len; i++) {
        if (s.at[i] != ':' || s.at[i + 1] != ':')
            continue;
        before = groups(part(s, 0, i), false);
        after = groups(part(s, i + 2, s.len), true);
        return before >= 0 && after >= 0 && before + after <= 7; /* "::" is one group at least */
    }
    return groups(s, true) == 8;
}

/* House: a port has five digits at most, and is at most 65535. It may be empty. */
static bool is_port(struct ref_text s)
{
    unsigned long value = 0;

    if (s.len > 5 || !all(s, is_DIGIT))
        return false;
    for (size_t i = 0; i < s.len; i++)
        value = value * 10 + (unsigned long)(s.at[i] - '0');
    return value <= 65535;
}

/* House: a host is of unreserved characters, or an IPv6 address in brackets; never empty. */
static bool is_host(struct ref_text s)
{
    if (s.len >= 2 && s.at[0] == '[' && s.at[s.len - 1] == ']')
        return is_IPv6address(part(s, 1, s.len - 1));
    return s.len > 0 && all(s, is_unreserved);
}

/* uri-host [ ":" port ] */
static bool is_host_and_port(struct ref_text s)
{
    size_t colon = s.len;

    for (size_t i = 0; i < s.len; i++) { /* the last colon behind a bracket */
        if (s.at[i] == ':')
            colon = i;
        if (s.at[i] == ']')
            colon = s.len;
    }
    if (colon == s.len)
        return is_host(s);
    return is_host(part(s, 0, colon)) && is_port(part(s, colon + 1, s.len));
}

/* -- RFC 9112 section 3: the request line ------------------------------------------------------ */

/* [ path ] [ "?" query ]; the path begins with "/" if it is there. */
static bool read_path(struct ref_request *r, struct ref_text s)
{
    size_t mark = find(s, '?');

    r->path = part(s, 0, mark);
    if (!is_encoded(r->path, is_path_char) || (r->path.len > 0 && r->path.at[0] != '/'))
        return false;
    /* House: a run of "/" in front is read as one. */
    while (r->path.len > 1 && r->path.at[0] == '/' && r->path.at[1] == '/')
        r->path = part(r->path, 1, r->path.len);
    r->has_query = mark < s.len;
    if (r->has_query)
        r->query = part(s, mark + 1, s.len);
    return !r->has_query || all(r->query, is_query_char);
}

static bool read_absolute_form(struct ref_request *r)
{
    struct ref_text s = r->target;
    size_t end, colon = find(s, ':');

    if (!equals_any_case(part(s, 0, colon), "http") && !equals_any_case(part(s, 0, colon), "https"))
        return false;
    if (s.len < colon + 3 || s.at[colon + 1] != '/' || s.at[colon + 2] != '/')
        return false;
    s = part(s, colon + 3, s.len);
    end = 0;
    while (end < s.len && !is_in(s.at[end], "/?#"))
        end++;
    r->host = part(s, 0, end);
    if (!is_host_and_port(r->host) || !read_path(r, part(s, end, s.len)))
        return false;
    if (r->path.len == 0 && !r->has_query && equals(r->method, "OPTIONS"))
        r->path = (struct ref_text){"*", 1}; /* RFC 9112 section 3.2.4 */
    else if (r->path.len == 0)
        r->path = (struct ref_text){"/", 1}; /* RFC 9110 section 4.2.3 */
    return true;
}

static bool read_target(struct ref_request *r, bool *absolute)
{
    *absolute = false;
    if (r->target.len == 0)
        return false;
    if (r->target.at[0] == '/')
        return read_path(r, r->target);
    if (equals(r->target, "*")) {
        r->path = r->target;
        return equals(r->method, "OPTIONS");
    }
    *absolute = true;
    return read_absolute_form(r); /* House: no authority-form, see CONNECT */
}

/* method SP request-target SP HTTP-version */
static bool read_request_line(struct ref_request *r, struct ref_text line, bool *absolute)
{
    size_t space = find(line, ' ');
    struct ref_text rest;

    if (space == line.len)
        return false;
    r->method = part(line, 0, space);
    rest = part(line, space + 1, line.len);
    space = find(rest, ' ');
    if (space == rest.len)
        return false; /* House: no HTTP/0.9 */
    r->target = part(rest, 0, space);
    rest = part(rest, space + 1, rest.len);
    /* RFC 9110 section 2.5: a later minor version is served as 1.1. House: 505 for others. */
    if (rest.len != 8 || !equals(part(rest, 0, 7), "HTTP/1.") || !is_DIGIT(rest.at[7]))
        return false;
    r->version = rest.at[7] == '0' ? 10 : 11;
    if (!is_token(r->method) || r->method.len > 32 || equals(r->method, "CONNECT"))
        return false; /* House: 32 bytes; and this is no proxy */
    return read_target(r, absolute);
}

/* -- RFC 9112 section 5: fields ---------------------------------------------------------------- */

/* field-line = field-name ":" OWS field-value OWS. House: no obs-fold. */
static bool read_field(struct ref_text line, struct ref_field *field)
{
    size_t colon = find(line, ':');

    if (colon == line.len || !is_token(part(line, 0, colon)))
        return false;
    field->name = part(line, 0, colon);
    field->value = trim(part(line, colon + 1, line.len));
    return all(field->value, is_field_char);
}

static size_t count_of(const struct ref_request *r, const char *name, struct ref_text *value)
{
    size_t count = 0;

    for (size_t i = 0; i < r->field_count; i++) {
        if (!equals_any_case(r->fields[i].name, name))
            continue;
        *value = r->fields[i].value;
        count++;
    }
    return count;
}

/* RFC 9112 section 3.2. House: two are wrong whatever the version; empty is right. */
static bool read_host(struct ref_request *r, bool absolute)
{
    struct ref_text value = {"", 0};
    size_t count = count_of(r, "host", &value);

    if (count > 1 || (count == 0 && r->version == 11))
        return false;
    if (value.len > 0 && !is_host_and_port(value))
        return false;
    if (!absolute) /* RFC 9112 section 3.2.2 */
        r->host = value;
    return true;
}

/* RFC 9110 section 7.6.1. House: what is no list of tokens is wrong; HTTP/1.0 is never kept. */
static bool read_connection(struct ref_request *r)
{
    r->keep_alive = r->version == 11;
    for (size_t i = 0; i < r->field_count; i++) {
        struct ref_text list = r->fields[i].value;

        if (!equals_any_case(r->fields[i].name, "connection"))
            continue;
        for (;;) {
            size_t comma = find(list, ',');
            struct ref_text option = trim(part(list, 0, comma));

            if (option.len > 0 && !is_token(option))
                return false;
            if (equals_any_case(option, "close"))
                r->keep_alive = false;
            if (comma == list.len)
                break;
            list = part(list, comma + 1, list.len);
        }
    }
    return true;
}

/* RFC 9112 sections 6.1 to 6.3; RFC 9110 section 8.6. */
static bool read_framing(struct ref_request *r, const struct ref_limits *limits)
{
    struct ref_text length = {"", 0}, coding = {"", 0};
    size_t lengths = count_of(r, "content-length", &length);
    size_t codings = count_of(r, "transfer-encoding", &coding);

    if (lengths > 1 || codings > 1)
        return false; /* House: not even if they are equal */
    if (lengths == 1 && codings == 1)
        return false; /* House: RFC 9112 section 6.3 leaves it to the server */
    if (codings == 1) {
        r->chunked = true;
        /* House: no coding but chunked, which is not in HTTP/1.0. */
        return r->version == 11 && equals_any_case(coding, "chunked");
    }
    if (lengths == 0)
        return true;
    r->has_length = true;
    if (length.len < 1 || length.len > 18 || !all(length, is_DIGIT))
        return false; /* House: 18 digits, zeros in front included */
    for (size_t i = 0; i < length.len; i++)
        r->length = r->length * 10 + (uint64_t)(length.at[i] - '0');
    return r->length <= limits->body;
}

/* RFC 9110 section 10.1.1. */
static bool read_expect(struct ref_request *r)
{
    if (r->version == 10)
        return true;
    for (size_t i = 0; i < r->field_count; i++) {
        if (!equals_any_case(r->fields[i].name, "expect"))
            continue;
        if (!equals_any_case(r->fields[i].value, "100-continue"))
            return false;
        r->expects = r->chunked || r->length > 0;
    }
    return true;
}

/* -- RFC 9112 section 2: the head -------------------------------------------------------------- */

/* Where the line ends: the offset of its CR. The length if it has no end yet. */
static size_t line_end(struct ref_text s)
{
    for (size_t i = 0; i + 1 < s.len; i++) {
        if (s.at[i] == '\r' && s.at[i + 1] == '\n')
            return i;
    }
    return s.len;
}

/* CR only before LF, LF only behind CR, and no other control character; a CR may be the last. */
static bool is_clean(struct ref_text s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] == '\r') {
            if (i + 1 < s.len && s.at[i + 1] != '\n')
                return false;
        } else if (s.at[i] == '\n') {
            if (i == 0 || s.at[i - 1] != '\r')
                return false;
        } else if (!is_field_char(s.at[i])) {
            return false;
        }
    }
    return true;
}

/* The length of the head with its empty line; 0 when that is not there yet. */
static size_t head_length(struct ref_text s)
{
    for (size_t i = 0; i + 3 < s.len; i++) {
        if (memcmp(s.at + i, "\r\n\r\n", 4) == 0)
            return i + 4;
    }
    return 0;
}

static size_t count_lines(struct ref_text s) /* those that have an end and are not empty */
{
    size_t count = 0;

    for (;;) {
        size_t end = line_end(s);

        if (end == s.len)
            return count;
        if (end > 0)
            count++;
        s = part(s, end + 2, s.len);
    }
}

/*
 * House: what no head can contain is refused as soon as it is there, and ceilings hold for a head
 * that is not complete. All other rules are for a complete head. `s` is a head, or its beginning.
 */
static bool may_be_head(struct ref_text s, const struct ref_limits *limits, bool complete)
{
    size_t first = line_end(s);

    if (!is_clean(s) || (s.len > 0 && s.at[0] != '\r' && !is_tchar(s.at[0])))
        return false;
    if (first == s.len && s.len > 0 && s.at[s.len - 1] == '\r')
        first--;
    if (first > limits->request_line || count_lines(s) > limits->fields + 1)
        return false;
    return complete ? s.len <= limits->head : s.len < limits->head;
}

static enum ref_verdict read_head(struct ref_request *r, struct ref_text s,
                                  const struct ref_limits *limits, size_t *used)
{
    struct ref_text rest;
    size_t length, end;
    bool absolute;

    /* RFC 9112 section 2.2: an empty line in front is ignored. House: one, not more. */
    if (s.len >= 2 && s.at[0] == '\r' && s.at[1] == '\n') {
        *used = 2;
        s = part(s, 2, s.len);
        if (s.len >= 2 && s.at[0] == '\r' && s.at[1] == '\n')
            return REF_REFUSED;
    }
    length = head_length(s);
    if (!may_be_head(length > 0 ? part(s, 0, length) : s, limits, length > 0))
        return REF_REFUSED;
    if (length == 0)
        return REF_MORE;
    *used += length;
    end = line_end(s);
    if (!read_request_line(r, part(s, 0, end), &absolute))
        return REF_REFUSED;
    rest = part(s, end + 2, length - 2);
    while (rest.len > 0) {
        end = line_end(rest);
        if (!read_field(part(rest, 0, end), &r->fields[r->field_count]))
            return REF_REFUSED;
        r->field_count++;
        rest = part(rest, end + 2, rest.len);
    }
    if (!read_host(r, absolute) || !read_connection(r) || !read_framing(r, limits) ||
        !read_expect(r))
        return REF_REFUSED;
    r->head_is_right = true;
    return REF_COMPLETE;
}

/* -- RFC 9112 section 7.1: chunked ------------------------------------------------------------- */

/*
 * House: a line of framing has a ceiling, and is judged when it is whole. COMPLETE with *line,
 * without its CRLF, which has been taken off the front of *s.
 */
static enum ref_verdict read_line(struct ref_text *s, size_t most, struct ref_text *line)
{
    size_t lf = find(*s, '\n');

    if (lf > most + 1)
        return s->len < most + 2 ? REF_MORE : REF_REFUSED;
    if (lf == s->len)
        return s->len < most + 2 ? REF_MORE : REF_REFUSED;
    if (lf == 0 || s->at[lf - 1] != '\r' || find(*s, '\r') != lf - 1)
        return REF_REFUSED;
    *line = part(*s, 0, lf - 1);
    *s = part(*s, lf + 1, s->len);
    return REF_COMPLETE;
}

/* The length of the quoted-string in front, RFC 9110 section 5.6.4; 0 when there is none. */
static size_t quoted_string(struct ref_text s)
{
    size_t i = 1;

    if (s.len == 0 || s.at[0] != '"')
        return 0;
    while (i < s.len) {
        if (s.at[i] == '"')
            return i + 1;
        if (s.at[i] == '\\') /* quoted-pair */
            i++;
        if (i == s.len || !is_field_char(s.at[i]))
            return 0;
        i++;
    }
    return 0;
}

static size_t blanks(struct ref_text s) /* the length of BWS in front */
{
    size_t i = 0;

    while (i < s.len && is_blank(s.at[i]))
        i++;
    return i;
}

static size_t token(struct ref_text s) /* the length of a token in front */
{
    size_t i = 0;

    while (i < s.len && is_tchar(s.at[i]))
        i++;
    return i;
}

/* The length of one extension in front, 0 when there is none that is right:
   BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] */
static size_t chunk_ext(struct ref_text s)
{
    size_t at = blanks(s), name, value, equals_at;

    if (at == s.len || s.at[at] != ';')
        return 0;
    at++;
    at += blanks(part(s, at, s.len));
    name = token(part(s, at, s.len));
    if (name == 0)
        return 0;
    at += name;
    equals_at = at + blanks(part(s, at, s.len));
    if (equals_at == s.len || s.at[equals_at] != '=')
        return at;
    at = equals_at + 1;
    at += blanks(part(s, at, s.len));
    value = token(part(s, at, s.len));
    if (value == 0)
        value = quoted_string(part(s, at, s.len));
    return value == 0 ? 0 : at + value;
}

/* chunk-size [ chunk-ext ]. House: 15 digits at most. */
static bool read_chunk_line(struct ref_text line, uint64_t *size, size_t *extension_bytes)
{
    size_t digits = 0;

    *size = 0;
    while (digits < line.len && is_HEXDIG(line.at[digits])) {
        char c = small(line.at[digits]);

        if (digits == 15)
            return false;
        *size = *size * 16 + (uint64_t)(is_DIGIT(c) ? c - '0' : c - 'a' + 10);
        digits++;
    }
    if (digits == 0)
        return false;
    *extension_bytes += line.len - digits;
    line = part(line, digits, line.len);
    while (line.len > 0) {
        size_t one = chunk_ext(line);

        if (one == 0)
            return false;
        line = part(line, one, line.len);
    }
    return true;
}

/* RFC 9110 section 6.5.1. House: the fields of which we know that they are for the head alone. */
static bool is_for_the_head(struct ref_text name)
{
    static const char *const names[] = {
        "authentication-info",
        "authorization",
        "cache-control",
        "client-cert",
        "client-cert-chain",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "max-forwards",
        "origin",
        "pragma",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (equals_any_case(name, names[i]))
            return true;
    }
    return false;
}

/* trailer-section CRLF */
static enum ref_verdict read_trailers(struct ref_request *r, struct ref_text *s,
                                      const struct ref_limits *limits)
{
    size_t room = limits->trailers;

    for (;;) {
        struct ref_field *field = &r->trailers[r->trailer_count];
        struct ref_text line;
        enum ref_verdict verdict = read_line(s, room, &line);

        if (verdict != REF_COMPLETE || line.len == 0)
            return verdict;
        if (r->trailer_count == limits->fields || line.len + 2 > room)
            return REF_REFUSED;
        if (!read_field(line, field) || is_for_the_head(field->name))
            return REF_REFUSED;
        r->trailer_count++;
        room -= line.len + 2;
    }
}

static enum ref_verdict read_chunks(struct ref_request *r, struct ref_text *s,
                                    const struct ref_limits *limits, char *body)
{
    size_t extension_bytes = 0;

    for (;;) {
        struct ref_text line;
        enum ref_verdict verdict;
        uint64_t size;

        /* House: what begins with no digit is refused at once. */
        if (s->len > 0 && !is_HEXDIG(s->at[0]))
            return REF_REFUSED;
        verdict = read_line(s, limits->chunk_line, &line);
        if (verdict != REF_COMPLETE)
            return verdict;
        if (!read_chunk_line(line, &size, &extension_bytes) ||
            extension_bytes > limits->extensions || r->body_len + size > limits->body)
            return REF_REFUSED;
        if (size == 0)
            return read_trailers(r, s, limits);
        if (s->len < size)
            return REF_MORE;
        memcpy(body + r->body_len, s->at, (size_t)size);
        r->body_len += (size_t)size;
        *s = part(*s, (size_t)size, s->len);
        if ((s->len > 0 && s->at[0] != '\r') || (s->len > 1 && s->at[1] != '\n'))
            return REF_REFUSED;
        if (s->len < 2)
            return REF_MORE;
        *s = part(*s, 2, s->len);
    }
}

/* -- RFC 9112 section 6: the message ----------------------------------------------------------- */

enum ref_verdict ref_read(const char *bytes, size_t len, const struct ref_limits *limits,
                          struct ref_request *request, char *body)
{
    struct ref_text s = {bytes, len};
    enum ref_verdict verdict;

    memset(request, 0, sizeof *request);
    verdict = read_head(request, s, limits, &request->used);
    if (verdict != REF_COMPLETE)
        return verdict;
    s = part(s, request->used, len);
    if (request->chunked) {
        verdict = read_chunks(request, &s, limits, body);
        request->used = len - s.len;
        return verdict;
    }
    if (s.len < request->length)
        return REF_MORE;
    if (request->length > 0)
        memcpy(body, s.at, (size_t)request->length);
    request->body_len = (size_t)request->length;
    request->used += request->body_len;
    return REF_COMPLETE;
}
