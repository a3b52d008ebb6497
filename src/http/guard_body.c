/*
 * The body: Content-Length bytes, or chunks (RFC 9112 section 7.1) and their trailers.
 *
 * Lines are judged when they are whole, so that the verdict does not depend on how they arrived; a
 * line that cannot become right any more (too long, no digit in front) is refused at once.
 */
#include "base/chars.h"
#include "http/guard.h"
#include "http/parser.h"
#include "http/rules.h"

#define MAX_SIZE_DIGITS 15u /* of a chunk size: cannot overflow 64 bits */

#define NAME(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    } /* SHS_STR is not a constant */

/* Fields that mean something before or beside the content: RFC 9110 section 6.5.1. */
static const struct shs_str head_only[] = {
    /* framing and the connection */
    NAME("Transfer-Encoding"),
    NAME("Content-Length"),
    NAME("Connection"),
    NAME("Proxy-Connection"),
    NAME("Keep-Alive"),
    NAME("Upgrade"),
    NAME("TE"),
    NAME("Trailer"),
    NAME("Expect"),
    NAME("Max-Forwards"),
    /* routing */
    NAME("Host"),
    NAME("Forwarded"),
    NAME("Via"),
    NAME("X-Forwarded-For"),
    NAME("X-Forwarded-Host"),
    NAME("X-Forwarded-Proto"),
    NAME("X-Real-IP"),
    /* who asks */
    NAME("Authorization"),
    NAME("Proxy-Authorization"),
    NAME("Cookie"),
    NAME("Set-Cookie"),
    NAME("Origin"),
    NAME("Client-Cert"),
    NAME("Client-Cert-Chain"),
    /* what is asked for */
    NAME("Range"),
    NAME("If-Match"),
    NAME("If-None-Match"),
    NAME("If-Modified-Since"),
    NAME("If-Unmodified-Since"),
    NAME("If-Range"),
    NAME("Cache-Control"),
    NAME("Pragma"),
    NAME("Authentication-Info"),
    /* how the content is to be read */
    NAME("Content-Encoding"),
    NAME("Content-Type"),
    NAME("Content-Range"),
};

void shs__body_init(struct shs_body *body, const struct shs_head *head,
                    const struct shs_guard_limits *limits, struct shs_parser *parser)
{
    memset(body, 0, sizeof *body);
    body->limits = limits;
    body->parser = parser;
    body->left = head->content_length;
    if (head->chunked)
        body->phase = SHS_BODY_CHUNK_LINE;
    else
        body->phase = head->content_length > 0 ? SHS_BODY_LENGTH : SHS_BODY_DONE;
}

/* -- content ----------------------------------------------------------------------------------- */

/* Hands out what is there of the content or chunk. */
static int take_content(struct shs_body *body, const char *buf, size_t len, struct shs_str *content,
                        struct shs_refusal *why)
{
    bool last;

    if (len > body->left)
        len = (size_t)body->left;
    body->left -= len;
    body->total += len;
    last = body->phase == SHS_BODY_LENGTH && body->left == 0;
    if (!shs__parser_content(body->parser, buf, len, last))
        return shs__refuse(why, SHS_RULE_DISAGREE);
    *content = (struct shs_str){buf, len};
    if (last)
        body->phase = SHS_BODY_DONE;
    else if (body->left == 0)
        body->phase = SHS_BODY_CHUNK_END;
    return SHS_OK;
}

/* -- lines ------------------------------------------------------------------------------------- */

/*
 * The line at the front, *line_len without its CRLF. SHS_WAIT_READ when it is not complete and may
 * still become one of at most max bytes; `too_long` beyond that.
 */
static int take_line(const char *buf, size_t len, size_t max, enum shs_rule too_long,
                     size_t *line_len, struct shs_refusal *why)
{
    const char *lf = memchr(buf, '\n', len < max + 2 ? len : max + 2);

    if (lf == NULL && len >= max + 2)
        return shs__refuse(why, too_long);
    if (lf == NULL)
        return SHS_WAIT_READ;
    if (lf == buf || lf[-1] != '\r')
        return shs__refuse(why, SHS_RULE_BARE_LF);
    *line_len = (size_t)(lf - buf) - 1;
    if (memchr(buf, '\r', *line_len) != NULL)
        return shs__refuse(why, SHS_RULE_BARE_CR);
    return SHS_OK;
}

static size_t skip_blanks(struct shs_str line, size_t pos)
{
    while (pos < line.len && shs__is_blank(line.ptr[pos]))
        pos++;
    return pos;
}

static size_t skip_token(struct shs_str line, size_t pos)
{
    while (pos < line.len && shs__char_is(line.ptr[pos], SHS_CHAR_TOKEN))
        pos++;
    return pos;
}

/* quoted-string, RFC 9110 section 5.6.4; `pos` is behind its opening quote. 0 when malformed. */
static size_t skip_quoted(struct shs_str line, size_t pos)
{
    while (pos < line.len && line.ptr[pos] != '"') {
        if (line.ptr[pos] == '\\') {
            pos++;
            if (pos == line.len || !shs__char_is(line.ptr[pos], SHS_CHAR_VALUE))
                return 0;
        } else if (!shs__char_is(line.ptr[pos], SHS_CHAR_QUOTED)) {
            return 0;
        }
        pos++;
    }
    return pos < line.len ? pos + 1 : 0;
}

/* chunk-ext-val = token / quoted-string. 0 when malformed. */
static size_t skip_extension_value(struct shs_str line, size_t pos)
{
    size_t end;

    if (pos < line.len && line.ptr[pos] == '"')
        return skip_quoted(line, pos + 1);
    end = skip_token(line, pos);
    return end > pos ? end : 0;
}

/*
 * RFC 9112 section 7.1.1:
 * chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
 */
static bool is_chunk_extension(struct shs_str line, size_t pos)
{
    while (pos < line.len) {
        size_t name, equals;

        pos = skip_blanks(line, pos);
        if (pos == line.len || line.ptr[pos] != ';')
            return false;
        name = skip_blanks(line, pos + 1);
        pos = skip_token(line, name);
        if (pos == name)
            return false;
        equals = skip_blanks(line, pos);
        if (equals == line.len || line.ptr[equals] != '=')
            continue;
        pos = skip_extension_value(line, skip_blanks(line, equals + 1));
        if (pos == 0)
            return false;
    }
    return true;
}

/* -- chunks ------------------------------------------------------------------------------------ */

static int parse_chunk_line(struct shs_body *body, struct shs_str line, struct shs_refusal *why)
{
    uint64_t size = 0;
    size_t digits = 0;

    while (digits < line.len && shs__char_is(line.ptr[digits], SHS_CHAR_HEX)) {
        if (digits == MAX_SIZE_DIGITS)
            return shs__refuse(why, SHS_RULE_CHUNK_SIZE_TOO_LONG);
        size = size << 4 | shs__hex_value(line.ptr[digits]);
        digits++;
    }
    if (digits < line.len && line.ptr[digits] != ';' && !shs__is_blank(line.ptr[digits]))
        return shs__refuse(why, SHS_RULE_CHUNK_SIZE);
    if (!is_chunk_extension(line, digits))
        return shs__refuse(why, SHS_RULE_CHUNK_EXTENSION);
    body->extension_bytes += line.len - digits;
    if (body->extension_bytes > body->limits->max_extension_bytes)
        return shs__refuse(why, SHS_RULE_EXTENSIONS_TOO_LARGE);
    if (size > body->limits->max_body_bytes - body->total)
        return shs__refuse(why, SHS_RULE_BODY_TOO_LARGE);
    body->left = body->size = size;
    return SHS_OK;
}

static int step_chunk_line(struct shs_body *body, const char *buf, size_t len, size_t *used,
                           struct shs_refusal *why)
{
    struct shs_str line = {buf, 0};
    int rc;

    if (len > 0 && !shs__char_is(buf[0], SHS_CHAR_HEX))
        return shs__refuse(why, SHS_RULE_CHUNK_SIZE);
    rc = take_line(buf, len, body->limits->max_chunk_line, SHS_RULE_CHUNK_LINE_TOO_LONG, &line.len,
                   why);
    if (rc == SHS_OK)
        rc = parse_chunk_line(body, line, why);
    if (rc != SHS_OK)
        return rc;
    if (!shs__parser_chunk(body->parser, body->size))
        return shs__refuse(why, SHS_RULE_DISAGREE);
    body->phase = body->size > 0 ? SHS_BODY_CHUNK_DATA : SHS_BODY_TRAILER;
    *used += line.len + 2;
    return SHS_OK;
}

static int step_chunk_end(struct shs_body *body, const char *buf, size_t len, size_t *used,
                          struct shs_refusal *why)
{
    if ((len > 0 && buf[0] != '\r') || (len > 1 && buf[1] != '\n'))
        return shs__refuse(why, SHS_RULE_CHUNK_END);
    if (len < 2)
        return SHS_WAIT_READ;
    if (!shs__parser_chunk_end(body->parser, body->size))
        return shs__refuse(why, SHS_RULE_DISAGREE);
    body->phase = SHS_BODY_CHUNK_LINE;
    *used += 2;
    return SHS_OK;
}

/* -- trailers ---------------------------------------------------------------------------------- */

static bool is_head_only(struct shs_str name)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(head_only); i++) {
        if (shs__str_eq_nocase(name, head_only[i]))
            return true;
    }
    return false;
}

/* Checked, and then forgotten: no trailer reaches llhttp or a handler. */
static int check_trailer(struct shs_body *body, struct shs_str line, struct shs_refusal *why)
{
    struct shs_field field;
    int rc = shs__field_parse(line.ptr, line.len, &field, why);

    if (rc != SHS_OK)
        return rc;
    if (!shs_is_field_value(field.value))
        return shs__refuse(why, SHS_RULE_CONTROL_CHAR);
    if (is_head_only(field.name))
        return shs__refuse(why, SHS_RULE_TRAILER_FORBIDDEN);
    if (++body->trailer_count > body->limits->max_headers)
        return shs__refuse(why, SHS_RULE_TOO_MANY_TRAILERS);
    return SHS_OK;
}

static int step_trailer(struct shs_body *body, const char *buf, size_t len, size_t *used,
                        struct shs_refusal *why)
{
    struct shs_str line = {buf, 0};
    size_t room = body->limits->max_trailer_bytes - body->trailer_bytes;
    int rc = take_line(buf, len, room, SHS_RULE_TRAILERS_TOO_LARGE, &line.len, why);

    if (rc != SHS_OK)
        return rc;
    if (line.len > 0) {
        rc = check_trailer(body, line, why);
        if (rc != SHS_OK)
            return rc;
        if (line.len + 2 > room)
            return shs__refuse(why, SHS_RULE_TRAILERS_TOO_LARGE);
        body->trailer_bytes += line.len + 2;
    } else {
        if (!shs__parser_chunked_end(body->parser))
            return shs__refuse(why, SHS_RULE_DISAGREE);
        body->phase = SHS_BODY_DONE;
    }
    *used += line.len + 2;
    return SHS_OK;
}

/* -- one step ---------------------------------------------------------------------------------- */

/* One piece of framing, or content. SHS_WAIT_READ when the next piece is not complete. */
static int step_once(struct shs_body *body, const char *buf, size_t len, size_t *used,
                     struct shs_str *content, struct shs_refusal *why)
{
    int rc = SHS_OK;

    switch (body->phase) {
    case SHS_BODY_LENGTH:
    case SHS_BODY_CHUNK_DATA:
        if (len == 0)
            return SHS_WAIT_READ;
        rc = take_content(body, buf, len, content, why);
        *used += content->len;
        break;
    case SHS_BODY_CHUNK_LINE:
        rc = step_chunk_line(body, buf, len, used, why);
        break;
    case SHS_BODY_CHUNK_END:
        rc = step_chunk_end(body, buf, len, used, why);
        break;
    case SHS_BODY_TRAILER:
        rc = step_trailer(body, buf, len, used, why);
        break;
    case SHS_BODY_DONE:
        break;
    }
    return rc;
}

int shs__body_step(struct shs_body *body, const char *buf, size_t len, size_t *used,
                   struct shs_str *content, struct shs_refusal *why)
{
    int rc = SHS_OK;

    *used = 0;
    *content = (struct shs_str){buf, 0};
    while (rc == SHS_OK && content->len == 0 && body->phase != SHS_BODY_DONE)
        rc = step_once(body, buf + *used, len - *used, used, content, why);
    /* Something was used before the next piece turned out to be incomplete: that is progress. */
    return rc == SHS_WAIT_READ && *used > 0 ? SHS_OK : rc;
}
