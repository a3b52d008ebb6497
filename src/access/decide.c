/*
 * decide.c - from an identity, a method and a path to the line that decides. Nothing is allocated.
 */
#include <stdio.h>

#include <shs/text.h>

#include "access/policy.h"
#include "base/text.h"

/* A longer path that is encoded has no role. */
#define DECODED_MAX 4096

struct decision {
    const struct shs_access_policy *policy;
    const struct shs_client_identity *cert; /* NULL: none that counts */
    const struct shs_identity *identity;
    uint64_t cas, issuer; /* the CAs of its chain, by their numbers here */
    uint32_t best;        /* the first line so far; SHS_ACCESS_NOBODY */
};

/* -- who --------------------------------------------------------------------------------------- */

/* Calls fn for every value that the identity has of that kind, until it says true. */
typedef bool value_fn(void *ctx, enum shs_attr attr, struct shs_str value);

static bool each_of(const struct shs_str *values, size_t count, enum shs_attr attr, value_fn *fn,
                    void *ctx)
{
    for (size_t i = 0; i < count; i++) {
        if (fn(ctx, attr, values[i]))
            return true;
    }
    return false;
}

static bool each_san(const struct shs_client_identity *id, enum shs_san_kind kind,
                     enum shs_attr attr, value_fn *fn, void *ctx)
{
    for (size_t i = 0; i < id->san_count; i++) {
        if (id->sans[i].kind == kind && fn(ctx, attr, id->sans[i].value))
            return true;
    }
    return false;
}

static struct shs_str serial_of(const struct shs_client_identity *id)
{
    struct shs_str s = id->serial;

    while (s.len > 1 && s.ptr[0] == '0') {
        s.ptr++;
        s.len--;
    }
    return s;
}

static bool each_of_cert(const struct decision *d, enum shs_attr attr, value_fn *fn, void *ctx)
{
    const struct shs_client_identity *id = d->cert;

    switch (attr) {
    case SHS_ATTR_CN:
        return id->common_name.ptr != NULL && fn(ctx, attr, id->common_name);
    case SHS_ATTR_O:
        return each_of(id->organizations, id->organization_count, attr, fn, ctx);
    case SHS_ATTR_OU:
        return each_of(id->units, id->unit_count, attr, fn, ctx);
    case SHS_ATTR_DNS:
        return each_san(id, SHS_SAN_DNS, attr, fn, ctx);
    case SHS_ATTR_URI:
        return each_san(id, SHS_SAN_URI, attr, fn, ctx);
    case SHS_ATTR_EMAIL:
        return each_san(id, SHS_SAN_EMAIL, attr, fn, ctx);
    case SHS_ATTR_IP:
        return each_san(id, SHS_SAN_IP, attr, fn, ctx);
    case SHS_ATTR_SERIAL:
        return fn(ctx, attr, serial_of(id));
    case SHS_ATTR_SPKI:
        return fn(ctx, attr, shs_str_of(id->spki_sha256));
    case SHS_ATTR_CERT:
        return fn(ctx, attr, shs_str_of(id->cert_sha256));
    case SHS_ATTR_ANY:
    case SHS_ATTR_UID:
    case SHS_ATTR_GID:
    case SHS_ATTR_USER:
    case SHS_ATTR_VIA:
    case SHS_ATTR_VIA_URI:
    case SHS_ATTR_VIA_DNS:
    case SHS_ATTR_VIA_CN:
    case SHS_ATTR_VIA_CERT:
    case SHS_ATTR_ANYONE:
    case SHS_ATTR_CA:
    case SHS_ATTR_COUNT:
        break;
    }
    return false;
}

/* What a proxy says; without one, nothing. */
static bool each_said(const struct shs_identity *id, enum shs_attr attr, value_fn *fn, void *ctx)
{
    struct shs_str value = {NULL, 0};

    if (id->via.ptr == NULL)
        return false;
    if (attr == SHS_ATTR_VIA)
        value = id->via;
    else if (attr == SHS_ATTR_VIA_URI)
        value = id->via_uri;
    else if (attr == SHS_ATTR_VIA_DNS)
        value = id->via_dns;
    else if (attr == SHS_ATTR_VIA_CN)
        value = id->via_cn;
    else if (attr == SHS_ATTR_VIA_CERT)
        value = id->via_cert;
    return value.ptr != NULL && fn(ctx, attr, value);
}

static bool with_number(unsigned long number, enum shs_attr attr, value_fn *fn, void *ctx)
{
    char text[24];
    size_t at = sizeof text;

    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return fn(ctx, attr, (struct shs_str){text + at, sizeof text - at});
}

static bool each_value(const struct decision *d, enum shs_attr attr, value_fn *fn, void *ctx)
{
    const struct shs_identity *id = d->identity;

    if (shs__attr_is_of_cert(attr))
        return d->cert != NULL && each_of_cert(d, attr, fn, ctx);
    if (attr == SHS_ATTR_USER)
        return id->user.ptr != NULL && fn(ctx, attr, id->user);
    if (attr == SHS_ATTR_VIA || shs__attr_is_said(attr))
        return each_said(id, attr, fn, ctx);
    if (!id->has_process)
        return false;
    if (attr == SHS_ATTR_UID)
        return with_number(id->uid, attr, fn, ctx);
    if (attr != SHS_ATTR_GID)
        return false;
    if (with_number(id->gid, attr, fn, ctx))
        return true;
    for (size_t i = 0; i < id->group_count && i < SHS_IDENTITY_GROUPS; i++) {
        if (with_number(id->groups[i], attr, fn, ctx))
            return true;
    }
    return false;
}

/* -- which line -------------------------------------------------------------------------------- */

static bool pattern_fits(const struct shs_pattern *pattern, struct shs_str value, char separator)
{
    struct shs_segments segs;

    shs__segments_cut(&segs, value, separator);
    for (size_t i = 0; i < pattern->count; i++) {
        const struct shs_segment *seg = &pattern->segs[i];

        if (i >= segs.count)
            return false;
        if (seg->kind == SHS_SEGMENT_REST)
            return true;
        if (seg->kind == SHS_SEGMENT_ONE ? segs.at[i].len == 0 : !shs_str_eq(seg->text, segs.at[i]))
            return false;
    }
    return pattern->count == segs.count;
}

static bool is_value(void *ctx, enum shs_attr attr, struct shs_str value)
{
    const struct shs_access_condition *c = ctx;

    return c->is_pattern ? pattern_fits(&c->pattern, value, shs__attr_kinds[attr].separator)
                         : shs_str_eq(c->value, value);
}

static bool rule_fits(const struct decision *d, const struct shs_access_rule *rule)
{
    uint64_t cas = rule->by_issuer ? d->issuer : d->cas;

    if (rule->ca_mask != 0 && (rule->ca_mask & cas) == 0)
        return false;
    if (rule->needs_cert && d->cert == NULL)
        return false;
    for (size_t i = 0; i < rule->condition_count; i++) {
        struct shs_access_condition c = rule->conditions[i];

        if (!each_value(d, c.attr, is_value, &c))
            return false;
    }
    return true;
}

static void try_rule(void *ctx, uint32_t item)
{
    struct decision *d = ctx;

    if (item < d->best && rule_fits(d, &d->policy->rules[item]))
        d->best = item;
}

/* The lines that this value finds. */
static bool look_up(void *ctx, enum shs_attr attr, struct shs_str value)
{
    struct decision *d = ctx;
    const struct shs_access_policy *p = d->policy;
    const struct shs_access_entry *entry;
    struct shs_segments segs;

    if ((p->exact_attrs & 1u << attr) != 0) {
        entry = shs__policy_find(p, attr, value);
        for (uint32_t at = entry == NULL ? SHS_ACCESS_NOBODY : entry->first; at < d->best;
             at = p->rules[at].next)
            try_rule(d, at);
    }
    if ((p->pattern_attrs & 1u << attr) != 0) {
        shs__segments_cut(&segs, value, shs__attr_kinds[attr].separator);
        shs__tree_match(&p->by_value, attr, &segs, try_rule, d);
    }
    return false;
}

static void find_rule(struct decision *d)
{
    const struct shs_access_policy *p = d->policy;

    for (size_t i = 0; i < p->always_count; i++)
        try_rule(d, p->always[i]);
    for (unsigned attr = 0; attr < SHS_ATTR_CA; attr++) {
        if (((p->exact_attrs | p->pattern_attrs) & 1u << attr) != 0)
            each_value(d, (enum shs_attr)attr, look_up, d);
    }
}

static void find_cas(struct decision *d)
{
    for (size_t i = 0; i < d->cert->ca_count; i++) {
        const struct shs_access_entry *entry =
            shs__policy_find(d->policy, SHS_ATTR_CA, shs_str_of(d->cert->ca_spki_sha256[i]));

        if (entry == NULL)
            continue;
        d->cas |= entry->ca_mask;
        if (i == 0)
            d->issuer = entry->ca_mask;
    }
}

/* -- what it may ------------------------------------------------------------------------------- */

/*
 * As router.c reads a path. False for one that reads as nothing. `decoded` has DECODED_MAX bytes.
 */
static bool read_path(struct shs_str path, char *decoded, struct shs_segments *out)
{
    bool encoded = path.len > 0 && memchr(path.ptr, '%', path.len) != NULL;
    size_t used = 0, room;

    if (path.len == 0 || path.ptr[0] != '/' || memchr(path.ptr, '#', path.len) != NULL ||
        (encoded && path.len > DECODED_MAX))
        return false;
    shs__segments_cut(out, (struct shs_str){path.ptr + 1, path.len - 1}, '/');
    /* More segments than a pattern has: what is in them can still be "..". */
    if (out->count > SHS_ACCESS_SEGMENTS)
        return false;
    for (size_t i = 0; i < out->count; i++) {
        struct shs_str *seg = &out->at[i];

        if (seg->len == 0 && i + 1 < out->count)
            return false;
        if (encoded && seg->len > 0 && memchr(seg->ptr, '%', seg->len) != NULL) {
            room = DECODED_MAX - used;
            if (shs_percent_decode(*seg, decoded + used, room, &seg->len) != SHS_OK)
                return false;
            seg->ptr = decoded + used;
            used += seg->len;
        }
        if (shs__segment_has_dots(*seg))
            return false;
    }
    return true;
}

struct granted {
    const struct shs_access_policy *policy;
    uint32_t methods;
    uint64_t roles; /* that may */
};

static void add_roles(void *ctx, uint32_t item)
{
    struct granted *g = ctx;
    const struct shs_access_grant *grant = &g->policy->grants[item];

    if ((grant->methods & g->methods) != 0)
        g->roles |= grant->roles;
}

static uint64_t roles_for(const struct shs_access_policy *p, struct shs_str method,
                          struct shs_str path)
{
    struct granted g = {p, shs__policy_method(p, method), 0};
    char decoded[DECODED_MAX];
    struct shs_segments segs;

    if (read_path(path, decoded, &segs))
        shs__tree_match(&p->by_path, 0, &segs, add_roles, &g);
    return g.roles;
}

/* -- the decision ------------------------------------------------------------------------------ */

static void copy_text(char *to, size_t cap, const char *from)
{
    size_t len = strlen(from);

    if (len > cap - 1)
        len = cap - 1;
    memcpy(to, from, len);
    to[len] = '\0';
}

static void take_rule(const struct decision *d, uint64_t roles, struct shs_access_decision *out)
{
    const struct shs_access_policy *p = d->policy;
    const struct shs_access_rule *rule;

    if (d->best == SHS_ACCESS_NOBODY) {
        copy_text(out->rule, sizeof out->rule, "no rule fits");
        return;
    }
    rule = &p->rules[d->best];
    out->line = rule->line;
    copy_text(out->rule, sizeof out->rule, rule->text);
    if (rule->ca != NULL)
        copy_text(out->ca, sizeof out->ca, rule->ca);
    if (rule->deny)
        return;
    copy_text(out->role, sizeof out->role, p->roles[rule->role].name);
    out->allowed = (roles & UINT64_C(1) << rule->role) != 0;
}

/* Why the identity is none, whatever the rules say; or NULL. */
static const char *fault_of(const struct shs_access_policy *self,
                            const struct shs_identity *identity,
                            const struct shs_client_identity *cert)
{
    const unsigned cut = (identity->via_uri_cut ? 1u << SHS_ATTR_VIA_URI : 0) |
                         (identity->via_dns_cut ? 1u << SHS_ATTR_VIA_DNS : 0);

    if (identity->group_cut)
        return "its process is in more groups than can be looked at";
    if (cert != NULL && cert->is_ca)
        return "its certificate is that of a CA";
    if ((self->denied_attrs & cut) != 0)
        return "its proxy says several URIs or names, and one of them may be denied";
    return NULL;
}

void shs__policy_decide(const struct shs_access_policy *self, const struct shs_identity *identity,
                        struct shs_str method, struct shs_str path, struct shs_access_decision *out)
{
    const struct shs_client_identity *cert = identity->cert;
    struct decision d = {.policy = self, .identity = identity, .best = SHS_ACCESS_NOBODY};
    uint64_t roles = roles_for(self, method, path);
    const char *fault;

    out->allowed = false;
    out->role[0] = out->need[0] = out->ca[0] = out->rule[0] = '\0';
    out->line = 0;
    for (size_t i = 0; roles != 0 && i < self->role_count; i++) {
        if ((roles & UINT64_C(1) << i) == 0)
            continue;
        copy_text(out->need, sizeof out->need, self->roles[i].name);
        break;
    }
    if (cert != NULL && cert->verified)
        d.cert = cert;
    fault = fault_of(self, identity, d.cert);
    if (fault != NULL) {
        copy_text(out->rule, sizeof out->rule, fault);
        return;
    }
    if (d.cert != NULL)
        find_cas(&d);
    find_rule(&d);
    take_rule(&d, roles, out);
}
