#include "cmd/proxy_target.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/un.h>

#include <shs/str.h>

#include "base/base.h"
#include "base/chars.h"
#include "cmd/serve_place.h"

#define HTTP_PREFIX "http://"
#define UNIX_PREFIX "unix:"

/* The parts of "/api=http://HOST:PORT/path"; views of the text. */
struct parts {
    struct shs_str prefix, host, port, path; /* path.ptr NULL: none */
    const char *unix_path, *target;
};

static bool read_host(struct parts *out, const char *text, const char **why)
{
    size_t len = strcspn(text, "/");
    const char *colon = memrchr(text, ':', len), *end = memchr(text, ']', len);
    unsigned port;

    if (text[len] == '/')
        out->path = (struct shs_str){text + len, strlen(text + len)};
    if (colon != NULL && end != NULL && colon < end)
        colon = NULL;
    out->port = colon == NULL ? SHS_STR("80")
                              : (struct shs_str){colon + 1, (size_t)(text + len - colon - 1)};
    out->host = (struct shs_str){text, colon == NULL ? len : (size_t)(colon - text)};
    if (out->host.len >= 2 && text[0] == '[' && end == text + out->host.len - 1)
        out->host = (struct shs_str){text + 1, out->host.len - 2};
    *why = "names no host and port that can be used: http://127.0.0.1:3000";
    if (out->host.len == 0 || out->host.len >= SERVE_HOST_MAX || memchr(text, '@', len) != NULL ||
        strpbrk(text, "?# \t\r\n") != NULL)
        return false;
    /* The C library takes greater numbers, and uses what is left of them: another port. */
    if (!shs__read_port(out->port, &port) || port == 0)
        return false;
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
            return false;
    }
    return true;
}

static bool read_parts(struct parts *out, const char *text, const char **why)
{
    const char *equals = strchr(text, '=');
    struct sockaddr_un room;

    memset(out, 0, sizeof *out);
    *why = "is not of the form /PATH=http://HOST:PORT or /PATH=unix:FILE";
    if (equals == NULL || text[0] != '/')
        return false;
    out->prefix = (struct shs_str){text, (size_t)(equals - text)};
    out->target = equals + 1;
    if (out->prefix.ptr[out->prefix.len - 1] == '/')
        out->prefix.len--;
    if (memchr(text, '{', (size_t)(equals - text)) != NULL ||
        out->prefix.len > PROXY_PATTERN_MAX - 16)
        return false;
    if (strncmp(out->target, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
        out->unix_path = out->target + strlen(UNIX_PREFIX);
        *why = "names no Unix socket, or its path is too long";
        return out->unix_path[0] != '\0' && strlen(out->unix_path) < sizeof room.sun_path;
    }
    if (strncmp(out->target, "https://", 8) == 0)
        *why = "goes to https, and only http:// and unix: can be asked: for servers nearby";
    if (strncmp(out->target, HTTP_PREFIX, strlen(HTTP_PREFIX)) != 0)
        return false;
    return read_host(out, out->target + strlen(HTTP_PREFIX), why);
}

bool proxy_target_looks_right(const char *text, const char **why)
{
    struct parts parts;

    return read_parts(&parts, text, why);
}

static int find_addresses(struct proxy_target *self, const struct parts *parts,
                          struct shs_error *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all = NULL;
    char host[SERVE_HOST_MAX], port[8];
    int rc;

    if (parts->unix_path != NULL) {
        struct sockaddr_un *at = (struct sockaddr_un *)(void *)&self->addresses[0].at;

        at->sun_family = AF_UNIX;
        snprintf(at->sun_path, sizeof at->sun_path, "%s", parts->unix_path);
        self->addresses[0].len = sizeof *at;
        self->address_count = 1;
        return SHS_OK;
    }
    snprintf(host, sizeof host, "%.*s", (int)parts->host.len, parts->host.ptr);
    snprintf(port, sizeof port, "%.*s", (int)parts->port.len, parts->port.ptr);
    rc = getaddrinfo(host, port, &hints, &all);
    if (rc != 0)
        return shs_error_set(err, SHS_USAGE, 0, "--proxy %s: there is no host %s: %s", self->given,
                             host, gai_strerror(rc));
    for (struct addrinfo *at = all; at != NULL && self->address_count < PROXY_ADDRESSES_MAX;
         at = at->ai_next) {
        struct proxy_address *to = &self->addresses[self->address_count++];

        memcpy(&to->at, at->ai_addr, at->ai_addrlen);
        to->len = at->ai_addrlen;
    }
    freeaddrinfo(all);
    return SHS_OK;
}

int proxy_target_init(struct proxy_target *self, const char *text, struct shs_error *err)
{
    struct parts parts;
    const char *why;

    if (!read_parts(&parts, text, &why))
        return shs_error_set(err, SHS_USAGE, 0, "--proxy %s: %s", text, why);
    if (parts.path.len > 0 && parts.path.ptr[parts.path.len - 1] == '/')
        parts.path.len--; /* a "/" comes with what is below it */
    self->prefix = shs__strndup(parts.prefix.ptr, parts.prefix.len);
    self->given = shs__strdup(parts.target);
    self->path = parts.path.ptr == NULL ? NULL : shs__strndup(parts.path.ptr, parts.path.len);
    if (self->prefix == NULL || self->given == NULL ||
        (parts.path.ptr != NULL && self->path == NULL))
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for --proxy");
    return find_addresses(self, &parts, err);
}

void proxy_target_free(struct proxy_target *self)
{
    shs__free(self->prefix);
    shs__free(self->path);
    shs__free(self->given);
}
