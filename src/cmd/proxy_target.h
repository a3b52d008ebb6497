/*
 * proxy_target.h - "/api=http://127.0.0.1:3000" of --proxy: the paths, and the server that answers
 * them.
 */
#ifndef SHS_CMD_PROXY_TARGET_H
#define SHS_CMD_PROXY_TARGET_H

#include <stdbool.h>
#include <sys/socket.h>

#include <shs/error.h>

#define PROXY_ADDRESSES_MAX 8u
#define PROXY_PATTERN_MAX 1024u

struct proxy_address {
    struct sockaddr_storage at;
    socklen_t len;
};

struct proxy_target {
    char *prefix; /* "/api"; "" is everything */
    char *path;   /* what stands in its place there; NULL: it stays */
    char *given;  /* the server as it was given, for messages */
    struct proxy_address addresses[PROXY_ADDRESSES_MAX];
    size_t address_count;
};

/* "/api=http://127.0.0.1:3000", "/=unix:/run/app.sock". False, and *why is a sentence's end. */
bool proxy_target_looks_right(const char *text, const char **why);

/* Reads it, and looks the host up. `out` is all zero before; on an error, too, it is freed with
   proxy_target_free. */
int proxy_target_init(struct proxy_target *out, const char *text, struct shs_error *err);
void proxy_target_free(struct proxy_target *self);

#endif
