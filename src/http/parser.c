#include "http/parser.h"

struct method {
    struct shs_str name;
    llhttp_method_t id;
};

static const struct method methods[] = {
#define METHOD_ROW(number, name, string) {{#string, sizeof(#string) - 1}, HTTP_##name},
    HTTP_METHOD_MAP(METHOD_ROW)
#undef METHOD_ROW
};

static struct shs_parser *self_of(llhttp_t *llhttp)
{
    return SHS_CONTAINER_OF(llhttp, struct shs_parser, llhttp);
}

static int disagree(struct shs_parser *self)
{
    self->disagrees = true;
    return HPE_USER;
}

/* -- what llhttp reports; every span must be the very bytes that the guard took ---------------- */

static int on_message_begin(llhttp_t *llhttp)
{
    struct shs_parser *self = self_of(llhttp);

    return self->headers_complete ? disagree(self) : 0; /* one message, not two */
}

static int on_url(llhttp_t *llhttp, const char *at, size_t len)
{
    struct shs_parser *self = self_of(llhttp);

    if (len == 0)
        return 0;
    if (self->head == NULL || at != self->head->target.ptr + self->target_bytes)
        return disagree(self);
    self->target_bytes += len;
    return 0;
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t len)
{
    struct shs_parser *self = self_of(llhttp);
    const struct shs_head *head = self->head;

    if (len == 0) /* a span that ends where a call ended */
        return 0;
    if (head == NULL || self->fields_seen >= head->field_count ||
        at != head->fields[self->fields_seen].name.ptr ||
        len != head->fields[self->fields_seen].name.len)
        return disagree(self);
    self->fields_seen++;
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t len)
{
    struct shs_parser *self = self_of(llhttp);
    const struct shs_field *field;

    if (len == 0)
        return 0;
    if (self->head == NULL || self->fields_seen == 0 || self->value_of == self->fields_seen)
        return disagree(self);
    field = &self->head->fields[self->fields_seen - 1];
    if (at != field->value.ptr || len != field->value.len)
        return disagree(self);
    self->value_of = self->fields_seen;
    self->values_seen++;
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct shs_parser *self = self_of(llhttp);
    const struct shs_head *head = self->head;
    bool chunked = (llhttp->flags & F_CHUNKED) != 0;

    if (head == NULL || self->headers_complete || llhttp->method != self->method ||
        llhttp->http_major * 10 + llhttp->http_minor != head->version ||
        self->target_bytes != head->target.len || self->fields_seen != head->field_count ||
        chunked != head->chunked || llhttp->content_length != head->content_length ||
        llhttp->upgrade != 0 || (head->keep_alive && llhttp_should_keep_alive(llhttp) == 0))
        return disagree(self);
    self->headers_complete = true;
    return 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
    SHS_UNUSED(at);
    self_of(llhttp)->content_bytes += len;
    return 0;
}

static int on_message_complete(llhttp_t *llhttp)
{
    self_of(llhttp)->message_complete = true;
    return 0;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static bool feed(struct shs_parser *self, const char *bytes, size_t len)
{
    if (len == 0)
        return !self->disagrees;
    return llhttp_execute(&self->llhttp, bytes, len) == HPE_OK && !self->disagrees;
}

/* -- the head ---------------------------------------------------------------------------------- */

/* CONNECT never comes here; SOURCE is a method of ICE and not of HTTP to llhttp. */
static const struct method *find_method(struct shs_str name)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(methods); i++) {
        if (shs__str_eq(methods[i].name, name))
            return methods[i].id == HTTP_SOURCE ? NULL : &methods[i];
    }
    return NULL;
}

/* To llhttp, these would mean something. */
static bool is_left_out(struct shs_str name)
{
    return (name.len == 7 && shs__str_eq_nocase(name, SHS_STR("Upgrade"))) ||
           (name.len == 16 && shs__str_eq_nocase(name, SHS_STR("Proxy-Connection")));
}

/* "Name: value", at most one space before the value and nothing behind it. */
static bool is_canonical(const struct shs_field *field, const char *line_end)
{
    const char *colon = field->name.ptr + field->name.len;

    return field->value.ptr + field->value.len + 2 == line_end &&
           (field->value.ptr == colon + 1 || (field->value.ptr == colon + 2 && colon[1] == ' '));
}

static bool is_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p == end;
}

/* What llhttp will not see of this line is white space, and it is one line. */
static bool is_whole_line(const struct shs_field *field, const char *line_end)
{
    const char *colon = field->name.ptr + field->name.len;
    const char *value_end = field->value.ptr + field->value.len;

    return *colon == ':' && colon + 1 <= field->value.ptr && value_end + 2 <= line_end &&
           is_blank(colon + 1, field->value.ptr) && is_blank(value_end, line_end - 2) &&
           memcmp(line_end - 2, "\r\n", 2) == 0 &&
           memchr(field->value.ptr, '\n', field->value.len) == NULL;
}

static bool feed_rewritten(struct shs_parser *self, const struct shs_field *field)
{
    return feed(self, field->name.ptr, field->name.len + 1) && /* with its colon */
           feed(self, field->value.ptr, field->value.len) && feed(self, "\r\n", 2);
}

/*
 * Feeds the fields: as long as lines are canonical they are only counted in, and `run` stays where
 * the first one that llhttp has not seen yet begins. *values becomes the number of values, not
 * counting empty ones, that it has to report.
 */
static bool feed_fields(struct shs_parser *self, const char *run, const char *end, size_t *values)
{
    const struct shs_head *head = self->head;

    for (size_t i = 0; i < head->field_count; i++) {
        const struct shs_field *field = &head->fields[i];
        const char *line = field->name.ptr;
        const char *next = i + 1 < head->field_count ? field[1].name.ptr : end - 2;
        bool left_out = is_left_out(field->name);
        if (!left_out && field->value.len > 0)
            ++*values;
        if (!left_out && is_canonical(field, next))
            continue;
        if (!is_whole_line(field, next) || !feed(self, run, (size_t)(line - run)))
            return false;
        run = next;
        if (left_out)
            self->fields_seen++;
        else if (!feed_rewritten(self, field))
            return false;
    }
    return feed(self, run, (size_t)(end - run));
}

/*
 * The rest of the request line from `run` on, with its CRLF. llhttp knows 1.0 and 1.1 and no later
 * minor version, which is read as 1.1: there it is told so. Returns where the fields begin, or
 * NULL.
 */
static const char *feed_line(struct shs_parser *self, const char *run)
{
    const char *end = self->head->line.ptr + self->head->line.len;

    if (end[-1] == '0' || end[-1] == '1')
        return run;
    if (!feed(self, run, (size_t)(end - 1 - run)) || !feed(self, "1", 1) || !feed(self, end, 2))
        return NULL;
    return end + 2;
}

bool shs__parser_head(struct shs_parser *parser, const struct shs_head *head, const char *raw,
                      size_t len)
{
    const struct method *method = find_method(head->method);
    const char *run = raw;
    size_t values = 0;
    bool agrees = true;

    memset(parser, 0, sizeof *parser);
    llhttp_init(&parser->llhttp, HTTP_REQUEST, &settings);
    parser->head = head;
    parser->method = method == NULL ? HTTP_POST : (int)method->id;
    if (method == NULL) { /* a method that llhttp does not know: framed as POST is */
        agrees = feed(parser, "POST", 4);
        run += head->method.len;
    }
    run = agrees ? feed_line(parser, run) : NULL;
    agrees = run != NULL && feed_fields(parser, run, raw + len, &values);
    parser->head = NULL; /* what comes now is content */
    return agrees && parser->headers_complete && parser->values_seen == values &&
           parser->message_complete == (!head->chunked && head->content_length == 0);
}

/* -- the body ---------------------------------------------------------------------------------- */

bool shs__parser_content(struct shs_parser *parser, const char *bytes, size_t len, bool last)
{
    uint64_t before = parser->content_bytes;

    return feed(parser, bytes, len) && parser->content_bytes - before == len &&
           parser->message_complete == last;
}

bool shs__parser_chunk(struct shs_parser *parser, uint64_t size)
{
    char line[18], *digit = line + sizeof line;
    uint64_t rest = size;

    *--digit = '\n';
    *--digit = '\r';
    do {
        *--digit = "0123456789abcdef"[rest & 15];
        rest >>= 4;
    } while (rest > 0);
    parser->content_bytes = 0;
    return feed(parser, digit, (size_t)(line + sizeof line - digit)) &&
           parser->llhttp.content_length == size && !parser->message_complete;
}

bool shs__parser_chunk_end(struct shs_parser *parser, uint64_t size)
{
    return parser->content_bytes == size && feed(parser, "\r\n", 2) && !parser->message_complete;
}

bool shs__parser_chunked_end(struct shs_parser *parser)
{
    return feed(parser, "\r\n", 2) && parser->message_complete;
}
