#include "cmd/serve_limits.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "cmd/cmd.h"

enum kind { COUNT, MILLISECONDS, BYTES };

struct limit {
    const char *name;
    enum kind kind;
    size_t offset, size; /* of the member of struct shs_options */
    uint64_t min, max;
    const char *help; /* lines of it are joined by '\n' */
};

#define MEMBER(name) offsetof(struct shs_options, name), sizeof(((struct shs_options *)0)->name)
#define GIB ((uint64_t)1 << 30)

static const struct limit limits[] = {
    {"max-connections", COUNT, MEMBER(max_connections), 1, 10000000,
     "connections at once, at most (10000)"},
    {"max-connections-per-address", COUNT, MEMBER(max_connections_per_address), 1, 10000000,
     "of them from one address (no bound)"},
    {"backlog", COUNT, MEMBER(request_queue_size), 1, INT_MAX,
     "connections that wait to be accepted (511)"},
    {"max-requests", COUNT, MEMBER(max_requests_per_connection), 1, UINT_MAX,
     "requests on one connection (10000)"},
    {"max-queue", COUNT, MEMBER(max_queue), 1, 10000000,
     "requests that wait for a thread; more are 503 (1024)"},
    {"thread-groups", COUNT, MEMBER(thread_groups), 1, 64,
     "sets of pool threads that share nothing; for many cores (1)"},
    {"handshake-timeout", MILLISECONDS, MEMBER(handshake_ms), 1, INT_MAX,
     "from accepting to the end of the TLS handshake (10000)"},
    {"head-timeout", MILLISECONDS, MEMBER(head_ms), 1, INT_MAX,
     "for the head of a request (10000)"},
    {"body-timeout", MILLISECONDS, MEMBER(body_ms), 1, INT_MAX,
     "for its body, again whenever --min-rate is kept (20000)"},
    {"write-timeout", MILLISECONDS, MEMBER(write_ms), 1, INT_MAX,
     "for the answer, likewise (20000)"},
    {"min-rate", COUNT, MEMBER(min_rate), 1, INT_MAX,
     "bytes per second that a client must send and read (500)"},
    {"idle-timeout", MILLISECONDS, MEMBER(idle_ms), 1, INT_MAX,
     "between two requests of a connection (30000)"},
    {"close-timeout", MILLISECONDS, MEMBER(close_ms), 1, INT_MAX,
     "at the end of a connection, for the client's end (2000)"},
    {"queue-timeout", MILLISECONDS, MEMBER(queue_ms), 1, INT_MAX,
     "for a thread, when all are taken; then 503 (2000)"},
    {"connection-age", MILLISECONDS, MEMBER(connection_age_ms), 1, INT_MAX,
     "of a connection, then it ends after an answer (3600000)"},
    {"stop-timeout", MILLISECONDS, MEMBER(stop_ms), 1, INT_MAX,
     "for requests under way when it is stopped (10000)"},
    {"stuck-handler", MILLISECONDS, MEMBER(stuck_handler_ms), 1, INT_MAX,
     "then a handler that runs on is logged (30000)"},
    {"max-request-line", BYTES, MEMBER(max_request_line), 16, 1024 * 1024,
     "of the request line; longer is 414 (8k)"},
    {"max-head", BYTES, MEMBER(max_head_bytes), 64, (uint64_t)16 * 1024 * 1024,
     "of line and fields together; more is 431 (32k)"},
    {"max-headers", COUNT, MEMBER(max_headers), 1, 10000, "fields of a head; more is 431 (100)"},
    {"max-body", BYTES, MEMBER(max_body_bytes), 1, 1024 * GIB * 1024,
     "of a body; more is 413 (1g)"},
};

const char *serve_limit_name(size_t i)
{
    return i < SHS_ARRAY_LEN(limits) ? limits[i].name : NULL;
}

bool serve_parse_bytes(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    static const char units[] = "kmg";
    uint64_t value = 0, digit;
    const char *unit;

    if (*text < '0' || *text > '9')
        return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        digit = (uint64_t)(*text - '0');
        if (value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    unit = *text == '\0' ? NULL : strchr(units, (int)shs__lower((unsigned char)*text));
    if (*text != '\0' && (unit == NULL || text[1] != '\0'))
        return false;
    for (ptrdiff_t i = 0; unit != NULL && i <= unit - units; i++) {
        if (value > max / 1024)
            return false;
        value *= 1024;
    }
    if (value < min || value > max)
        return false;
    *out = value;
    return true;
}

int serve_limit_parse(struct serve_limits *self, size_t i, const char *text)
{
    const struct limit *limit = &limits[i];
    bool bytes = limit->kind == BYTES, plain = text[strspn(text, "0123456789")] == '\0';

    if ((!bytes && !plain) || !serve_parse_bytes(text, limit->min, limit->max, &self->value[i]))
        return cmd_fail(CMD_USAGE, "--%s '%s' is not a number%s from %" PRIu64 " to %" PRIu64,
                        limit->name, text, bytes ? " of bytes (k, m and g may be used)" : "",
                        limit->min, limit->max);
    self->given[i] = true;
    return CMD_OK;
}

void serve_limits_apply(const struct serve_limits *self, struct shs_options *opt)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(limits); i++) {
        char *member = (char *)opt + limits[i].offset;
        unsigned small = (unsigned)self->value[i];

        if (!self->given[i])
            continue;
        if (limits[i].size == sizeof small)
            memcpy(member, &small, sizeof small);
        else
            memcpy(member, &self->value[i], sizeof self->value[i]);
    }
}

void serve_limits_help(void)
{
    static const char *const units[] = {[COUNT] = "N", [MILLISECONDS] = "MS", [BYTES] = "BYTES"};
    char flag[64];

    printf("Deadlines (MS, milliseconds) and bounds; BYTES may end in k, m or g:\n");
    for (size_t i = 0; i < SHS_ARRAY_LEN(limits); i++) {
        snprintf(flag, sizeof flag, "--%s %s", limits[i].name, units[limits[i].kind]);
        printf("      %-34s %s\n", flag, limits[i].help);
    }
    printf("\n");
}
