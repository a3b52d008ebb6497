/*
 * pattern.h - values in segments, patterns of them, and a tree that finds the patterns of a value.
 *
 * A path is cut at "/", the name of a host at ".", an email address at "@". A pattern has "*" for
 * one segment that is not empty, and "**" at its end for one or more, of which the last may be
 * empty: as "{path...}" of the router.
 */
#ifndef SHS_ACCESS_PATTERN_H
#define SHS_ACCESS_PATTERN_H

#include "base/base.h"

#define SHS_ACCESS_SEGMENTS 32

enum shs_segment_kind { SHS_SEGMENT_TEXT, SHS_SEGMENT_ONE, SHS_SEGMENT_REST };

struct shs_segment {
    enum shs_segment_kind kind;
    struct shs_str text; /* of TEXT; may be empty */
};

struct shs_pattern {
    struct shs_segment *segs;
    size_t count;
};

/* Fits `a` every value that `b` fits? Is there a value that both fit? */
bool shs__pattern_covers(const struct shs_pattern *a, const struct shs_pattern *b);
bool shs__pattern_overlaps(const struct shs_pattern *a, const struct shs_pattern *b);

/* A value on its way through the tree: of more segments than there is room for, the first. */
struct shs_segments {
    struct shs_str at[SHS_ACCESS_SEGMENTS];
    size_t count; /* of all */
};
void shs__segments_cut(struct shs_segments *self, struct shs_str value, char separator);

struct shs_tree_node;
struct shs_tree_leaf;

/* Several trees in one: each has a root. Items are numbers of the owner's. */
struct shs_tree {
    struct shs_tree_node *nodes;
    size_t count, cap;
    struct shs_tree_leaf *leaves;
    size_t leaf_count, leaf_cap;
    uint32_t *slots; /* from a parent and a text to a node */
    size_t slot_count;
};

typedef void shs_tree_visit_fn(void *ctx, uint32_t item);

/* `roots`: how many; their numbers are 0, 1, ... SHS_OK or SHS_NOMEM, as the next. */
int shs__tree_init(struct shs_tree *self, size_t roots);
void shs__tree_free(struct shs_tree *self);
/* The texts are borrowed. */
int shs__tree_add(struct shs_tree *self, uint32_t root, const struct shs_pattern *pattern,
                  uint32_t item);

/* The items whose patterns fit the value; cover the pattern; overlap with it. */
void shs__tree_match(const struct shs_tree *self, uint32_t root, const struct shs_segments *value,
                     shs_tree_visit_fn *visit, void *ctx);
void shs__tree_covering(const struct shs_tree *self, uint32_t root,
                        const struct shs_pattern *pattern, shs_tree_visit_fn *visit, void *ctx);
void shs__tree_overlapping(const struct shs_tree *self, uint32_t root,
                           const struct shs_pattern *pattern, shs_tree_visit_fn *visit, void *ctx);

#endif
