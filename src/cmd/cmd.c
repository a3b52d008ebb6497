#include "cmd/cmd.h"

#include <stdio.h>

#define LINE_MAX_BYTES 2048

int cmd_fail(int code, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    /* One line, whatever a file name or an argument has in it. */
    for (char *c = line; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
    fprintf(stderr, "shs: error: %s\n", line);
    return code;
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
