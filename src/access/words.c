#include "access/words.h"

#include <stdio.h>

#include "base/text.h"

#define NAME_SHOWN 60

void shs__words_begin(struct shs_words *self, const char *name, struct shs_str text,
                      struct shs_arena *memory)
{
    size_t len = strlen(name);

    memset(self, 0, sizeof *self);
    self->name = len > NAME_SHOWN ? name + len - NAME_SHOWN : name;
    self->memory = memory;
    self->rest = text;
    self->next_line = 1;
}

int shs__words_fault(const struct shs_words *self, struct shs_error *err, const char *fmt, ...)
{
    char text[240];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return shs_error_set(err, SHS_USAGE, 0, "%s:%u: %s", self->name, self->line, text);
}

static bool is_end(const struct shs_words *self)
{
    return self->rest.len == 0;
}

static char peek(const struct shs_words *self)
{
    return is_end(self) ? '\n' : self->rest.ptr[0];
}

static char take(struct shs_words *self)
{
    char c = peek(self);

    if (is_end(self))
        return c;
    if (c == '\n')
        self->next_line++;
    self->rest.ptr++;
    self->rest.len--;
    return c;
}

/* A "\" before the end of the line, perhaps with CR. */
static bool goes_on(const struct shs_words *self)
{
    const char *p = self->rest.ptr;

    return self->rest.len >= 2 && p[0] == '\\' &&
           (p[1] == '\n' || (self->rest.len >= 3 && p[1] == '\r' && p[2] == '\n'));
}

/* Blanks, comments, and what goes on. */
static void skip(struct shs_words *self)
{
    for (;;) {
        if (goes_on(self)) {
            while (take(self) != '\n')
                ;
        } else if (peek(self) == ' ' || peek(self) == '\t' || peek(self) == '\r') {
            take(self);
        } else {
            break;
        }
    }
    if (peek(self) == '#') {
        while (peek(self) != '\n')
            take(self);
    }
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool ends_word(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int read_quoted(struct shs_words *self, struct shs_buf *word, struct shs_error *err)
{
    char c;
    int rc = SHS_OK;

    take(self);
    while (rc == SHS_OK && peek(self) != '"') {
        if (peek(self) == '\n')
            return shs__words_fault(self, err,
                                    "a \" is missing: a word in quotes ends on its line.");
        c = take(self);
        if (c == '\\') {
            c = take(self);
            if (c != '"' && c != '\\')
                return shs__words_fault(self, err,
                                        "in quotes, \\ stands before \" and \\ and nothing else.");
        }
        if (is_control(c))
            return shs__words_fault(self, err, "a control character, 0x%02x, is in a word.",
                                    (unsigned char)c);
        rc = shs__buf_append(word, &c, 1);
    }
    take(self);
    c = peek(self);
    if (rc == SHS_OK && !ends_word(c) && c != '#')
        return shs__words_fault(self, err, "a space is missing after a word in quotes.");
    return rc;
}

static int read_bare(struct shs_words *self, struct shs_buf *word, struct shs_error *err)
{
    int rc = SHS_OK;

    while (rc == SHS_OK && !ends_word(peek(self)) && !goes_on(self)) {
        char c = take(self);

        if (c == '"')
            return shs__words_fault(self, err, "a \" is in a word: put the whole word in quotes.");
        if (is_control(c))
            return shs__words_fault(self, err, "a control character, 0x%02x, is in a word.",
                                    (unsigned char)c);
        rc = shs__buf_append(word, &c, 1);
    }
    return rc;
}

static int read_word(struct shs_words *self, struct shs_buf *word, struct shs_error *err)
{
    int rc;

    if (self->count == SHS_ACCESS_WORDS)
        return shs_error_set(err, SHS_LIMIT, 0, "%s:%u: a line has more than %d words.", self->name,
                             self->line, SHS_ACCESS_WORDS);
    shs__buf_consume(word, word->len);
    rc = peek(self) == '"' ? read_quoted(self, word, err) : read_bare(self, word, err);
    if (rc == SHS_LIMIT)
        return shs_error_set(err, SHS_LIMIT, 0, "%s:%u: a word is longer than %zu bytes.",
                             self->name, self->line, word->ceiling);
    if (rc == SHS_USAGE)
        return rc;
    if (rc == SHS_OK)
        self->at[self->count] =
            shs__arena_copy(self->memory, (struct shs_str){shs__buf_head(word), word->len});
    if (rc != SHS_OK || self->at[self->count].ptr == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for rules.");
    self->count++;
    return SHS_OK;
}

int shs__words_next(struct shs_words *self, struct shs_error *err)
{
    struct shs_buf word;
    int rc = SHS_OK;

    shs__buf_init(&word, 4096);
    self->count = 0;
    while (rc == SHS_OK && self->count == 0 && !is_end(self)) {
        self->line = self->next_line;
        skip(self);
        while (rc == SHS_OK && peek(self) != '\n') {
            rc = read_word(self, &word, err);
            skip(self);
        }
        take(self);
    }
    shs__buf_free(&word);
    return rc == SHS_OK && self->count == 0 ? SHS_CLOSED : rc;
}

struct shs_str shs__words_text(const struct shs_words *self)
{
    char text[SHS_ACCESS_TEXT_MAX];
    size_t len = 0, max = sizeof text;

    for (size_t i = 0; i < self->count && len < max; i++) {
        struct shs_str word = self->at[i];
        size_t room = max - len;

        if (i > 0) {
            text[len++] = ' ';
            room--;
        }
        if (word.len > room)
            word.len = shs__utf8_cut(word, room);
        if (word.len > 0)
            memcpy(text + len, word.ptr, word.len);
        len += word.len;
    }
    return shs__arena_copy(self->memory, (struct shs_str){text, len});
}
