#include "cmd/man/mdoc.h"

#include <stdio.h>

#define LINE_MAX_BYTES 70 /* and what escapes add to a word */

/* -- running text ------------------------------------------------------------------------------ */

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t';
}

static bool ends_sentence(const char *word, size_t len)
{
    while (len > 0 && (word[len - 1] == ')' || word[len - 1] == '"' || word[len - 1] == '\''))
        len--;
    return len > 0 && strchr(".!?", word[len - 1]) != NULL;
}

/* "--cert", and "-p": not the hyphen of "throw-away". */
static bool is_dash(const char *word, size_t at)
{
    return word[at] == '-' && (at == 0 || strchr("-('\"/", word[at - 1]) != NULL);
}

/* The bytes that were printed. */
static size_t print_word(const char *word, size_t len, bool first)
{
    size_t used = len;

    if (first && (word[0] == '.' || word[0] == '\'')) {
        fputs("\\&", stdout);
        used += 2;
    }
    for (size_t i = 0; i < len; i++) {
        if (word[i] == '\\')
            used += (size_t)printf("\\e") - 1;
        else if (is_dash(word, i))
            used += (size_t)printf("\\-") - 1;
        else if (word[i] == ')' && i > 0 && word[i - 1] == '(')
            used += (size_t)printf("\\&)") - 1; /* no "function name without markup" */
        else
            putchar(word[i]);
    }
    return used;
}

void mdoc_words(const char *text, size_t len)
{
    size_t used = 0;
    bool over = false;

    for (size_t at = 0, word; at < len; at += word) {
        while (at < len && is_space(text[at]))
            at++;
        for (word = 0; at + word < len && !is_space(text[at + word]);)
            word++;
        if (word == 0)
            break;
        if (used > 0 && (over || used + 1 + word > LINE_MAX_BYTES)) {
            putchar('\n');
            used = 0;
        }
        if (used > 0)
            putchar(' ');
        used += (used > 0) + print_word(text + at, word, used == 0);
        over = ends_sentence(text + at, word);
    }
    if (used > 0)
        putchar('\n');
}

void mdoc_argument(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputs("\\(dq", stdout);
        else if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
    }
    putchar('"');
}

void mdoc_literal(const char *line, size_t len)
{
    if (len > 0 && (line[0] == '.' || line[0] == '\''))
        fputs("\\&", stdout);
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '\\')
            fputs("\\e", stdout);
        else if (line[i] == '-')
            fputs("\\-", stdout);
        else
            putchar(line[i]);
    }
    putchar('\n');
}

void mdoc_heading(const char *text)
{
    const char *stop = strstr(text, ". ");
    char rest[200];
    size_t len = stop == NULL ? strlen(text) : (size_t)(stop - text);

    fputs(".Ss ", stdout);
    mdoc_words(text, len);
    if (stop == NULL)
        return;
    snprintf(rest, sizeof rest, "%s.", stop + 2);
    mdoc_words(rest, strlen(rest));
}

/* -- paragraphs -------------------------------------------------------------------------------- */

static size_t line_length(const char *line)
{
    return strcspn(line, "\n");
}

static size_t indentation(const char *line)
{
    return strspn(line, " ");
}

/* Up to a line that is empty, or to the end. */
static size_t paragraph_length(const char *text)
{
    size_t len = 0;

    while (text[len] != '\0' && text[len] != '\n') {
        len += line_length(text + len);
        len += text[len] == '\n';
    }
    return len;
}

/* Columns: two blanks in a row behind the first word, but for those after a sentence. */
static bool has_columns(const char *line)
{
    const char *at = line + indentation(line), *end = line + line_length(line);

    for (; at + 2 < end; at++) {
        if (at[1] == ' ' && at[2] == ' ' && strchr(".!?:", at[0]) == NULL)
            return true;
    }
    return false;
}

/* What the lines of a paragraph are indented by, all of them. */
static size_t margin_of(const char *text, size_t len)
{
    size_t least = SIZE_MAX;

    for (size_t at = 0; at < len; at += line_length(text + at) + 1) {
        if (indentation(text + at) < least)
            least = indentation(text + at);
    }
    return least;
}

static bool is_literal(const char *text, size_t len)
{
    size_t margin = margin_of(text, len);

    if (margin >= 4)
        return true;
    for (size_t at = 0; at < len; at += line_length(text + at) + 1) {
        if (indentation(text + at) != margin || has_columns(text + at))
            return true;
    }
    return false;
}

static bool is_heading(const char *text, size_t len)
{
    size_t line = line_length(text);

    return line + 1 >= len && text[0] != ' ' && line < 60 &&
           strchr(".:;,!?)", text[line - 1]) == NULL;
}

static void print_literal(const char *text, size_t len)
{
    size_t margin = margin_of(text, len);

    puts(".Bd -literal -offset 2n");
    for (size_t at = 0; at < len; at += line_length(text + at) + 1)
        mdoc_literal(text + at + margin, line_length(text + at) - margin);
    puts(".Ed");
}

void mdoc_paragraphs(const char *text, bool headings, bool follows)
{
    bool first = !follows;

    for (size_t len; *text != '\0'; text += len, first = false) {
        text += strspn(text, "\n");
        len = paragraph_length(text);
        if (len == 0)
            break;
        if (headings && is_heading(text, len)) {
            fputs(".Ss ", stdout);
            mdoc_words(text, len);
            first = true;
            text += len;
            len = 0;
            text += strspn(text, "\n");
            len = paragraph_length(text);
            if (len == 0)
                break;
        }
        if (is_literal(text, len)) {
            print_literal(text, len);
            continue;
        }
        if (!first)
            puts(".Pp");
        mdoc_words(text, len);
    }
}
