#include "tls/wire/plain.h"

#define HOST_MAX 255u

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == ':' || c == '[' || c == ']' || c == '_';
}

/* The value of the Host field, if there is one and it is all of a host's bytes. */
static bool find_host(const struct shs_buf *text, char host[HOST_MAX + 1])
{
    static const char field[] = "\r\nhost:";
    const char *at = shs__buf_head(text), *end = at + text->len;
    size_t len = 0, i;

    for (; end - at >= (ptrdiff_t)(sizeof field - 1); at++) {
        for (i = 0; i < sizeof field - 1; i++) {
            if (shs__lower((unsigned char)at[i]) != (unsigned char)field[i])
                break;
        }
        if (i == sizeof field - 1)
            break;
    }
    if (end - at < (ptrdiff_t)(sizeof field - 1))
        return false;
    at += sizeof field - 1;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (at < end && len < HOST_MAX && is_host_byte(*at))
        host[len++] = *at++;
    host[len] = '\0';
    return len > 0 && at < end && *at == '\r';
}

int shs__tls_plain_answer(struct shs_buf *text)
{
    static const char says[] =
        "This port speaks HTTPS, and the request came as plain HTTP.\nUse a URL that begins with "
        "https:// instead of http://";
    char host[HOST_MAX + 1];
    struct shs_buf body;
    bool head_only = text->len >= 5 && memcmp(shs__buf_head(text), "HEAD ", 5) == 0;
    int rc;

    shs__buf_init(&body, sizeof says + sizeof host + 32);
    rc = shs__buf_append(&body, says, sizeof says - 1);
    if (rc == SHS_OK && find_host(text, host))
        rc = shs__buf_printf(&body, ": https://%s/\n", host);
    else if (rc == SHS_OK)
        rc = shs__buf_append(&body, ".\n", 2);
    shs__buf_consume(text, text->len);
    if (rc == SHS_OK)
        rc = shs__buf_printf(text,
                             "HTTP/1.1 400 Bad Request\r\n"
                             "Content-Type: text/plain; charset=utf-8\r\n"
                             "Content-Length: %zu\r\n"
                             "Connection: close\r\n\r\n",
                             body.len);
    if (rc == SHS_OK && !head_only)
        rc = shs__buf_append(text, shs__buf_head(&body), body.len);
    shs__buf_free(&body);
    return rc;
}
