#include "cmd/serve_place.h"

#include <stdio.h>
#include <sys/socket.h>

#include "base/base.h"

#define UNIX_PREFIX "unix:"
#define FD_PREFIX "fd:"
#define PASSED "systemd"

bool serve_is_port(const char *text)
{
    unsigned port = 0;

    for (size_t i = 0; text[i] >= '0' && text[i] <= '9' && i < 6; i++)
        port = port * 10 + (unsigned)(text[i] - '0');
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0' && port <= 65535;
}

static bool take_host(struct serve_place *out, const char *text, size_t len)
{
    return memchr(text, '/', len) == NULL &&
           snprintf(out->host, sizeof out->host, "%.*s", (int)len, text) < (int)sizeof out->host;
}

/* "[::1]:8443", "[::1]" */
static bool read_bracketed(struct serve_place *out, const char *text)
{
    const char *end = strchr(text, ']');

    if (end == NULL || end == text + 1 || (end[1] != ':' && end[1] != '\0'))
        return false;
    if (end[1] == ':') {
        out->port = end + 2;
        if (!serve_is_port(out->port))
            return false;
    }
    return take_host(out, text + 1, (size_t)(end - text - 1));
}

/* "3" */
static bool read_fd(struct serve_place *out, const char *text)
{
    int fd = 0;

    for (size_t i = 0; text[i] >= '0' && text[i] <= '9' && i < 6; i++)
        fd = fd * 10 + (text[i] - '0');
    out->fd = fd;
    return text[0] != '\0' && strlen(text) <= 6 && text[strspn(text, "0123456789")] == '\0' &&
           fd > 2;
}

bool serve_place_read(struct serve_place *out, const char *text)
{
    const char *colon = strchr(text, ':');

    memset(out, 0, sizeof *out);
    out->fd = -1;
    if (strncmp(text, FD_PREFIX, strlen(FD_PREFIX)) == 0)
        return read_fd(out, text + strlen(FD_PREFIX));
    if (strcmp(text, PASSED) == 0 || strncmp(text, PASSED ":", strlen(PASSED) + 1) == 0) {
        out->passed = text[strlen(PASSED)] == ':' ? text + strlen(PASSED) + 1 : "";
        return true;
    }
    if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
        out->path = text + strlen(UNIX_PREFIX);
        return out->path[0] != '\0';
    }
    if (text[0] == '[')
        return read_bracketed(out, text);
    if (colon == NULL || strchr(colon + 1, ':') != NULL) /* an IPv6 address has two at least */
        return take_host(out, text, strlen(text));
    out->port = colon + 1;
    return serve_is_port(out->port) && take_host(out, text, (size_t)(colon - text));
}

void serve_place_name(const struct shs_listener *listener, char *out, size_t cap)
{
    const char *host = shs_listener_host(listener);

    if (shs_listener_family(listener) == AF_UNIX)
        snprintf(out, cap, UNIX_PREFIX "%s", host);
    else
        snprintf(out, cap, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host,
                 shs_listener_port(listener));
}

void serve_place_url(const struct shs_listener *listener, const char *scheme, char *out, size_t cap)
{
    const char *host = shs_listener_host(listener);
    unsigned port = shs_listener_port(listener);

    if (shs_listener_family(listener) == AF_UNIX) {
        snprintf(out, cap, "%s://localhost/", scheme);
        return;
    }
    if (strcmp(host, "127.0.0.1") == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
        host = "localhost";
    if (strchr(host, ':') != NULL)
        snprintf(out, cap, "%s://[%s]:%u/", scheme, host, port);
    else
        snprintf(out, cap, "%s://%s:%u/", scheme, host, port);
}
