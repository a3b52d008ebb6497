#include <stdio.h>

#include <shs/version.h>

#include "base/text.h"

struct err_entry {
    int code;
    const char *name, *text;
};

static const struct err_entry err_entries[] = {
#define ERR_ENTRY(name, value, text) {(value), "SHS_" #name, (text)},
    SHS_ERR_MAP(ERR_ENTRY)
#undef ERR_ENTRY
        {SHS_WAIT_READ, "SHS_WAIT_READ", "waiting for the peer to send"},
    {SHS_WAIT_WRITE, "SHS_WAIT_WRITE", "waiting for the peer to read"},
    {SHS_YIELD, "SHS_YIELD", "others have their turn first"},
};

static const struct err_entry *find_err(int code)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(err_entries); i++) {
        if (err_entries[i].code == code)
            return &err_entries[i];
    }
    return NULL;
}

const char *shs_err_name(int code)
{
    const struct err_entry *entry = find_err(code);

    return entry == NULL ? "SHS_UNKNOWN" : entry->name;
}

const char *shs_err_text(int code)
{
    const struct err_entry *entry = find_err(code);

    return entry == NULL ? "unknown error" : entry->text;
}

int shs__error_vset(struct shs_error *err, int code, int sys_errno, const char *fmt, va_list ap)
{
    int len;

    if (err == NULL)
        return code;
    err->code = (enum shs_err)code;
    err->sys_errno = sys_errno;
    err->tls_code = 0;
    len = vsnprintf(err->text, sizeof err->text, fmt, ap);
    if (len >= (int)sizeof err->text)
        err->text[shs__utf8_trim((struct shs_str){err->text, sizeof err->text - 1})] = '\0';
    return code;
}

int shs_error_set(struct shs_error *err, int code, int sys_errno, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    shs__error_vset(err, code, sys_errno, fmt, ap);
    va_end(ap);
    return code;
}

const char *shs__strerror(int sys_errno, char *buf, size_t cap)
{
    /* strerrordesc_np (glibc 2.32): the untranslated text, from a constant table. */
    const char *text = strerrordesc_np(sys_errno);

    if (text != NULL)
        return text;
    snprintf(buf, cap, "errno %d", sys_errno);
    return buf;
}

void shs__say_more(char *text, size_t cap, const char *more)
{
    size_t len = strlen(text);
    bool ended = len > 0 && strchr(".?!", text[len - 1]) != NULL;
    char first = more[0] >= 'a' && more[0] <= 'z' ? (char)(more[0] - 'a' + 'A') : more[0];

    if (more[0] != '\0')
        snprintf(text + len, cap - len, "%s%c%s", ended ? " " : "; ", ended ? first : more[0],
                 more + 1);
}

const char *shs_version(void)
{
    return SHS_VERSION_STRING;
}
