#include "cmd/serve_here.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOCAL ".local"

bool serve_is_host_name(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

    return name[0] != '\0' && name[0] != '-' && name[0] != '.' && strlen(name) < SERVE_HOST_MAX &&
           name[strspn(name, allowed)] == '\0';
}

static bool is_address(const char *text)
{
    struct in6_addr room;

    return inet_pton(AF_INET, text, &room) == 1 || inet_pton(AF_INET6, text, &room) == 1;
}

bool serve_is_name(const char *name)
{
    return serve_is_host_name(name) || is_address(name);
}

bool serve_is_everywhere(const char *host)
{
    return host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static void add(struct serve_here *here, const char *name)
{
    for (size_t i = 0; i < here->count; i++) {
        if (strcmp(here->names[i], name) == 0)
            return;
    }
    if (here->count == SERVE_HERE_MAX)
        here->more = true;
    else
        snprintf(here->names[here->count++], SERVE_HOST_MAX, "%s", name);
}

/* The address as text; false: it is of no use to others. */
static bool read_address(const struct sockaddr *addr, char *out, size_t cap)
{
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;

        return (ntohl(in->sin_addr.s_addr) >> 24) != IN_LOOPBACKNET &&
               in->sin_addr.s_addr != INADDR_ANY &&
               inet_ntop(AF_INET, &in->sin_addr, out, (socklen_t)cap) != NULL;
    }
    if (addr->sa_family == AF_INET6) {
        const struct in6_addr *in = &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;

        return !IN6_IS_ADDR_LOOPBACK(in) && !IN6_IS_ADDR_LINKLOCAL(in) &&
               !IN6_IS_ADDR_UNSPECIFIED(in) && inet_ntop(AF_INET6, in, out, (socklen_t)cap) != NULL;
    }
    return false;
}

/* The one that packets for elsewhere leave from: most likely the one that others reach. Connecting
   a datagram socket chooses it and sends nothing. */
static void add_best(struct serve_here *here)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)}, from;
    socklen_t len = sizeof from;
    char text[INET6_ADDRSTRLEN];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    to.sin_addr.s_addr = htonl(UINT32_C(0xC6336401)); /* 198.51.100.1, for documents (RFC 5737) */
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 &&
        getsockname(fd, (struct sockaddr *)&from, &len) == 0 &&
        read_address((const struct sockaddr *)&from, text, sizeof text))
        add(here, text);
    (void)close(fd);
}

static void add_family(struct serve_here *here, const struct ifaddrs *all, int family)
{
    char text[INET6_ADDRSTRLEN];

    for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr != NULL && at->ifa_addr->sa_family == family &&
            (at->ifa_flags & IFF_UP) != 0 && (at->ifa_flags & IFF_LOOPBACK) == 0 &&
            read_address(at->ifa_addr, text, sizeof text))
            add(here, text);
    }
}

/* The host's name, and its first part in ".local" (RFC 6762). */
static void add_host(struct serve_here *here)
{
    char host[SERVE_HOST_MAX], local[SERVE_HOST_MAX];
    size_t first;

    if (gethostname(host, sizeof host) != 0)
        return;
    host[sizeof host - 1] = '\0';
    if (!serve_is_host_name(host) || strcmp(host, "localhost") == 0)
        return;
    add(here, host);
    first = strcspn(host, ".");
    if (!is_address(host) && first + sizeof LOCAL <= sizeof local) {
        snprintf(local, sizeof local, "%.*s" LOCAL, (int)first, host);
        add(here, local);
    }
}

void serve_here_find(struct serve_here *out)
{
    struct ifaddrs *all = NULL;

    memset(out, 0, sizeof *out);
    add_best(out);
    if (getifaddrs(&all) == 0) {
        add_family(out, all, AF_INET);
        add_family(out, all, AF_INET6);
        freeifaddrs(all);
    }
    if (out->count > SERVE_HERE_MAX - 2) { /* room for the two names */
        out->count = SERVE_HERE_MAX - 2;
        out->more = true;
    }
    out->addresses = out->count;
    add_host(out);
}
