/*
 * serve_limits.h - the flags of `shs serve` that set a deadline or a bound: one table.
 */
#ifndef SHS_CMD_SERVE_LIMITS_H
#define SHS_CMD_SERVE_LIMITS_H

#include <shs/options.h>

#include "base/base.h"

#define SERVE_LIMITS_MAX 32

/* Those that were given. */
struct serve_limits {
    bool given[SERVE_LIMITS_MAX];
    uint64_t value[SERVE_LIMITS_MAX];
};

/* The name of flag i, without its dashes; NULL behind the last one. */
const char *serve_limit_name(size_t i);

/* Takes the value of flag i: CMD_OK, or CMD_USAGE and what is wrong has been said. */
int serve_limit_parse(struct serve_limits *self, size_t i, const char *text);

/* Sets in *opt what was given. */
void serve_limits_apply(const struct serve_limits *self, struct shs_options *opt);

/* A number with k, m or g behind it (1024 of the one before), from min to max. */
bool serve_parse_bytes(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* The part of --help. */
void serve_limits_help(void);

#endif
