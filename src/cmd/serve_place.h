/*
 * serve_place.h - where `shs serve` listens: what --bind says, and how it is said.
 */
#ifndef SHS_CMD_SERVE_PLACE_H
#define SHS_CMD_SERVE_PLACE_H

#include <shs/server.h>

#define SERVE_HOST_MAX 256
/* "host:port", "[host]:port" or "unix:path" */
#define SERVE_PLACE_MAX (SERVE_HOST_MAX + 16)

/* A host, with a port if it has one of its own; or a Unix socket's path. */
struct serve_place {
    char host[SERVE_HOST_MAX];
    const char *port;   /* NULL: the one of --port. Points into the text that was read */
    const char *path;   /* likewise; NULL: it is a host */
    int fd;             /* "fd:3": a socket that the process was started with; -1: it is none */
    const char *passed; /* "systemd" or "systemd:NAME": "" or the name; NULL: it is neither */
};

/* "HOST", "HOST:PORT", "[IPV6]:PORT", an IPv6 address as it is, "unix:PATH", "fd:N", "systemd" or
   "systemd:NAME". False: it is none of them. */
bool serve_place_read(struct serve_place *out, const char *text);

/* Digits that are a port. */
bool serve_is_port(const char *text);

/* The listening socket in words, to be told apart from others: "127.0.0.1:8443". */
void serve_place_name(const struct shs_listener *listener, char *out, size_t cap);
/* The URL to try: by name where the address is this computer's, for certificates have names. */
void serve_place_url(const struct shs_listener *listener, const char *scheme, char *out,
                     size_t cap);

#endif
