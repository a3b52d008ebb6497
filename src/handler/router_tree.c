#include "handler/router_tree.h"

#include <stdlib.h>

#include <shs/text.h>

#include "handler/chain.h"

/* All of a router's text and tree: 10,000 routes of 32 segments would still fit. */
#define ARENA_MAX ((size_t)256 << 20)
#define PATTERN_MAX 1024
/* Of a pattern in a message: two of them fit. */
#define SHOWN 70

/* Where the routes of a group begin. */
struct prefix {
    const char *pattern;
    const struct shs_middleware *list[SHS_CHAIN_MAX + 1];
    size_t list_count;
    uint64_t max_body;
    unsigned time_ms;
    unsigned depth;
};

static int no_memory(struct shs_error *err)
{
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a router.");
}

static int bad(struct shs_error *err, const char *method, const char *pattern, const char *what)
{
    return shs_error_set(err, SHS_USAGE, 0, "Route %.20s %.*s: %s.",
                         method == NULL ? "(group)" : method, 2 * SHOWN, pattern, what);
}

/* -- one pattern------------------------------------------------------------------------------- */

static bool is_parameter(struct shs_str s)
{
    return s.len > 0 && s.ptr[0] == '{';
}

static bool is_rest(struct shs_str s)
{
    return is_parameter(s) && s.len > 5 && memcmp(s.ptr + s.len - 4, "...}", 4) == 0;
}

/* The name in "{id}" and "{path...}". */
static struct shs_str name_of(struct shs_str s)
{
    return (struct shs_str){s.ptr + 1, s.len - (is_rest(s) ? 5 : 2)};
}

static bool is_name(struct shs_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' &&
            (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return s.len > 0;
}

/* NULL, or why no request has such a segment. */
static const char *check_literal(struct shs_str s, bool last)
{
    if (s.len == 0 && !last)
        return "no request reaches an empty segment (\"//\")";
    if ((s.len == 1 && s.ptr[0] == '.') || (s.len == 2 && memcmp(s.ptr, "..", 2) == 0))
        return "no request reaches a segment \".\" or \"..\"";
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '{' || s.ptr[i] == '}')
            return "a parameter is a whole segment, \"{name}\" or \"{name...}\"";
        if (s.ptr[i] == '?' || s.ptr[i] == '#')
            return "a path has no \"?\" and no \"#\"; the query is not part of a pattern";
        if (s.ptr[i] == '%')
            return "write it decoded, without \"%\"";
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
            return "a control character or a space";
    }
    return NULL;
}

static const char *check_parameter(const struct shs_route_entry *entry, struct shs_str s, bool last)
{
    if (s.ptr[s.len - 1] != '}')
        return "a parameter is a whole segment, \"{name}\" or \"{name...}\"";
    if (is_rest(s) && !last)
        return "\"{name...}\" is the end of a pattern";
    if (s.len < 3 || !is_name(name_of(s)))
        return "the name of a parameter is letters, digits and \"_\"";
    for (size_t i = 0; i < entry->name_count; i++) {
        if (shs__str_eq(entry->names[i], name_of(s)))
            return "a name of a parameter is used twice";
    }
    return NULL;
}

/* Cuts the pattern into segments and parameters. NULL, or what is wrong with it. */
static const char *read_pattern(struct shs_route_entry *entry)
{
    const char *at = entry->pattern, *what = NULL;

    if (at[0] != '/')
        return "a pattern begins with \"/\"";
    while (what == NULL && *at == '/') {
        struct shs_str segment = {at + 1, strcspn(at + 1, "/")};
        bool last = segment.ptr[segment.len] == '\0';

        if (entry->segment_count == SHS_MAX_SEGMENTS)
            return "too many segments";
        what = is_parameter(segment) ? check_parameter(entry, segment, last)
                                     : check_literal(segment, last);
        if (what == NULL && is_parameter(segment))
            entry->names[entry->name_count++] = name_of(segment);
        entry->segments[entry->segment_count++] = segment;
        at = segment.ptr + segment.len;
    }
    return what;
}

/* NULL, or what is wrong with it. */
static const char *check_method(const char *method)
{
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    struct shs_str m = shs__str(method);

    if (strcmp(method, "*") == 0)
        return NULL;
    if (!shs_is_token(m) || m.len > 32)
        return "that is not a method";
    if (strcmp(method, "CONNECT") == 0)
        return "no request reaches CONNECT: the server answers it with 501";
    for (size_t i = 0; i < SHS_ARRAY_LEN(known); i++) {
        if (shs_str_is_nocase(m, known[i]) && !shs_str_is(m, known[i]))
            return "methods are written in capitals";
    }
    return NULL;
}

static const char *check_target(const struct shs_route *route)
{
    if ((route->fn == NULL) == (route->handler == NULL))
        return route->fn == NULL ? "it has neither a function nor a handler"
                                 : "it has a function and a handler";
    if (route->handler != NULL && strcmp(route->method, "*") != 0 &&
        !shs_handler_has(route->handler, shs__str(route->method)))
        return "the handler has no such method";
    return NULL;
}

/* -- two patterns------------------------------------------------------------------------------ */

enum relation { APART, SAME, LEFT_IS_NARROWER, RIGHT_IS_NARROWER, CROSSING };

/* How the requests of two patterns lie to one another. */
static enum relation relate(const struct shs_route_entry *a, const struct shs_route_entry *b)
{
    bool a_narrow = false, b_narrow = false;
    size_t i;

    for (i = 0; i < a->segment_count && i < b->segment_count; i++) {
        struct shs_str x = a->segments[i], y = b->segments[i];

        if (is_rest(x) || is_rest(y)) {
            a_narrow |= !is_rest(x);
            b_narrow |= !is_rest(y);
            break;
        }
        if (!is_parameter(x) && !is_parameter(y) && !shs__str_eq(x, y))
            return APART;
        if (is_parameter(x) != is_parameter(y) && (x.len == 0 || y.len == 0))
            return APART; /* a parameter is not empty */
        a_narrow |= !is_parameter(x) && is_parameter(y);
        b_narrow |= is_parameter(x) && !is_parameter(y);
    }
    if (i == a->segment_count || i == b->segment_count) {
        if (a->segment_count != b->segment_count)
            return APART;
    }
    if (a_narrow && b_narrow)
        return CROSSING;
    return a_narrow ? LEFT_IS_NARROWER : b_narrow ? RIGHT_IS_NARROWER : SAME;
}

static bool methods_meet(const struct shs_route_entry *a, const struct shs_route_entry *b)
{
    return strcmp(a->method, b->method) == 0 || strcmp(a->method, "*") == 0 ||
           strcmp(b->method, "*") == 0;
}

static int conflict(struct shs_error *err, const struct shs_route_entry *a,
                    const struct shs_route_entry *b, const char *what)
{
    return shs_error_set(err, SHS_USAGE, 0, "Routes %.12s %.*s and %.12s %.*s %s.", a->method,
                         SHOWN, a->pattern, b->method, SHOWN, b->pattern, what);
}

/* Routes without parameters are narrower than what they meet: only the others are compared. */
static int check_crossings(const struct shs_router *self, struct shs_error *err)
{
    for (size_t i = 0; i < self->entry_count; i++) {
        const struct shs_route_entry *a = self->entries[i];

        for (size_t j = 0; a->name_count > 0 && j < i; j++) {
            const struct shs_route_entry *b = self->entries[j];

            if (b->name_count > 0 && methods_meet(a, b) && relate(a, b) == CROSSING)
                return conflict(err, b, a, "meet, and neither is more specific");
        }
    }
    return SHS_OK;
}

/* -- the tree---------------------------------------------------------------------------------- */

int shs__segment_order(struct shs_str a, struct shs_str b)
{
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len == 0 ? 0 : memcmp(a.ptr, b.ptr, a.len);
}

/* Where the literal is among the kids, or belongs. */
static size_t place_of(const struct shs_route_node *node, struct shs_str text, bool *there)
{
    size_t low = 0, high = node->kid_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = shs__segment_order(node->kids[mid]->text, text);

        if (order == 0) {
            *there = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *there = false;
    return low;
}

static struct shs_route_node *new_node(struct shs_router *self, struct shs_str text)
{
    struct shs_route_node *node = shs__arena_alloc(&self->arena, sizeof *node);

    if (node == NULL)
        return NULL;
    memset(node, 0, sizeof *node);
    node->text = text;
    return node;
}

static struct shs_route_node *literal_kid(struct shs_router *self, struct shs_route_node *node,
                                          struct shs_str text)
{
    bool there;
    size_t at = place_of(node, text, &there);
    struct shs_route_node *kid;

    if (there)
        return node->kids[at];
    if (node->kid_count == node->kid_cap) {
        size_t cap = node->kid_cap == 0 ? 4 : node->kid_cap * 2;
        struct shs_route_node **kids =
            shs__realloc(node->kids, cap * sizeof(struct shs_route_node *));

        if (kids == NULL)
            return NULL;
        node->kids = kids;
        node->kid_cap = cap;
    }
    kid = new_node(self, text);
    if (kid == NULL)
        return NULL;
    memmove(node->kids + at + 1, node->kids + at, (node->kid_count - at) * sizeof kid);
    node->kids[at] = kid;
    node->kid_count++;
    return kid;
}

static int add_to_tree(struct shs_router *self, struct shs_route_entry *entry,
                       struct shs_error *err)
{
    struct shs_route_node *node = &self->root;
    struct shs_route_entry **slot = NULL;

    for (size_t i = 0; i < entry->segment_count && slot == NULL; i++) {
        struct shs_str segment = entry->segments[i];

        if (is_rest(segment)) {
            slot = &node->rest;
            break;
        }
        if (!is_parameter(segment)) {
            node = literal_kid(self, node, segment);
        } else {
            if (node->param == NULL)
                node->param = new_node(self, segment);
            node = node->param;
        }
        if (node == NULL)
            return no_memory(err);
    }
    if (slot == NULL)
        slot = &node->here;
    for (; *slot != NULL; slot = &(*slot)->next) {
        if (strcmp((*slot)->method, entry->method) == 0)
            return conflict(err, *slot, entry, "match the same requests");
    }
    *slot = entry;
    return SHS_OK;
}

/* -- from rows to entries---------------------------------------------------------------------- */

static int keep_entry(struct shs_router *self, struct shs_route_entry *entry, struct shs_error *err)
{
    if (self->entry_count == SHS_MAX_ROUTES)
        return bad(err, entry->method, entry->pattern, "too many routes");
    if (self->entry_count == self->entry_cap) {
        size_t cap = self->entry_cap == 0 ? 16 : self->entry_cap * 2;
        struct shs_route_entry **list = shs__realloc(self->entries, cap * sizeof entry);

        if (list == NULL)
            return no_memory(err);
        self->entries = list;
        self->entry_cap = cap;
    }
    self->entries[self->entry_count++] = entry;
    return SHS_OK;
}

/* The chains of the groups and the route's own, one behind the other. */
static int add_chain(struct prefix *to, const struct shs_middleware *const *chain,
                     const char *method, const char *pattern, struct shs_error *err)
{
    for (size_t i = 0; chain != NULL && chain[i] != NULL; i++) {
        if (to->list_count == SHS_CHAIN_MAX)
            return bad(err, method, pattern, "too many links of middleware");
        if (chain[i]->handle == NULL)
            return bad(err, method, pattern, "a link of its chain has no function");
        to->list[to->list_count++] = chain[i];
    }
    to->list[to->list_count] = NULL;
    return SHS_OK;
}

/* What holds for this row: its group's and its own. */
static int extend(struct shs_router *self, const struct prefix *group, const struct shs_route *row,
                  struct prefix *out, struct shs_error *err)
{
    size_t before = strlen(group->pattern), more = strlen(row->pattern);
    char *pattern;

    *out = *group;
    if (before + more > PATTERN_MAX)
        return bad(err, row->method, row->pattern, "the pattern is too long");
    pattern = shs__arena_alloc(&self->arena, before + more + 1);
    if (pattern == NULL)
        return no_memory(err);
    memcpy(pattern, group->pattern, before);
    memcpy(pattern + before, row->pattern, more + 1);
    out->pattern = pattern;
    if (row->max_body != 0)
        out->max_body = row->max_body;
    if (row->time_ms != 0)
        out->time_ms = row->time_ms;
    out->depth++;
    return add_chain(out, row->chain, row->method, pattern, err);
}

static struct shs_route_entry *new_entry(struct shs_router *self, const struct prefix *p)
{
    struct shs_arena *arena = &self->arena;
    struct shs_route_entry *entry = shs__arena_alloc(arena, sizeof *entry);
    size_t list_bytes = (p->list_count + 1) * sizeof p->list[0];
    const struct shs_middleware **list;

    if (entry == NULL)
        return NULL;
    memset(entry, 0, sizeof *entry);
    entry->pattern = p->pattern;
    entry->max_body = p->max_body;
    entry->time_ms = p->time_ms;
    entry->segments = shs__arena_alloc(arena, SHS_MAX_SEGMENTS * sizeof entry->segments[0]);
    entry->names = shs__arena_alloc(arena, SHS_MAX_SEGMENTS * sizeof entry->names[0]);
    list = shs__arena_alloc(arena, list_bytes);
    if (entry->segments == NULL || entry->names == NULL || list == NULL)
        return NULL;
    memcpy(list, p->list, list_bytes);
    if (p->list_count > 0)
        entry->list = list;
    return entry;
}

static int add_route(struct shs_router *self, const struct prefix *p, const struct shs_route *row,
                     struct shs_error *err)
{
    struct shs_route_entry *entry = new_entry(self, p);
    struct shs_str method;
    const char *what;
    int rc;

    if (entry == NULL)
        return no_memory(err);
    what = check_method(row->method);
    if (what == NULL)
        what = check_target(row);
    if (what == NULL)
        what = read_pattern(entry);
    if (what != NULL)
        return bad(err, row->method, p->pattern, what);
    method = shs__arena_copy(&self->arena, shs__str(row->method));
    if (method.ptr == NULL)
        return no_memory(err);
    entry->method = method.ptr;
    entry->own = (struct shs_http_handler){
        .name = p->pattern, .do_HEAD = row->fn, .do_any = row->fn, .ctx = self->ctx};
    entry->handler = row->fn != NULL ? &entry->own : row->handler;
    entry->rest = is_rest(entry->segments[entry->segment_count - 1]);
    entry->mounted_rest = row->handler != NULL && entry->rest;
    rc = keep_entry(self, entry, err);
    return rc == SHS_OK ? add_to_tree(self, entry, err) : rc;
}

static int add_rows(struct shs_router *self, const struct prefix *group,
                    const struct shs_route *rows, struct shs_error *err)
{
    struct prefix here;
    int rc = SHS_OK;

    for (const struct shs_route *row = rows; rc == SHS_OK && row->pattern != NULL; row++) {
        if (row->method == NULL && row->routes == NULL)
            return bad(err, NULL, row->pattern, "it has no method, and no routes as a group has");
        if (row->routes != NULL && (row->method != NULL || row->fn != NULL || row->handler != NULL))
            return bad(err, row->method, row->pattern, "a group has routes only: NULL as method");
        rc = extend(self, group, row, &here, err);
        if (rc != SHS_OK)
            return rc;
        if (row->routes == NULL)
            rc = add_route(self, &here, row, err);
        else if (here.depth > SHS_MAX_GROUPS)
            return bad(err, NULL, here.pattern, "too many groups within one another");
        else
            rc = add_rows(self, &here, row->routes, err);
    }
    return rc;
}

int shs__router_fill(struct shs_router *self, const struct shs_route *routes, struct shs_error *err)
{
    struct prefix all = {.pattern = ""};
    int rc;

    shs__arena_init(&self->arena, ARENA_MAX);
    rc = add_rows(self, &all, routes, err);
    if (rc == SHS_OK && self->entry_count == 0)
        rc = shs_error_set(err, SHS_USAGE, 0, "A router needs at least one route.");
    return rc == SHS_OK ? check_crossings(self, err) : rc;
}

static void free_kids(struct shs_route_node *node)
{
    for (size_t i = 0; i < node->kid_count; i++)
        free_kids(node->kids[i]);
    if (node->param != NULL)
        free_kids(node->param);
    shs__free(node->kids);
}

void shs__router_clear(struct shs_router *self)
{
    free_kids(&self->root);
    shs__free(self->entries);
    shs__arena_free(&self->arena);
}
