/*
 * multipart.c - multipart/form-data from a body that comes in any pieces.
 *
 * All reading goes through one window. What cannot be decided yet (half a delimiter, half a header
 * line) stays in it until more has come, so how the bytes were cut up makes no difference.
 *
 * A delimiter is CR LF "--" boundary (RFC 2046 section 5.1.1). The window begins with a CR LF of
 * our own, so that the first delimiter, at the very beginning of the body, is one like any other.
 * In the same way the CR LF of a delimiter's line and of the blank line stay in the window: the one
 * begins the search for the end of the header lines, the other may belong to the next delimiter.
 */
#include "http/multipart.h"

#include <errno.h>
#include <unistd.h>

#include "base/chars.h"
#include "base/text.h"
#include "http/content.h"
#include "http/guard.h"

/* White space between a delimiter and the end of its line: RFC 2046 calls it transport padding. */
#define MAX_PADDING 128u

void shs_multipart_limits_init_sized(struct shs_multipart_limits *limits, size_t size)
{
    const struct shs_multipart_limits defaults = {
        .size = size,
        .max_parts = 1000,
        .max_header_bytes = 8192,
        .max_bytes = UINT64_MAX,
    };

    shs__sized_init(limits, size, &defaults, sizeof defaults);
}

static int fail(struct shs_multipart *self, int code)
{
    self->failed = code;
    return code;
}

static int refuse(struct shs_multipart *self, int code, int status, const char *rule,
                  const char *text)
{
    self->why = (struct shs_refusal){status, rule, text};
    if (self->req != NULL)
        shs__refuse_content(self->req, code, status, rule, text);
    return fail(self, code);
}

static int malformed(struct shs_multipart *self, const char *rule, const char *text)
{
    return refuse(self, SHS_PROTO, 400, rule, text);
}

/* -- the beginning ----------------------------------------------------------------------------- */

/*
 * bchars of RFC 2046 section 5.1.1 but the space, and the characters of a token: clients that are
 * out there say boundary=***** and boundary=--x&y.
 */
static bool is_boundary_char(char c)
{
    return shs__char_is(c, SHS_CHAR_TOKEN) || (c != '\0' && strchr("'()+_,-./:=?", c) != NULL);
}

/* A space, which only a quoted one can have, may not be the last one. */
static bool is_boundary(struct shs_str s)
{
    if (s.len == 0 || s.len > SHS_MULTIPART_BOUNDARY || s.ptr[s.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != ' ' && !is_boundary_char(s.ptr[i]))
            return false;
    }
    return true;
}

/*
 * "; boundary=VALUE" at the front of *rest, without quotes: taken up to the next ";" or blank. By
 * the grammar a value with "=" or "/" must be quoted; who sends ===1=== does not know that. False:
 * something else is there, or it is quoted.
 */
static bool bare_boundary(struct shs_str *rest, struct shs_str *value)
{
    static const char name[] = "boundary=";
    const char *p = rest->ptr, *end = p + rest->len, *start;

    while (p < end && (shs__is_blank(*p) || *p == ';'))
        p++;
    if (p == rest->ptr || (size_t)(end - p) < sizeof name ||
        !shs__str_eq_nocase((struct shs_str){p, sizeof name - 1}, SHS_STR("boundary=")))
        return false;
    start = p + sizeof name - 1;
    for (p = start; p < end && is_boundary_char(*p);)
        p++;
    if (p == start || (p < end && *p != ';' && !shs__is_blank(*p)))
        return false;
    *value = (struct shs_str){start, (size_t)(p - start)};
    *rest = (struct shs_str){p, (size_t)(end - p)};
    return true;
}

static int take_boundary(struct shs_multipart *self, struct shs_str content_type)
{
    struct shs_str type = SHS_STR("multipart/form-data"), rest, name, value;
    bool quoted = false;

    if (!shs__media_type_is(content_type, type))
        return refuse(self, SHS_PROTO, 415, "not-multipart",
                      "A form of type multipart/form-data is expected.");
    rest = (struct shs_str){content_type.ptr + type.len, content_type.len - type.len};
    for (;;) {
        if (!bare_boundary(&rest, &value)) {
            if (shs__next_parameter(&rest, &name, &value, &quoted) != SHS_OK)
                return malformed(self, "bad-content-type", "The Content-Type field is malformed.");
            if (name.ptr == NULL)
                break;
            if (!shs__str_eq_nocase(name, SHS_STR("boundary")))
                continue;
        }
        if (self->delimiter_len != 0 || !is_boundary(value))
            return malformed(self, "bad-boundary", "The boundary of the form is not valid.");
        memcpy(self->delimiter, "\r\n--", 4);
        memcpy(self->delimiter + 4, value.ptr, value.len);
        self->delimiter_len = 4 + value.len;
    }
    if (self->delimiter_len == 0)
        return malformed(self, "no-boundary", "The Content-Type field has no boundary.");
    return SHS_OK;
}

/* The header lines, the padding and a delimiter always fit together. */
static size_t window_size(const struct shs_multipart_limits *limits)
{
    size_t need = limits->max_header_bytes + MAX_PADDING + 2 * SHS_MULTIPART_BOUNDARY;

    return need > SHS_MULTIPART_WINDOW ? need : SHS_MULTIPART_WINDOW;
}

size_t shs__multipart_memory(const struct shs_multipart_limits *limits)
{
    return window_size(limits) + 3 * limits->max_header_bytes;
}

int shs__multipart_init(struct shs_multipart *self, shs_multipart_read_fn *read, void *ctx,
                        struct shs_str content_type, const struct shs_multipart_limits *limits,
                        char *memory)
{
    self->read = read;
    self->ctx = ctx;
    self->limits = *limits;
    self->window = memory;
    self->cap = window_size(limits);
    self->head = memory + self->cap;
    memcpy(self->window, "\r\n", 2);
    self->len = 2;
    return take_boundary(self, content_type);
}

static int read_request(void *ctx, void *buf, size_t cap, size_t *got)
{
    return shs_request_read(ctx, buf, cap, got);
}

/* What a sink was given; SHS_WAIT_READ: that is used up. */
static int read_fed(void *ctx, void *buf, size_t cap, size_t *got)
{
    struct shs_multipart *self = ctx;

    if (self->fed.len == 0 && !self->fed_all)
        return SHS_WAIT_READ;
    *got = self->fed.len < cap ? self->fed.len : cap;
    if (*got > 0)
        memcpy(buf, self->fed.ptr, *got);
    self->fed.ptr += *got;
    self->fed.len -= *got;
    return SHS_OK;
}

static int make(struct shs_multipart **out, struct shs_request *req,
                const struct shs_multipart_limits *limits, bool is_fed)
{
    struct shs_multipart_limits bounds;
    struct shs_multipart *self;
    struct shs_str type = SHS_STR("");
    char *memory;
    int rc;

    shs_multipart_limits_init(&bounds);
    if (limits != NULL &&
        shs__sized_copy(&bounds, sizeof bounds, limits, "shs_multipart_limits", NULL) != SHS_OK)
        return SHS_USAGE;
    if (bounds.max_header_bytes < 64 || bounds.max_header_bytes > 65536 || req->body_taken)
        return shs__mistake(
            req->x, "shs_multipart_new",
            "max_header_bytes must be from 64 to 65536, and set before the body is read");
    self = shs_request_alloc(req, sizeof *self);
    memory = shs_request_alloc(req, shs__multipart_memory(&bounds));
    if (self == NULL || memory == NULL)
        return SHS_NOMEM;
    memset(self, 0, sizeof *self);
    self->req = req;
    self->is_fed = is_fed;
    self->fed = SHS_STR("");
    if (!shs_request_header(req, "Content-Type", &type))
        type = SHS_STR("");
    rc = shs__multipart_init(self, is_fed ? read_fed : read_request,
                             is_fed ? (void *)self : (void *)req, type, &bounds, memory);
    if (rc == SHS_OK)
        *out = self;
    return rc;
}

int shs_multipart_new(struct shs_multipart **out, struct shs_request *req,
                      const struct shs_multipart_limits *limits)
{
    return make(out, req, limits, false);
}

int shs_multipart_new_fed(struct shs_multipart **out, struct shs_request *req,
                          const struct shs_multipart_limits *limits)
{
    return make(out, req, limits, true);
}

int shs_multipart_feed(struct shs_multipart *self, const void *buf, size_t len)
{
    if (!self->is_fed || self->fed_all || self->fed.len > 0)
        return SHS_USAGE;
    self->fed_all = len == 0;
    if (len > 0)
        self->fed = (struct shs_str){buf, len};
    return SHS_OK;
}

/* -- the window -------------------------------------------------------------------------------- */

/* Reads once more; at the end of the body sets `ended`. There is room: what is kept is short. */
static int fill(struct shs_multipart *self)
{
    size_t got = 0, end = self->start + self->len;
    int rc;

    if (self->start > 0 && self->cap - end < self->cap / 2) {
        memmove(self->window, self->window + self->start, self->len);
        self->start = 0;
        end = self->len;
    }
    if (end == self->cap)
        return refuse(self, SHS_LIMIT, 413, "part-window", "A line of the form is too long.");
    rc = self->read(self->ctx, self->window + end, self->cap - end, &got);
    if (rc == SHS_WAIT_READ) /* everything is as it was: called again, it goes on here */
        return rc;
    if (rc != SHS_OK)
        return fail(self, rc);
    self->len += got;
    self->ended = got == 0;
    if (got > self->limits.max_bytes - self->total)
        return refuse(self, SHS_LIMIT, 413, "form-too-large",
                      "The form is larger than this server accepts.");
    self->total += got;
    return SHS_OK;
}

/* The same where the body may not end. */
static int fill_more(struct shs_multipart *self)
{
    int rc = self->ended ? SHS_OK : fill(self);

    if (rc == SHS_OK && self->ended)
        return malformed(self, "form-cut-off", "The form ends before its last boundary.");
    return rc;
}

static void use(struct shs_multipart *self, size_t len)
{
    self->start += len;
    self->len -= len;
    if (self->len == 0)
        self->start = 0;
}

static const char *front(const struct shs_multipart *self)
{
    return self->window + self->start;
}

/* -- delimiters -------------------------------------------------------------------------------- */

/* How many bytes come before the next delimiter, or before what may become one; *whole: it is. */
static size_t run_length(const struct shs_multipart *self, bool *whole)
{
    const char *p = front(self), *end = p + self->len;

    *whole = false;
    while (p < end && (p = memchr(p, '\r', (size_t)(end - p))) != NULL) {
        size_t n = (size_t)(end - p);

        if (n > self->delimiter_len)
            n = self->delimiter_len;
        if (memcmp(p, self->delimiter, n) == 0) {
            *whole = n == self->delimiter_len;
            return (size_t)(p - front(self));
        }
        p++;
    }
    return self->len;
}

static int bad_boundary_line(struct shs_multipart *self)
{
    return malformed(self, "boundary-line",
                     "A boundary is followed by something other than the end of its line.");
}

/*
 * A delimiter is at the front: the rest of its line says whether it is the last. SHS_WAIT_READ when
 * it is not all there.
 */
static int end_delimiter(struct shs_multipart *self)
{
    const char *p = front(self) + self->delimiter_len;
    const char *end = front(self) + self->len;
    bool closing = false;
    size_t padding = 0;

    if (p < end && *p == '-') {
        if (end - p < 2)
            return self->ended ? bad_boundary_line(self) : SHS_WAIT_READ;
        if (p[1] != '-')
            return bad_boundary_line(self);
        closing = true;
        p += 2;
    }
    while (p < end && shs__is_blank(*p)) {
        if (++padding > MAX_PADDING)
            return bad_boundary_line(self);
        p++;
    }
    if (p == end && closing && self->ended) {
        self->state = SHS_MULTIPART_END;
        return SHS_OK;
    }
    if ((p < end && *p != '\r') || (end - p > 1 && p[1] != '\n'))
        return bad_boundary_line(self);
    if (end - p < 2)
        return self->ended ? bad_boundary_line(self) : SHS_WAIT_READ;
    use(self, (size_t)(p - front(self)));
    self->state = closing ? SHS_MULTIPART_END : SHS_MULTIPART_HEAD;
    return SHS_OK;
}

/* The CRLF of the blank line: the delimiter's, if one follows at once, else not data. */
static int settle_blank_line(struct shs_multipart *self)
{
    size_t n;
    int rc;

    for (;;) {
        n = self->len < self->delimiter_len ? self->len : self->delimiter_len;
        if (memcmp(front(self), self->delimiter, n) != 0) {
            use(self, 2);
            break;
        }
        if (n == self->delimiter_len)
            break;
        rc = fill_more(self);
        if (rc != SHS_OK)
            return rc;
    }
    self->blank_line = false;
    return SHS_OK;
}

int shs__multipart_data(struct shs_multipart *self, struct shs_str *data)
{
    int rc = self->failed;

    if (rc == SHS_OK && self->blank_line)
        rc = settle_blank_line(self);
    while (rc == SHS_OK &&
           (self->state == SHS_MULTIPART_PREAMBLE || self->state == SHS_MULTIPART_DATA)) {
        bool whole;
        size_t len = run_length(self, &whole);

        if (len > 0) {
            *data = (struct shs_str){front(self), len};
            use(self, len);
            return SHS_OK;
        }
        rc = whole ? end_delimiter(self) : SHS_WAIT_READ;
        if (rc == SHS_WAIT_READ && whole)
            rc = fill(self); /* the line of the closing delimiter may end with the body */
        else if (rc == SHS_WAIT_READ)
            rc = fill_more(self);
    }
    *data = (struct shs_str){NULL, 0};
    return rc;
}

/* -- the header lines of a part ---------------------------------------------------------------- */

static int parse_fields(struct shs_multipart *self, size_t len)
{
    const char *p = self->head, *end = self->head + len;

    self->field_count = 0;
    while (p < end) {
        const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
        struct shs_field *field = &self->fields[self->field_count];
        struct shs_refusal why;

        if (self->field_count == SHS_MULTIPART_FIELDS)
            return refuse(self, SHS_LIMIT, 431, "part-fields", "A part has too many header lines.");
        if (shs__field_parse(p, (size_t)(eol - p), field, &why) != SHS_OK)
            return malformed(self, why.rule, why.text);
        if (!shs_is_field_value(field->value))
            return malformed(self, "control-char", "A header line contains a control character.");
        self->field_count++;
        p = eol + 2;
    }
    return SHS_OK;
}

/* The field with that name, which may be there once. *value.ptr is NULL when it is not there. */
static int single_field(struct shs_multipart *self, struct shs_str name, struct shs_str *value)
{
    *value = (struct shs_str){NULL, 0};
    for (size_t i = 0; i < self->field_count; i++) {
        if (!shs__str_eq_nocase(self->fields[i].name, name))
            continue;
        if (value->ptr != NULL)
            return malformed(self, "part-field-twice", "A part has the same header line twice.");
        *value = self->fields[i].value;
    }
    return SHS_OK;
}

/* Room behind the header lines; what is decoded is never longer than they are. */
static char *text_room(struct shs_multipart *self)
{
    return self->head + self->limits.max_header_bytes + self->text_len;
}

static struct shs_str keep_text(struct shs_multipart *self, size_t len)
{
    struct shs_str kept = {text_room(self), len};

    self->text_len += len;
    return kept;
}

static int bad_filename(struct shs_multipart *self)
{
    return malformed(self, "part-filename", "A part's filename* is not of the form UTF-8''name.");
}

/* ISO-8859-1 or UTF-8 to UTF-8. Never longer than the "%XX" that it came from. */
static int to_utf8(struct shs_multipart *self, struct shs_str raw, bool latin1, struct shs_str *out)
{
    char *to = text_room(self);
    size_t len = 0;

    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.ptr[i];
        size_t n = latin1 ? 1 : shs__utf8_length(raw, i);

        if (n == 0)
            return bad_filename(self);
        if (latin1 && c >= 0x80) {
            to[len++] = (char)(0xc0 | c >> 6);
            to[len++] = (char)(0x80 | (c & 0x3f));
        } else {
            memmove(to + len, raw.ptr + i, n);
            len += n;
            i += n - 1;
        }
    }
    *out = keep_text(self, len);
    return SHS_OK;
}

/* charset ' language ' percent-encoded: RFC 8187 section 3.2. */
static int decode_ext_value(struct shs_multipart *self, struct shs_str s, struct shs_str *out)
{
    const char *first = memchr(s.ptr, '\'', s.len);
    const char *second =
        first == NULL ? NULL : memchr(first + 1, '\'', s.len - (size_t)(first + 1 - s.ptr));
    struct shs_str charset, encoded;
    char *raw;
    size_t len = 0;
    bool latin1;

    if (second == NULL)
        return bad_filename(self);
    charset = (struct shs_str){s.ptr, (size_t)(first - s.ptr)};
    encoded = (struct shs_str){second + 1, s.len - (size_t)(second + 1 - s.ptr)};
    latin1 = shs__str_eq_nocase(charset, SHS_STR("ISO-8859-1"));
    if (!latin1 && !shs__str_eq_nocase(charset, SHS_STR("UTF-8")))
        return bad_filename(self);
    raw = self->head + 2 * self->limits.max_header_bytes;
    if (shs_percent_decode(encoded, raw, encoded.len, &len) != SHS_OK)
        return bad_filename(self);
    return to_utf8(self, (struct shs_str){raw, len}, latin1, out);
}

/* One parameter of Content-Disposition, which may be there once. */
static int take_text(struct shs_multipart *self, struct shs_str value, bool quoted,
                     struct shs_str *out)
{
    if (out->ptr != NULL)
        return malformed(self, "part-name-twice", "A part has its name twice.");
    if (!quoted)
        *out = value;
    else
        *out = keep_text(self, shs__unquote(value, text_room(self)));
    return SHS_OK;
}

static int parse_disposition(struct shs_multipart *self, struct shs_str value)
{
    struct shs_str type = SHS_STR("form-data"), rest, name, text, plain = {NULL, 0};
    struct shs_part *part = &self->part;
    bool quoted = false;
    int rc = SHS_OK;

    if (value.ptr == NULL || !shs__media_type_is(value, type))
        return malformed(self, "part-disposition",
                         "A part must have Content-Disposition: form-data; name=\"...\".");
    rest = (struct shs_str){value.ptr + type.len, value.len - type.len};
    while (rc == SHS_OK) {
        if (shs__next_parameter(&rest, &name, &text, &quoted) != SHS_OK)
            return malformed(self, "part-disposition",
                             "A part's Content-Disposition is malformed.");
        if (name.ptr == NULL)
            break;
        if (shs__str_eq_nocase(name, SHS_STR("name")))
            rc = take_text(self, text, quoted, &part->name);
        else if (shs__str_eq_nocase(name, SHS_STR("filename")))
            rc = take_text(self, text, quoted, &plain);
        else if (shs__str_eq_nocase(name, SHS_STR("filename*")))
            rc = quoted || part->filename.ptr != NULL
                     ? bad_filename(self)
                     : decode_ext_value(self, text, &part->filename);
    }
    if (rc == SHS_OK && part->name.ptr == NULL)
        return malformed(self, "part-without-name", "A part of the form has no name.");
    if (part->filename.ptr == NULL)
        part->filename = plain;
    return rc;
}

/* Encodings are deprecated here (RFC 7578 section 4.7): the data is taken as it comes, or not. */
static bool is_identity(struct shs_str encoding)
{
    return encoding.ptr == NULL || shs__str_eq_nocase(encoding, SHS_STR("binary")) ||
           shs__str_eq_nocase(encoding, SHS_STR("8bit")) ||
           shs__str_eq_nocase(encoding, SHS_STR("7bit"));
}

static int parse_part(struct shs_multipart *self)
{
    struct shs_str disposition, encoding, type;
    int rc = single_field(self, SHS_STR("Content-Transfer-Encoding"), &encoding);

    memset(&self->part, 0, sizeof self->part);
    self->text_len = 0;
    if (rc == SHS_OK && !is_identity(encoding))
        return malformed(self, "part-encoding",
                         "A part's data must come as it is, without a transfer encoding.");
    if (rc == SHS_OK)
        rc = single_field(self, SHS_STR("Content-Type"), &type);
    if (rc == SHS_OK)
        rc = single_field(self, SHS_STR("Content-Disposition"), &disposition);
    if (rc != SHS_OK)
        return rc;
    self->part.content_type = type.ptr == NULL ? SHS_STR("text/plain") : type;
    return parse_disposition(self, disposition);
}

/* The front is the CRLF of the delimiter's line; behind it come the header lines. */
static int read_head(struct shs_multipart *self)
{
    const char *blank;
    size_t len;
    int rc;

    while ((blank = memmem(front(self), self->len, "\r\n\r\n", 4)) == NULL) {
        if (self->len >= self->limits.max_header_bytes + 4)
            break;
        rc = fill_more(self);
        if (rc != SHS_OK)
            return rc;
    }
    len = blank == NULL ? SIZE_MAX : (size_t)(blank - front(self));
    if (len > self->limits.max_header_bytes)
        return refuse(self, SHS_LIMIT, 431, "part-header-too-large",
                      "The header lines of a part are larger than this server accepts.");
    if (++self->parts > self->limits.max_parts)
        return refuse(self, SHS_LIMIT, 413, "too-many-parts",
                      "The form has more parts than this server accepts.");
    memcpy(self->head, front(self) + 2, len);
    use(self, len + 2);
    self->blank_line = true;
    self->state = SHS_MULTIPART_DATA;
    rc = parse_fields(self, len);
    return rc == SHS_OK ? parse_part(self) : rc;
}

/* -- what a handler calls ---------------------------------------------------------------------- */

int shs_multipart_next(struct shs_multipart *self, const struct shs_part **part)
{
    struct shs_str data;
    int rc;

    do {
        rc = shs__multipart_data(self, &data);
    } while (rc == SHS_OK && data.len > 0);
    if (rc != SHS_OK)
        return rc;
    if (self->state == SHS_MULTIPART_HEAD) {
        rc = read_head(self);
        if (rc == SHS_OK)
            *part = &self->part;
        return rc;
    }
    while (rc == SHS_OK && !self->ended) { /* the epilogue */
        self->start = 0;
        self->len = 0;
        rc = fill(self);
    }
    if (rc == SHS_OK)
        *part = NULL;
    return rc;
}

bool shs_multipart_header(const struct shs_multipart *self, const char *name, struct shs_str *value)
{
    for (size_t i = 0; i < self->field_count; i++) {
        if (shs__str_eq_nocase(self->fields[i].name, shs__str(name))) {
            *value = self->fields[i].value;
            return true;
        }
    }
    return false;
}

/* The data of a part; before the first and behind the last there is none. */
static int part_data(struct shs_multipart *self, struct shs_str *data)
{
    *data = (struct shs_str){NULL, 0};
    if (self->state == SHS_MULTIPART_PREAMBLE)
        return self->failed != SHS_OK ? self->failed : SHS_USAGE;
    return shs__multipart_data(self, data);
}

int shs_multipart_read(struct shs_multipart *self, void *buf, size_t cap, size_t *got)
{
    struct shs_str data;
    int rc;

    if (cap == 0)
        return SHS_USAGE;
    rc = part_data(self, &data);
    if (rc != SHS_OK)
        return rc;
    *got = data.len < cap ? data.len : cap;
    if (*got > 0)
        memcpy(buf, data.ptr, *got);
    if (data.len > *got) { /* the rest goes back where it still is */
        self->start = (size_t)(data.ptr - self->window) + *got;
        self->len += data.len - *got;
    }
    return SHS_OK;
}

static int part_too_large(struct shs_multipart *self)
{
    return refuse(self, SHS_LIMIT, 413, "part-too-large",
                  "A part of the form is larger than this server accepts.");
}

int shs_multipart_value(struct shs_multipart *self, size_t max, struct shs_str *out)
{
    struct shs_str data;
    struct shs_buf value;
    char *copy;
    int rc;

    if (self->req == NULL || self->is_fed)
        return SHS_USAGE;
    shs__buf_init(&value, max);
    do {
        rc = part_data(self, &data);
        if (rc == SHS_OK && data.len > 0)
            rc = shs__buf_append_str(&value, data);
        if (rc == SHS_LIMIT && self->failed == SHS_OK)
            rc = part_too_large(self);
    } while (rc == SHS_OK && data.len > 0);
    if (rc == SHS_OK) {
        copy = shs_request_alloc(self->req, value.len + 1);
        if (copy == NULL) {
            rc = fail(self, SHS_NOMEM);
        } else {
            if (value.len > 0)
                memcpy(copy, shs__buf_head(&value), value.len);
            copy[value.len] = '\0';
            *out = (struct shs_str){copy, value.len};
        }
    }
    shs__buf_free(&value);
    return rc;
}

int shs_multipart_save(struct shs_multipart *self, int fd, uint64_t max, uint64_t *written)
{
    struct shs_str data;
    uint64_t total = 0;
    int rc;

    do {
        rc = part_data(self, &data);
        if (rc == SHS_OK && data.len > max - total)
            rc = part_too_large(self);
        if (rc == SHS_OK)
            rc = shs__write_all(fd, data.ptr, data.len);
        if (rc == SHS_OK)
            total += data.len;
    } while (rc == SHS_OK && data.len > 0);
    if (written != NULL)
        *written = total;
    return rc;
}
