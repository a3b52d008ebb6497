/*
 * router_tree.h - the routes of a router as a tree of segments: made once, then only read.
 *
 * router_tree.c makes it and refuses what makes no sense; router.c finds the way in it.
 */
#ifndef SHS_HANDLER_ROUTER_TREE_H
#define SHS_HANDLER_ROUTER_TREE_H

#include <shs/router.h>

#include "base/base.h"

/* One method of one pattern: what is called. */
struct shs_route_entry {
    const char *method;                       /* "*" is any */
    const char *pattern;                      /* with the prefixes of its groups */
    struct shs_http_handler own;              /* of a function */
    const struct shs_http_handler *handler;   /* &own, or the one that is mounted */
    bool rest;                                /* its last parameter is "{path...}" */
    bool mounted_rest;                        /* the handler sees what "{path...}" matched */
    const struct shs_middleware *const *list; /* its groups' chains and its own; NULL: none */
    uint64_t max_body;
    unsigned time_ms;
    struct shs_str *segments; /* of the pattern: "{id}" as it is written */
    size_t segment_count;
    struct shs_str *names; /* of the parameters, in their order */
    size_t name_count;
    struct shs_route_entry *next; /* another method of the same pattern */
};

struct shs_route_node {
    struct shs_str text;          /* the literal */
    struct shs_route_node **kids; /* literals, sorted */
    size_t kid_count, kid_cap;
    struct shs_route_node *param; /* any segment */
    struct shs_route_entry *here; /* the path ends here */
    struct shs_route_entry *rest; /* "{path...}" */
};

struct shs_router {
    struct shs_http_handler handler;
    struct shs_arena arena; /* all of the tree but the arrays of kids */
    struct shs_route_node root;
    struct shs_route_entry **entries; /* all of them, for comparisons */
    size_t entry_count, entry_cap;
    const char *allow; /* the methods there are, for "OPTIONS *" */
    void *ctx;
};

/* Shorter ones first, then by bytes: the order of kids. */
int shs__segment_order(struct shs_str a, struct shs_str b);

/* Fills an empty router. As shs_router_new. */
int shs__router_fill(struct shs_router *self, const struct shs_route *routes,
                     struct shs_error *err);
void shs__router_clear(struct shs_router *self);

#endif
