#include "cmd/man/header.h"

#include <errno.h>
#include <stdio.h>

#include "base/base.h"
#include "cmd/cmd.h"
#include "cmd/man/mdoc.h"

#define HEADER_MAX ((size_t)256 * 1024)
#define NAME_BYTES 64

struct header {
    char text[HEADER_MAX];    /* the file */
    char comment[HEADER_MAX]; /* the one that is being read, without its stars */
    char name[NAME_BYTES];    /* "router" */
    char summary[200];
};

static int read_header(struct header *self, const char *path)
{
    FILE *from = fopen(path, "re");
    const char *slash = strrchr(path, '/');
    size_t len;

    if (from == NULL)
        return cmd_fail(CMD_FAILED, "cannot read %s: %s", path, strerror(errno));
    len = fread(self->text, 1, sizeof self->text - 1, from);
    (void)fclose(from);
    if (len == sizeof self->text - 1)
        return cmd_fail(CMD_FAILED, "%s is longer than %zu bytes", path, sizeof self->text);
    self->text[len] = '\0';
    snprintf(self->name, sizeof self->name, "%s", slash == NULL ? path : slash + 1);
    self->name[strcspn(self->name, ".")] = '\0';
    return CMD_OK;
}

/* A comment that begins at `at`, without what makes it one; returns what follows it. */
static const char *read_comment(struct header *self, const char *at)
{
    const char *end = strstr(at, "*/");
    size_t used = 0;

    if (end == NULL)
        end = at + strlen(at);
    for (at += 2; at < end;) {
        size_t len = strcspn(at, "\n");

        len = at + len > end ? (size_t)(end - at) : len;
        if (len > 0 && at[0] == ' ' && at[1] == '*' && at + 1 < end) { /* the star of a line */
            at += 2;
            len -= 2;
        }
        if (len > 0 && at[0] == ' ') {
            at++;
            len--;
        }
        memcpy(self->comment + used, at, len);
        used += len;
        while (used > 0 && self->comment[used - 1] == ' ')
            used--;
        self->comment[used++] = '\n';
        at += len + (at + len < end);
    }
    self->comment[used] = '\0';
    return *end == '\0' ? end : end + 2;
}

/* The first comment, its first line apart: "shs/router.h - from a method to a function." */
static const char *read_first(struct header *self)
{
    const char *rest = read_comment(self, strstr(self->text, "/*"));
    char *dash = strstr(self->comment, " - "), *end;

    if (dash == NULL)
        return rest;
    end = strstr(dash, "\n\n");
    if (end == NULL)
        end = dash + strlen(dash);
    snprintf(self->summary, sizeof self->summary, "%.*s", (int)(end - dash - 3), dash + 3);
    for (char *c = self->summary; *c != '\0'; c++)
        *c = *c == '\n' ? ' ' : *c;
    for (size_t len = strlen(self->summary);
         len > 0 && strchr(" .?", self->summary[len - 1]) != NULL; len--)
        self->summary[len - 1] = '\0';
    memmove(self->comment, end, strlen(end) + 1);
    return rest;
}

/* -- declarations ------------------------------------------------------------------------------ */

/* Lines that a reader of the page has no use for. */
static bool is_noise(const char *line, size_t len)
{
    static const char *const starts[] = {"#ifndef SHS_", "#include",     "#ifdef __cplusplus",
                                         "#endif",       "extern \"C\"", "#if",
                                         "#else",        "#elif"};

    if (len == 1 && line[0] == '}')
        return true;
    for (size_t i = 0; i < SHS_ARRAY_LEN(starts); i++) {
        if (strncmp(line, starts[i], strlen(starts[i])) == 0)
            return true;
    }
    /* The guard: it has no value. */
    return strncmp(line, "#define SHS_", 12) == 0 && len > 2 && line[len - 2] == '_' &&
           line[len - 1] == 'H';
}

/* From here to an empty line outside of braces. */
static size_t chunk_length(const char *at)
{
    size_t len = 0;
    int depth = 0;

    while (at[len] != '\0') {
        size_t line = strcspn(at + len, "\n");

        if (line == 0 && depth <= 0)
            break;
        for (size_t i = 0; i < line && !is_noise(at + len, line); i++)
            depth += (at[len + i] == '{') - (at[len + i] == '}');
        len += line + (at[len + line] == '\n');
        if (strncmp(at + len, "/*", 2) == 0 && depth <= 0)
            break;
    }
    return len;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The first name of ours in a declaration that is the declared one, or "". */
static void name_of(const char *text, size_t len, char out[NAME_BYTES])
{
    bool type = strncmp(text, "struct ", 7) == 0 || strncmp(text, "enum ", 5) == 0 ||
                strncmp(text, "union ", 6) == 0;
    const char *stop = memchr(text, '(', len), *brace = memchr(text, '{', len);
    size_t end, start;

    out[0] = '\0';
    if (strncmp(text, "#define ", 8) == 0) {
        start = 8;
        for (end = start; end < len && is_word(text[end]); end++)
            ;
    } else if (type && (brace != NULL && (stop == NULL || brace < stop))) {
        end = (size_t)(brace - text);
        while (end > 0 && text[end - 1] == ' ')
            end--;
        start = 0;
    } else {
        if (stop == NULL)
            return;
        end = (size_t)(stop - text);
        for (start = end; start > 0 && is_word(text[start - 1]); start--)
            ;
    }
    if (end > start && end - start < NAME_BYTES)
        snprintf(out, NAME_BYTES, "%.*s", (int)(end - start), text + start);
}

/* Nothing but noise: such a chunk is left out. */
static bool is_empty(const char *text, size_t len)
{
    for (size_t at = 0, line; at < len; at += line + 1) {
        line = strcspn(text + at, "\n");
        if (line > 0 && !is_noise(text + at, line))
            return false;
    }
    return true;
}

static void print_code(const char *text, size_t len)
{
    puts(".Bd -literal");
    for (size_t at = 0, line; at < len; at += line + 1) {
        line = strcspn(text + at, "\n");
        if (!is_noise(text + at, line))
            mdoc_literal(text + at, line);
    }
    puts(".Ed");
}

/* A comment, and the declarations under it. */
static void print_chunk(const struct header *self, bool commented, const char *text, size_t len)
{
    char name[NAME_BYTES];

    name_of(text, len, name);
    if (name[0] != '\0' && commented) {
        fputs(".Ss ", stdout);
        mdoc_argument(name);
        putchar('\n');
    }
    print_code(text, len);
    if (commented) {
        mdoc_paragraphs(self->comment, false, true);
    }
}

/* "-- names ----", or for a tool: nothing for readers of the page. */
static bool is_rule(const char *comment)
{
    return strncmp(comment, "-- ", 3) == 0 || strncmp(comment, "clang-format", 12) == 0;
}

static void print_declarations(struct header *self, const char *at)
{
    while (*(at += strspn(at, "\n")) != '\0') {
        bool commented = strncmp(at, "/*", 2) == 0;
        size_t len;

        if (commented) {
            at = read_comment(self, at);
            at += *at == '\n';
            commented = !is_rule(self->comment);
        }
        len = chunk_length(at);
        if (!is_empty(at, len))
            print_chunk(self, commented, at, len);
        else if (commented)
            mdoc_paragraphs(self->comment, false, true);
        at += len;
    }
}

static struct header header;

int man_header(const char *path, const char *date)
{
    int code = read_header(&header, path);
    const char *rest;

    if (code != CMD_OK)
        return code;
    rest = read_first(&header);
    printf(".Dd %s\n.Dt SHS_", date);
    for (const char *c = header.name; *c != '\0'; c++)
        putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    printf(" 3\n.Os\n.Sh NAME\n.Nm shs_%s\n.Nd ", header.name);
    mdoc_literal(header.summary, strlen(header.summary));
    printf(".Sh LIBRARY\nlibshs: pkg\\-config shs\n.Sh SYNOPSIS\n.In shs/%s.h\n.Sh DESCRIPTION\n",
           header.name);
    mdoc_paragraphs(header.comment, true, false);
    puts(".Sh DECLARATIONS");
    print_declarations(&header, rest);
    puts(".Sh SEE ALSO\n.Xr shs 1 ,\n.Xr libshs 7");
    return CMD_OK;
}

int man_header_line(const char *path)
{
    int code = read_header(&header, path);

    if (code != CMD_OK)
        return code;
    (void)read_first(&header);
    printf(".It Xr shs_%s 3\n", header.name);
    mdoc_words(header.summary, strlen(header.summary));
    return CMD_OK;
}
