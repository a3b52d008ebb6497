/*
 * values.h - what stands in a rule, in the form in which it is compared.
 */
#ifndef SHS_ACCESS_VALUES_H
#define SHS_ACCESS_VALUES_H

#include "access/policy.h"
#include "access/words.h"

/*
 * The value of a condition: fills *out. SHS_USAGE with a sentence, for what cannot be such a value
 * or would admit every certificate of a CA; SHS_NOMEM.
 */
int shs__value_read(struct shs_words *words, enum shs_attr attr, struct shs_str text,
                    struct shs_access_condition *out, struct shs_error *err);

/* A SHA-256 in hexadecimal or base64, with "sha256:" before it or not, as 64 hexadecimal digits of
   the arena. */
int shs__value_digest(struct shs_words *words, struct shs_str text, struct shs_str *out,
                      struct shs_error *err);

/*
 * The patterns of a path: "{a,b}" is several. Calls `each` for every one; stops when it fails.
 */
typedef int shs_pattern_fn(void *ctx, const struct shs_pattern *pattern);
int shs__value_paths(struct shs_words *words, struct shs_str text, shs_pattern_fn *each, void *ctx,
                     struct shs_error *err);

#endif
