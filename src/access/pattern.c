#include "access/pattern.h"

#include "access/hash.h"

#define NONE UINT32_MAX

struct shs_tree_node {
    struct shs_str text; /* of the edge from its parent */
    uint32_t parent;
    uint32_t one;          /* the node behind "*" */
    uint32_t kid, sibling; /* those behind texts, for walks that see them all */
    uint32_t here, rest;   /* leaves: of patterns that end here; that have "**" here */
};

struct shs_tree_leaf {
    uint32_t item, next;
};

/* -- two patterns ------------------------------------------------------------------------------ */

static bool covers_segment(const struct shs_segment *a, const struct shs_segment *b)
{
    if (a->kind == SHS_SEGMENT_ONE)
        return b->kind == SHS_SEGMENT_ONE || (b->kind == SHS_SEGMENT_TEXT && b->text.len > 0);
    return b->kind == SHS_SEGMENT_TEXT && shs_str_eq(a->text, b->text);
}

bool shs__pattern_covers(const struct shs_pattern *a, const struct shs_pattern *b)
{
    for (size_t i = 0; i < a->count; i++) {
        if (i == b->count)
            return false;
        if (a->segs[i].kind == SHS_SEGMENT_REST)
            return true;
        if (!covers_segment(&a->segs[i], &b->segs[i]))
            return false;
    }
    return a->count == b->count;
}

bool shs__pattern_overlaps(const struct shs_pattern *a, const struct shs_pattern *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        if (a->segs[i].kind == SHS_SEGMENT_REST || b->segs[i].kind == SHS_SEGMENT_REST)
            return true;
        if (!covers_segment(&a->segs[i], &b->segs[i]) && !covers_segment(&b->segs[i], &a->segs[i]))
            return false;
    }
    return a->count == b->count;
}

void shs__segments_cut(struct shs_segments *self, struct shs_str value, char separator)
{
    size_t from = 0;

    self->count = 0;
    for (size_t i = 0; i <= value.len; i++) {
        if (i < value.len && value.ptr[i] != separator)
            continue;
        if (self->count < SHS_ACCESS_SEGMENTS)
            self->at[self->count] = (struct shs_str){value.ptr + from, i - from};
        self->count++;
        from = i + 1;
    }
}

/* -- the tree ---------------------------------------------------------------------------------- */

static struct shs_tree_node new_node(uint32_t parent, struct shs_str text)
{
    return (struct shs_tree_node){text, parent, NONE, NONE, NONE, NONE, NONE};
}

int shs__tree_init(struct shs_tree *self, size_t roots)
{
    memset(self, 0, sizeof *self);
    self->cap = roots + 64;
    self->slot_count = 256;
    self->nodes = shs__calloc(self->cap, sizeof *self->nodes);
    self->slots = shs__malloc(self->slot_count * sizeof *self->slots);
    if (self->nodes == NULL || self->slots == NULL)
        return SHS_NOMEM;
    memset(self->slots, 0xff, self->slot_count * sizeof *self->slots);
    for (; self->count < roots; self->count++)
        self->nodes[self->count] = new_node(NONE, (struct shs_str){NULL, 0});
    return SHS_OK;
}

void shs__tree_free(struct shs_tree *self)
{
    shs__free(self->nodes);
    shs__free(self->leaves);
    shs__free(self->slots);
    memset(self, 0, sizeof *self);
}

/* Where the edge is, or would be. */
static size_t slot_of(const struct shs_tree *self, uint32_t parent, struct shs_str text)
{
    size_t at = (size_t)shs__access_hash(parent, text) & (self->slot_count - 1);

    while (self->slots[at] != NONE) {
        const struct shs_tree_node *node = &self->nodes[self->slots[at]];

        if (node->parent == parent && shs_str_eq(node->text, text))
            break;
        at = (at + 1) & (self->slot_count - 1);
    }
    return at;
}

static uint32_t child(const struct shs_tree *self, uint32_t parent, struct shs_str text)
{
    return self->slots[slot_of(self, parent, text)];
}

/* Half of the slots stay free. */
static int grow_slots(struct shs_tree *self)
{
    size_t count = self->slot_count, old = count;
    uint32_t *before = self->slots;

    if (self->count * 2 < count)
        return SHS_OK;
    count *= 2;
    self->slots = shs__malloc(count * sizeof *self->slots);
    if (self->slots == NULL) {
        self->slots = before;
        return SHS_NOMEM;
    }
    memset(self->slots, 0xff, count * sizeof *self->slots);
    self->slot_count = count;
    for (size_t i = 0; i < old; i++) {
        if (before[i] == NONE)
            continue;
        self->slots[slot_of(self, self->nodes[before[i]].parent, self->nodes[before[i]].text)] =
            before[i];
    }
    shs__free(before);
    return SHS_OK;
}

static int add_node(struct shs_tree *self, uint32_t parent, struct shs_str text, uint32_t *out)
{
    if (self->count == self->cap) {
        struct shs_tree_node *more = shs__realloc(self->nodes, 2 * self->cap * sizeof *self->nodes);

        if (more == NULL)
            return SHS_NOMEM;
        self->nodes = more;
        self->cap *= 2;
    }
    *out = (uint32_t)self->count;
    self->nodes[self->count++] = new_node(parent, text);
    return SHS_OK;
}

static int add_child(struct shs_tree *self, uint32_t parent, struct shs_str text, uint32_t *out)
{
    int rc = SHS_OK;

    *out = child(self, parent, text);
    if (*out != NONE)
        return SHS_OK;
    rc = grow_slots(self);
    if (rc == SHS_OK)
        rc = add_node(self, parent, text, out);
    if (rc != SHS_OK)
        return rc;
    self->nodes[*out].sibling = self->nodes[parent].kid;
    self->nodes[parent].kid = *out;
    self->slots[slot_of(self, parent, text)] = *out;
    return SHS_OK;
}

static int add_leaf(struct shs_tree *self, uint32_t *list, uint32_t item)
{
    if (self->leaf_count == self->leaf_cap) {
        size_t cap = self->leaf_cap == 0 ? 64 : 2 * self->leaf_cap;
        struct shs_tree_leaf *more = shs__realloc(self->leaves, cap * sizeof *self->leaves);

        if (more == NULL)
            return SHS_NOMEM;
        self->leaves = more;
        self->leaf_cap = cap;
    }
    self->leaves[self->leaf_count] = (struct shs_tree_leaf){item, *list};
    *list = (uint32_t)self->leaf_count++;
    return SHS_OK;
}

int shs__tree_add(struct shs_tree *self, uint32_t root, const struct shs_pattern *pattern,
                  uint32_t item)
{
    uint32_t node = root, next;
    int rc = SHS_OK;

    for (size_t i = 0; i < pattern->count; i++) {
        const struct shs_segment *seg = &pattern->segs[i];

        if (seg->kind == SHS_SEGMENT_REST)
            return add_leaf(self, &self->nodes[node].rest, item);
        if (seg->kind == SHS_SEGMENT_TEXT) {
            rc = add_child(self, node, seg->text, &next);
        } else {
            next = self->nodes[node].one;
            if (next == NONE)
                rc = add_node(self, node, (struct shs_str){NULL, 0}, &next);
            if (rc == SHS_OK)
                self->nodes[node].one = next;
        }
        if (rc != SHS_OK)
            return rc;
        node = next;
    }
    return add_leaf(self, &self->nodes[node].here, item);
}

/* -- walks: no deeper than the patterns, and no node is seen twice ----------------------------- */

struct walk {
    const struct shs_tree *tree;
    const struct shs_segments *value;
    const struct shs_pattern *pattern;
    bool overlap;
    shs_tree_visit_fn *visit;
    void *ctx;
};

static void visit_all(const struct walk *w, uint32_t leaf)
{
    for (; leaf != NONE; leaf = w->tree->leaves[leaf].next)
        w->visit(w->ctx, w->tree->leaves[leaf].item);
}

static void match(const struct walk *w, uint32_t at, size_t i)
{
    const struct shs_tree_node *node = &w->tree->nodes[at];
    struct shs_str text;
    uint32_t next;

    if (i == w->value->count) {
        visit_all(w, node->here);
        return;
    }
    visit_all(w, node->rest);
    if (i >= SHS_ACCESS_SEGMENTS)
        return;
    text = w->value->at[i];
    if (node->kid != NONE) {
        next = child(w->tree, at, text);
        if (next != NONE)
            match(w, next, i + 1);
    }
    if (node->one != NONE && text.len > 0)
        match(w, node->one, i + 1);
}

void shs__tree_match(const struct shs_tree *self, uint32_t root, const struct shs_segments *value,
                     shs_tree_visit_fn *visit, void *ctx)
{
    const struct walk w = {self, value, NULL, false, visit, ctx};

    match(&w, root, 0);
}

/* All that is below the node. */
static void visit_below(const struct walk *w, uint32_t at)
{
    const struct shs_tree_node *node = &w->tree->nodes[at];

    visit_all(w, node->rest);
    for (uint32_t kid = node->kid; kid != NONE; kid = w->tree->nodes[kid].sibling) {
        visit_all(w, w->tree->nodes[kid].here);
        visit_below(w, kid);
    }
    if (node->one != NONE) {
        visit_all(w, w->tree->nodes[node->one].here);
        visit_below(w, node->one);
    }
}

static void compare(const struct walk *w, uint32_t at, size_t i)
{
    const struct shs_tree_node *node = &w->tree->nodes[at];
    const struct shs_segment *seg;
    uint32_t next;

    if (i == w->pattern->count) {
        visit_all(w, node->here);
        return;
    }
    seg = &w->pattern->segs[i];
    if (seg->kind == SHS_SEGMENT_REST && w->overlap) {
        visit_below(w, at);
        return;
    }
    visit_all(w, node->rest);
    if (seg->kind == SHS_SEGMENT_TEXT) {
        next = child(w->tree, at, seg->text);
        if (next != NONE)
            compare(w, next, i + 1);
    } else if (seg->kind == SHS_SEGMENT_ONE && w->overlap) {
        for (next = node->kid; next != NONE; next = w->tree->nodes[next].sibling) {
            if (w->tree->nodes[next].text.len > 0)
                compare(w, next, i + 1);
        }
    }
    if (node->one != NONE && seg->kind != SHS_SEGMENT_REST &&
        (seg->kind == SHS_SEGMENT_ONE || seg->text.len > 0))
        compare(w, node->one, i + 1);
}

void shs__tree_covering(const struct shs_tree *self, uint32_t root,
                        const struct shs_pattern *pattern, shs_tree_visit_fn *visit, void *ctx)
{
    const struct walk w = {self, NULL, pattern, false, visit, ctx};

    compare(&w, root, 0);
}

void shs__tree_overlapping(const struct shs_tree *self, uint32_t root,
                           const struct shs_pattern *pattern, shs_tree_visit_fn *visit, void *ctx)
{
    const struct walk w = {self, NULL, pattern, true, visit, ctx};

    compare(&w, root, 0);
}
