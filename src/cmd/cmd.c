#include "cmd/cmd.h"

#include <errno.h>
#include <stdio.h>

#include "base/text.h"

#define LINE_MAX_BYTES 2048

void cmd_clean(char *text)
{
    struct shs_str s = shs_str_of(text);

    for (size_t i = 0; i < s.len; i++) {
        unsigned char *c = (unsigned char *)text + i;

        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
        else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
            c[0] = c[1] = '?';
        else if (shs__utf8_turns(s, i))
            memset(c, '?', shs__utf8_length(s, i));
    }
}

/* One line, whatever a file name or an argument has in it. */
static void say(const char *kind, const char *fmt, va_list ap)
{
    char line[LINE_MAX_BYTES];

    vsnprintf(line, sizeof line, fmt, ap);
    cmd_clean(line);
    fprintf(stderr, "shs: %s: %s\n", kind, line);
}

/* What a thread wants to know instead of having it printed. */
static _Thread_local struct {
    char *text; /* NULL: it is printed */
    size_t cap;
} kept;

void cmd_fail_keep(char *text, size_t cap)
{
    kept.text = text;
    kept.cap = cap;
}

int cmd_fail(int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (kept.text == NULL)
        say("error", fmt, ap);
    else if (kept.text[0] == '\0')
        vsnprintf(kept.text, kept.cap, fmt, ap);
    va_end(ap);
    return code;
}

void cmd_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("warning", fmt, ap);
    va_end(ap);
}

/* Why something was lost, in `why`; or NULL. The error of the stream is looked at first: a buffer
   that could not be written is gone, so that fflush has nothing left to fail with. */
static const char *flush(char *why, size_t cap)
{
    bool lost = ferror(stdout) != 0, last_too = fflush(stdout) != 0;
    int saved = errno;

    if (!lost && !last_too)
        return NULL;
    clearerr(stdout);
    return last_too ? shs__strerror(saved, why, cap) : "a part of it is lost; is the disk full?";
}

int cmd_flush(void)
{
    char why[96];
    const char *lost = flush(why, sizeof why);

    if (lost == NULL)
        return CMD_OK;
    return cmd_fail(CMD_FAILED, "cannot write to the standard output: %s", lost);
}

void cmd_flush_or_warn(void)
{
    char why[96];
    const char *lost = flush(why, sizeof why);

    if (lost != NULL)
        cmd_warn("cannot write to the standard output: %s", lost);
}

char *cmd_shell_quote(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "/._-+:@%,=";
    char *quoted, *to;

    if (text[0] != '\0' && text[strspn(text, plain)] == '\0')
        return shs__strdup(text);
    quoted = shs__malloc(4 * strlen(text) + 3);
    if (quoted == NULL)
        return NULL;
    to = quoted;
    *to++ = '\'';
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            memcpy(to, "'\\''", 4);
            to += 4;
        } else {
            *to++ = *text;
        }
    }
    *to++ = '\'';
    *to = '\0';
    return quoted;
}
