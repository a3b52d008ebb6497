/*
 * What a complete head says: request line, fields, and the fields that decide about framing.
 *
 * Each rule is a check of its own that names its row of rules.h. None of them corrects anything:
 * what is not right is refused, because somebody in front of us may have corrected it another way.
 */
#include "base/chars.h"
#include "http/forwarded.h"
#include "http/guard.h"
#include "http/parser.h"
#include "http/rules.h"
#include "http/target.h"

#define MAX_METHOD 32u
#define MAX_LENGTH_DIGITS 18u /* of Content-Length: cannot overflow 64 bits */
#define MAX_VERSION_DIGITS 10u

/* The fields that decide about the message, found while they are read. */
struct seen {
    unsigned hosts, lengths, codings;
    struct shs_str host, coding;
    bool close, expect, bad_expect;
};

/* -- the request line -------------------------------------------------------------------------- */

/* 1*10DIGIT "." 1*10DIGIT and nothing more */
static bool is_version_number(struct shs_str s)
{
    size_t pos = 0;

    for (int part = 0; part < 2; part++) {
        size_t digits = 0;

        while (pos + digits < s.len && shs__is_digit(s.ptr[pos + digits]))
            digits++;
        if (digits == 0 || digits > MAX_VERSION_DIGITS)
            return false;
        pos += digits;
        if (part == 0 && (pos == s.len || s.ptr[pos++] != '.'))
            return false;
    }
    return pos == s.len;
}

/* RFC 9110 section 2.5: a later minor version is read as the latest one that is known, 1.1. */
static int parse_version(struct shs_head *head, struct shs_str s, struct shs_refusal *why)
{
    if (s.len == 8 && memcmp(s.ptr, "HTTP/1.", 7) == 0 && shs__is_digit(s.ptr[7])) {
        head->version = s.ptr[7] == '0' ? 10 : 11;
        return SHS_OK;
    }
    if (s.len > 0 && s.ptr[0] == ' ')
        return shs__refuse(why, SHS_RULE_TWO_SPACES);
    if (s.len > 0 && memchr(s.ptr, ' ', s.len) != NULL)
        return shs__refuse(why, SHS_RULE_EXTRA_WORD);
    if (s.len > 5 && memcmp(s.ptr, "HTTP/", 5) == 0 &&
        is_version_number((struct shs_str){s.ptr + 5, s.len - 5}))
        return shs__refuse(why, SHS_RULE_VERSION_UNSUPPORTED);
    return shs__refuse(why, SHS_RULE_BAD_VERSION);
}

static int check_method(const struct shs_head *head, struct shs_refusal *why)
{
    if (head->method.len > MAX_METHOD)
        return shs__refuse(why, SHS_RULE_METHOD_TOO_LONG);
    if (shs__str_eq(head->method, SHS_STR("CONNECT")))
        return shs__refuse(why, SHS_RULE_CONNECT);
    return SHS_OK;
}

static int parse_request_line(struct shs_head *head, struct shs_refusal *why)
{
    const char *p = head->line.ptr, *end = p + head->line.len, *space;
    size_t n = 0;
    int rc;

    while (n < head->line.len && shs__char_is(p[n], SHS_CHAR_TOKEN))
        n++;
    if (n == head->line.len)
        return shs__refuse(why, SHS_RULE_REQUEST_LINE);
    if (n == 0 || p[n] != ' ')
        return shs__refuse(why, SHS_RULE_BAD_METHOD);
    head->method = (struct shs_str){p, n};
    p += n + 1;
    if (p == end)
        return shs__refuse(why, SHS_RULE_REQUEST_LINE);
    space = memchr(p, ' ', (size_t)(end - p));
    if (space == p)
        return shs__refuse(why, SHS_RULE_TWO_SPACES);
    if (space == NULL)
        return shs__refuse(why, SHS_RULE_HTTP_09);
    head->target = (struct shs_str){p, (size_t)(space - p)};
    rc = parse_version(head, (struct shs_str){space + 1, (size_t)(end - space) - 1}, why);
    if (rc == SHS_OK)
        rc = check_method(head, why);
    if (rc == SHS_OK)
        rc = shs__target_parse(head, why);
    return rc;
}

/* -- one field line ---------------------------------------------------------------------------- */

static int refuse_name(const char *line, size_t len, size_t pos, struct shs_refusal *why)
{
    if (pos == 0 && shs__is_blank(line[0]))
        return shs__refuse(why, SHS_RULE_OBS_FOLD);
    if (memchr(line, ':', len) == NULL)
        return shs__refuse(why, SHS_RULE_NO_COLON);
    if (pos == 0 && line[0] == ':')
        return shs__refuse(why, SHS_RULE_EMPTY_NAME);
    while (pos < len && shs__is_blank(line[pos]))
        pos++;
    if (line[pos] == ':')
        return shs__refuse(why, SHS_RULE_SPACE_BEFORE_COLON);
    return shs__refuse(why, SHS_RULE_FIELD_NAME);
}

int shs__field_parse(const char *line, size_t len, struct shs_field *field, struct shs_refusal *why)
{
    size_t name = 0, start, end = len;

    while (name < len && shs__char_is(line[name], SHS_CHAR_TOKEN))
        name++;
    if (name == 0 || name == len || line[name] != ':')
        return refuse_name(line, len, name, why);
    start = name + 1;
    while (start < end && shs__is_blank(line[start]))
        start++;
    while (end > start && shs__is_blank(line[end - 1]))
        end--;
    field->name = (struct shs_str){line, name};
    field->value = (struct shs_str){line + start, end - start};
    return SHS_OK;
}

/* -- the fields that decide -------------------------------------------------------------------- */

/* The next element of a comma-separated list, without white space around it; false at the end. */
static bool next_element(struct shs_str *list, struct shs_str *element)
{
    const char *comma;
    size_t len;

    if (list->ptr == NULL)
        return false;
    comma = memchr(list->ptr, ',', list->len);
    len = comma == NULL ? list->len : (size_t)(comma - list->ptr);
    *element = (struct shs_str){list->ptr, len};
    if (comma == NULL)
        *list = (struct shs_str){NULL, 0};
    else
        *list = (struct shs_str){comma + 1, list->len - len - 1};
    while (element->len > 0 && shs__is_blank(element->ptr[0])) {
        element->ptr++;
        element->len--;
    }
    while (element->len > 0 && shs__is_blank(element->ptr[element->len - 1]))
        element->len--;
    return true;
}

/* RFC 9110 section 7.6.1: a list of tokens; "close" anywhere in it wins. */
static int read_connection(struct seen *seen, struct shs_str value, struct shs_refusal *why)
{
    struct shs_str option;

    while (next_element(&value, &option)) {
        if (option.len == 0)
            continue; /* RFC 9110 section 5.6.1.2: empty elements are to be ignored */
        if (!shs_is_token(option))
            return shs__refuse(why, SHS_RULE_BAD_CONNECTION);
        if (shs__str_eq_nocase(option, SHS_STR("close")))
            seen->close = true;
    }
    return SHS_OK;
}

static int read_length(struct shs_head *head, struct seen *seen, struct shs_str value,
                       struct shs_refusal *why)
{
    uint64_t length = 0;

    if (++seen->lengths > 1)
        return shs__refuse(why, SHS_RULE_TWO_LENGTHS);
    for (size_t i = 0; i < value.len; i++) {
        if (!shs__is_digit(value.ptr[i]))
            return shs__refuse(why, SHS_RULE_BAD_LENGTH);
        if (i < MAX_LENGTH_DIGITS)
            length = length * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    if (value.len == 0)
        return shs__refuse(why, SHS_RULE_BAD_LENGTH);
    if (value.len > MAX_LENGTH_DIGITS)
        return shs__refuse(why, SHS_RULE_LENGTH_TOO_LARGE);
    head->has_length = true;
    head->content_length = length;
    return SHS_OK;
}

static int read_host(struct seen *seen, struct shs_str value, struct shs_refusal *why)
{
    if (++seen->hosts > 1)
        return shs__refuse(why, SHS_RULE_TWO_HOSTS);
    if (value.len > 0 && !shs__is_host(value))
        return shs__refuse(why, SHS_RULE_BAD_HOST);
    seen->host = value;
    return SHS_OK;
}

static int read_coding(struct seen *seen, struct shs_str value, struct shs_refusal *why)
{
    if (++seen->codings > 1)
        return shs__refuse(why, SHS_RULE_TWO_CODINGS);
    seen->coding = value;
    return SHS_OK;
}

static void read_expect(struct seen *seen, struct shs_str value)
{
    seen->expect = true;
    if (!shs__str_eq_nocase(value, SHS_STR("100-continue")))
        seen->bad_expect = true;
}

static int read_field(struct shs_head *head, struct seen *seen, const struct shs_field *field,
                      struct shs_refusal *why)
{
    struct shs_str name = field->name;

    if ((name.ptr[0] | 0x20) == 'x' || (name.ptr[0] | 0x20) == 'f')
        head->forwarded = head->forwarded || shs__is_forwarded_name(name);
    switch (name.len) { /* most names of a browser's head have another length */
    case 4:
        if (shs__str_eq_nocase(name, SHS_STR("Host")))
            return read_host(seen, field->value, why);
        break;
    case 6:
        if (shs__str_eq_nocase(name, SHS_STR("Expect")))
            read_expect(seen, field->value);
        break;
    case 10:
        if (shs__str_eq_nocase(name, SHS_STR("Connection")))
            return read_connection(seen, field->value, why);
        break;
    case 14:
        if (shs__str_eq_nocase(name, SHS_STR("Content-Length")))
            return read_length(head, seen, field->value, why);
        break;
    case 17:
        if (shs__str_eq_nocase(name, SHS_STR("Transfer-Encoding")))
            return read_coding(seen, field->value, why);
        break;
    default:
        break;
    }
    return SHS_OK;
}

/* -- what they mean together ------------------------------------------------------------------- */

static int check_host(struct shs_head *head, const struct seen *seen, struct shs_refusal *why)
{
    if (seen->hosts == 0 && head->version == 11)
        return shs__refuse(why, SHS_RULE_NO_HOST);
    if (head->form == SHS_TARGET_ABSOLUTE)
        return SHS_OK; /* RFC 9112 section 3.2.2: the target's authority counts, not Host */
    head->host = seen->hosts == 0 ? SHS_STR("") : seen->host;
    return SHS_OK;
}

/* A list of codings that ends in chunked and has it only there. */
static bool ends_in_chunked(struct shs_str codings)
{
    struct shs_str coding;
    bool chunked = false;

    while (next_element(&codings, &coding)) {
        if (chunked || !shs_is_token(coding))
            return false;
        chunked = shs__str_eq_nocase(coding, SHS_STR("chunked"));
    }
    return chunked;
}

/* RFC 9112 sections 6.1 and 6.3. */
static int check_framing(struct shs_head *head, const struct seen *seen, struct shs_refusal *why)
{
    if (seen->codings > 0 && seen->lengths > 0)
        return shs__refuse(why, SHS_RULE_CODING_AND_LENGTH);
    if (seen->codings > 0 && head->version == 10)
        return shs__refuse(why, SHS_RULE_CODING_IN_10);
    if (seen->codings > 0 && seen->coding.len == 0)
        return shs__refuse(why, SHS_RULE_EMPTY_CODING);
    if (seen->codings > 0 && !shs__str_eq_nocase(seen->coding, SHS_STR("chunked"))) {
        if (ends_in_chunked(seen->coding))
            return shs__refuse(why, SHS_RULE_UNKNOWN_CODING);
        return shs__refuse(why, SHS_RULE_NOT_CHUNKED);
    }
    head->chunked = seen->codings > 0;
    return SHS_OK;
}

/*
 * A head that is as it should be, and asks for too much: what it says is worth believing. RFC 9110
 * section 10.1.1: not for HTTP/1.0, and without content there is nothing to wait for.
 */
static int check_wishes(struct shs_head *head, const struct seen *seen,
                        const struct shs_guard_limits *limits, struct shs_refusal *why)
{
    if (head->content_length > limits->max_body_bytes)
        return shs__refuse(why, SHS_RULE_LENGTH_TOO_LARGE);
    if (!seen->expect || head->version == 10)
        return SHS_OK;
    if (seen->bad_expect)
        return shs__refuse(why, SHS_RULE_EXPECT);
    head->expect_continue = head->chunked || head->content_length > 0;
    return SHS_OK;
}

/* -- the head ---------------------------------------------------------------------------------- */

static int parse_fields(struct shs_head *head, const char *p, const char *end,
                        const struct shs_guard_limits *limits, struct seen *seen,
                        struct shs_refusal *why)
{
    while (end - p > 2) { /* the empty line is the last two bytes */
        struct shs_field *field = &head->fields[head->field_count];
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        int rc;

        if (lf == NULL || lf == p || lf[-1] != '\r')
            return shs__refuse(why, SHS_RULE_BARE_LF);
        if (head->field_count == limits->max_headers)
            return shs__refuse(why, SHS_RULE_TOO_MANY_FIELDS);
        rc = shs__field_parse(p, (size_t)(lf - p) - 1, field, why);
        if (rc == SHS_OK)
            rc = read_field(head, seen, field, why);
        if (rc != SHS_OK)
            return rc;
        head->field_count++;
        p = lf + 1;
    }
    return SHS_OK;
}

static int parse_head(const char *buf, size_t len, const struct shs_guard_limits *limits,
                      struct shs_head *head, struct seen *seen, struct shs_refusal *why)
{
    const char *lf = memchr(buf, '\n', len);
    int rc;

    if (lf == NULL || lf == buf || lf[-1] != '\r')
        return shs__refuse(why, SHS_RULE_BARE_LF);
    head->line = (struct shs_str){buf, (size_t)(lf - buf) - 1};
    if (head->line.len > limits->max_request_line)
        return shs__refuse(why, SHS_RULE_REQUEST_LINE_TOO_LONG);
    rc = parse_request_line(head, why);
    if (rc == SHS_OK)
        rc = parse_fields(head, lf + 1, buf + len, limits, seen, why);
    if (rc == SHS_OK)
        rc = check_host(head, seen, why);
    if (rc == SHS_OK)
        rc = check_framing(head, seen, why);
    /* HTTP/1.0 is never kept alive: its rules for that were never written down safely. */
    head->keep_alive = head->version == 11 && !seen->close;
    return rc;
}

int shs__head_parse(const char *buf, size_t len, const struct shs_guard_limits *limits,
                    struct shs_parser *parser, struct shs_field *fields, struct shs_head *head,
                    struct shs_refusal *why)
{
    struct seen seen = {0};
    int rc;

    memset(head, 0, sizeof *head);
    head->fields = fields;
    rc = parse_head(buf, len, limits, head, &seen, why);
    if (rc == SHS_OK && !shs__parser_head(parser, head, buf, len))
        rc = shs__refuse(why, SHS_RULE_DISAGREE);
    if (rc != SHS_OK) {
        struct shs_str line = head->line; /* for the log; nothing else of it is worth believing */

        memset(head, 0, sizeof *head);
        head->line = line;
        return rc;
    }
    return check_wishes(head, &seen, limits, why);
}
