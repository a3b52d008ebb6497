/*
 * read.c - from a file of rules to a policy, and everything that is refused on the way.
 */
#include "access/hash.h"
#include "access/policy.h"
#include "access/values.h"
#include "access/words.h"
#include "base/chars.h"
#include "tls/clients/keys.h"

struct reader {
    struct shs_access_policy *policy;
    struct shs_words words;
    struct shs_error *err;
    unsigned lets_nobody; /* the line "deny anyone" */
    size_t maps;
};

static int no_memory(const struct reader *r)
{
    return shs_error_set(r->err, SHS_NOMEM, 0, "Out of memory for rules.");
}

#define FAULT(r, ...) shs__words_fault(&(r)->words, (r)->err, __VA_ARGS__)

/* Room for one more at the end of an array. */
static int make_room(struct reader *r, void **array, size_t count, size_t *cap, size_t size)
{
    size_t more = *cap == 0 ? 64 : 2 * *cap;
    void *bigger;

    if (count < *cap)
        return SHS_OK;
    bigger = shs__realloc(*array, more * size);
    if (bigger == NULL)
        return no_memory(r);
    *array = bigger;
    *cap = more;
    return SHS_OK;
}

static bool is_name(struct shs_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!shs__char_is(s.ptr[i], SHS_CHAR_SEGMENT))
            return false;
    }
    return s.len > 0 && s.len <= SHS_ACCESS_NAME_MAX;
}

static int need_name(const struct reader *r, struct shs_str s, const char *what)
{
    if (is_name(s))
        return SHS_OK;
    return FAULT(r, "'%.70s' is not a name for a %s: 1 to %d letters, digits, - . _ ~.", s.ptr,
                 what, SHS_ACCESS_NAME_MAX);
}

/* -- ca NAME file|spki ... --------------------------------------------------------------------- */

static int add_ca_key(struct reader *r, size_t ca, struct shs_str key)
{
    struct shs_access_entry *entry;

    if (++r->policy->ca_key_count > SHS_ACCESS_CA_KEYS)
        return shs_error_set(r->err, SHS_LIMIT, 0,
                             "%s:%u: the CAs have more than %u keys together.", r->words.name,
                             r->words.line, SHS_ACCESS_CA_KEYS);
    entry = shs__policy_enter(r->policy, SHS_ATTR_CA, key);
    if (entry == NULL)
        return no_memory(r);
    entry->ca_mask |= UINT64_C(1) << ca;
    r->policy->cas[ca].key = key.ptr;
    r->policy->mark = shs__access_hash(r->policy->mark, key);
    return SHS_OK;
}

struct ca_file {
    struct reader *reader;
    size_t ca;
};

static int take_ca_key(void *ctx, const char spki_sha256[65])
{
    struct ca_file *f = ctx;
    struct shs_str key =
        shs__arena_copy(&f->reader->policy->memory, (struct shs_str){spki_sha256, 64});

    return key.ptr == NULL ? no_memory(f->reader) : add_ca_key(f->reader, f->ca, key);
}

/* Relative to the file of the rules. */
static int read_ca_file(struct reader *r, size_t ca, struct shs_str file)
{
    const char *slash = strrchr(r->policy->name, '/');
    struct ca_file f = {r, ca};
    struct shs_error why = {.code = SHS_OK};
    char *path;
    int rc;

    if (file.ptr[0] == '/' || slash == NULL)
        path = shs__strdup(file.ptr);
    else
        path = shs__asprintf("%.*s/%s", (int)(slash - r->policy->name), r->policy->name, file.ptr);
    if (path == NULL)
        return no_memory(r);
    rc = shs__tls_file_keys(path, take_ca_key, &f, &why);
    r->policy->cas[ca].file = shs__arena_copy(&r->policy->memory, shs_str_of(path)).ptr;
    shs__free(path);
    if (rc == SHS_NOMEM)
        return no_memory(r);
    if (rc == SHS_LIMIT)
        return rc; /* it is said */
    return rc == SHS_OK ? SHS_OK : FAULT(r, "%.180s", why.text);
}

static int read_ca(struct reader *r)
{
    struct shs_access_policy *p = r->policy;
    const struct shs_words *w = &r->words;
    size_t ca = p->ca_count;
    bool from_files;
    struct shs_str key;
    int before;

    if (w->count < 4 || (!shs_str_is(w->at[2], "file") && !shs_str_is(w->at[2], "spki")))
        return FAULT(r, "a line with ca is 'ca NAME file FILE ...' or 'ca NAME spki SHA256 ...'.");
    SHS_RETURN_IF_ERROR(need_name(r, w->at[1], "CA"));
    before = shs__policy_ca(p, w->at[1]);
    if (before >= 0)
        return FAULT(r, "the CA '%s' already exists: %s:%u.", w->at[1].ptr, w->name,
                     p->cas[before].line);
    if (shs_str_is(w->at[1], "any"))
        return FAULT(r, "'any' is not the name of a CA: 'ca any' stands for all of them.");
    if (ca == SHS_ACCESS_CAS)
        return shs_error_set(r->err, SHS_LIMIT, 0, "%s:%u: there are more than %u CAs.", w->name,
                             w->line, SHS_ACCESS_CAS);
    p->cas[p->ca_count++] = (struct shs_access_ca){w->at[1].ptr, w->line, NULL, NULL};
    from_files = shs_str_is(w->at[2], "file");
    for (size_t i = 3; i < w->count; i++) {
        if (from_files) {
            SHS_RETURN_IF_ERROR(read_ca_file(r, ca, w->at[i]));
        } else {
            SHS_RETURN_IF_ERROR(shs__value_digest(&r->words, w->at[i], &key, r->err));
            SHS_RETURN_IF_ERROR(add_ca_key(r, ca, key));
        }
    }
    return SHS_OK;
}

/* -- role NAME TERM + TERM ... ----------------------------------------------------------------- */

/* "GET,POST", "*" */
static int read_methods(struct reader *r, struct shs_str text, uint32_t *out)
{
    struct shs_access_policy *p = r->policy;
    struct shs_segments names;

    *out = UINT32_MAX;
    if (shs_str_is(text, "*"))
        return SHS_OK;
    *out = 0;
    shs__segments_cut(&names, text, ',');
    if (names.count > SHS_ACCESS_SEGMENTS)
        return FAULT(r, "'%.70s' has too many methods.", text.ptr);
    for (size_t i = 0; i < names.count; i++) {
        struct shs_str name = names.at[i];
        size_t at = 0;

        for (size_t k = 0; k < name.len; k++) {
            if (!shs__char_is(name.ptr[k], SHS_CHAR_TOKEN) || name.ptr[k] == '*' ||
                shs__lower((unsigned char)name.ptr[k]) == (unsigned char)name.ptr[k])
                name.len = 0; /* a method is written in capitals */
        }
        if (name.len == 0)
            return FAULT(r,
                         "'%.70s' is not a method and no role above it: methods are 'GET', "
                         "'GET,POST' or '*'.",
                         text.ptr);
        while (at < p->method_count && !shs_str_eq(p->methods[at], name))
            at++;
        if (at == SHS_ACCESS_METHODS)
            return shs_error_set(r->err, SHS_LIMIT, 0, "%s:%u: there are more than %u methods.",
                                 r->words.name, r->words.line, SHS_ACCESS_METHODS);
        if (at == p->method_count)
            p->methods[p->method_count++] = name;
        if ((*out & UINT32_C(1) << at) != 0)
            return FAULT(r, "'%.70s' has a method twice.", text.ptr);
        *out |= UINT32_C(1) << at;
    }
    return SHS_OK;
}

struct new_grant {
    struct reader *reader;
    struct shs_access_grant grant;
    uint32_t clash; /* a grant with the same requests; SHS_ACCESS_NOBODY */
};

/* In the same role; or in one that it has, when that has all of it. */
static void look_for_clash(void *ctx, uint32_t item)
{
    struct new_grant *g = ctx;
    const struct shs_access_policy *p = g->reader->policy;
    const struct shs_access_grant *old = &p->grants[item];
    uint64_t has = p->roles[g->grant.role].includes;

    if (old->role == g->grant.role) {
        if ((old->methods & g->grant.methods) == 0)
            return;
    } else if ((has & UINT64_C(1) << old->role) == 0 ||
               (old->methods & g->grant.methods) != g->grant.methods ||
               !shs__pattern_covers(&old->pattern, &g->grant.pattern)) {
        return;
    }
    if (g->clash == SHS_ACCESS_NOBODY || item < g->clash)
        g->clash = item;
}

static int add_grant(void *ctx, const struct shs_pattern *pattern)
{
    struct new_grant *g = ctx;
    struct reader *r = g->reader;
    struct shs_access_policy *p = r->policy;

    if (p->grant_count == SHS_ACCESS_GRANTS)
        return shs_error_set(r->err, SHS_LIMIT, 0, "%s:%u: the roles have more than %u paths.",
                             r->words.name, r->words.line, SHS_ACCESS_GRANTS);
    g->grant.pattern = *pattern;
    g->clash = SHS_ACCESS_NOBODY;
    shs__tree_overlapping(&p->by_path, 0, pattern, look_for_clash, g);
    if (g->clash != SHS_ACCESS_NOBODY)
        return FAULT(r, "role %s has a path twice: %s:%u (role %s) has requests in common with it.",
                     p->roles[g->grant.role].name, r->words.name, p->grants[g->clash].line,
                     p->roles[p->grants[g->clash].role].name);
    SHS_RETURN_IF_ERROR(
        make_room(r, (void **)&p->grants, p->grant_count, &p->grant_cap, sizeof *p->grants));
    if (shs__tree_add(&p->by_path, 0, pattern, (uint32_t)p->grant_count) != SHS_OK)
        return no_memory(r);
    p->grants[p->grant_count++] = g->grant;
    return SHS_OK;
}

/* One TERM: words [from, to). */
static int read_term(struct reader *r, size_t role, size_t from, size_t to)
{
    struct shs_access_policy *p = r->policy;
    const struct shs_words *w = &r->words;
    struct new_grant g = {.reader = r};
    int other;

    if (to == from || to > from + 2)
        return FAULT(r, "between '+' stands a role that is above, or METHODS and a PATTERN.");
    if (to == from + 1) {
        other = shs__policy_role(p, w->at[from]);
        if (other < 0 || (size_t)other == role)
            return FAULT(r,
                         "there is no role '%.60s' above this line. (METHODS have a PATTERN "
                         "after them.)",
                         w->at[from].ptr);
        if ((p->roles[role].includes & UINT64_C(1) << other) != 0)
            return FAULT(r, "role %s has the role %s twice.", p->roles[role].name,
                         p->roles[other].name);
        p->roles[role].includes |= p->roles[other].includes;
        return SHS_OK;
    }
    g.grant = (struct shs_access_grant){.line = w->line, .role = (uint8_t)role};
    SHS_RETURN_IF_ERROR(read_methods(r, w->at[from], &g.grant.methods));
    return shs__value_paths(&r->words, w->at[from + 1], add_grant, &g, r->err);
}

static int read_role(struct reader *r)
{
    struct shs_access_policy *p = r->policy;
    const struct shs_words *w = &r->words;
    size_t role = p->role_count, from = 2;
    int before;

    if (w->count < 3)
        return FAULT(r, "a line with role is 'role NAME TERM + TERM ...'.");
    SHS_RETURN_IF_ERROR(need_name(r, w->at[1], "role"));
    before = shs__policy_role(p, w->at[1]);
    if (before >= 0)
        return FAULT(r, "the role '%s' already exists: %s:%u.", w->at[1].ptr, w->name,
                     p->roles[before].line);
    if (role == SHS_ACCESS_ROLES)
        return shs_error_set(r->err, SHS_LIMIT, 0, "%s:%u: there are more than %u roles.", w->name,
                             w->line, SHS_ACCESS_ROLES);
    p->roles[p->role_count++] =
        (struct shs_access_role){w->at[1].ptr, w->line, UINT64_C(1) << role};
    for (size_t i = 2; i <= w->count; i++) {
        if (i < w->count && !shs_str_is(w->at[i], "+"))
            continue;
        SHS_RETURN_IF_ERROR(read_term(r, role, from, i));
        from = i + 1;
    }
    return SHS_OK;
}

/* -- map, deny --------------------------------------------------------------------------------- */

static int find_attr(struct shs_str word)
{
    for (int i = 0; i < SHS_ATTR_CA; i++) {
        if (shs_str_is(word, shs__attr_kinds[i].word))
            return i;
    }
    return -1;
}

/* A line while it is being read. */
struct new_rule {
    struct shs_access_rule rule;
    struct shs_access_condition conditions[SHS_ACCESS_CONDITIONS];
    bool has_ca, has_any, has_anyone, is_asserted, is_of_cert;
    bool has_via, is_said; /* a proxy; what one says */
};

static bool has_once(enum shs_attr attr)
{
    return attr == SHS_ATTR_CN || attr == SHS_ATTR_SERIAL || attr == SHS_ATTR_SPKI ||
           attr == SHS_ATTR_CERT || attr == SHS_ATTR_UID || attr == SHS_ATTR_USER ||
           attr == SHS_ATTR_VIA || shs__attr_is_said(attr);
}

static int add_condition(struct reader *r, struct new_rule *n, enum shs_attr attr,
                         struct shs_str value)
{
    struct shs_access_condition *c = &n->conditions[n->rule.condition_count];

    if (n->rule.condition_count == SHS_ACCESS_CONDITIONS)
        return FAULT(r, "a line has at most %u conditions.", SHS_ACCESS_CONDITIONS);
    SHS_RETURN_IF_ERROR(shs__value_read(&r->words, attr, value, c, r->err));
    for (size_t i = 0; i < n->rule.condition_count; i++) {
        if (n->conditions[i].attr == attr &&
            (has_once(attr) || shs_str_eq(n->conditions[i].value, c->value)))
            return FAULT(r, "the line has '%s' twice.", shs__attr_kinds[attr].word);
    }
    n->rule.condition_count++;
    n->is_asserted = n->is_asserted || shs__attr_is_asserted(attr);
    n->is_of_cert = n->is_of_cert || shs__attr_is_of_cert(attr);
    n->has_via = n->has_via || attr == SHS_ATTR_VIA;
    n->is_said = n->is_said || shs__attr_is_said(attr);
    n->rule.by_issuer = n->rule.by_issuer || attr == SHS_ATTR_SERIAL;
    return SHS_OK;
}

static int read_rule_ca(struct reader *r, struct new_rule *n, struct shs_str name)
{
    int ca = shs__policy_ca(r->policy, name);

    if (n->has_ca)
        return FAULT(r, "the line has 'ca' twice.");
    n->has_ca = true;
    if (shs_str_is(name, "any"))
        return SHS_OK;
    if (ca < 0)
        return FAULT(r, "there is no CA '%.60s' above this line: 'ca %.60s file FILE' names one.",
                     name.ptr, name.ptr);
    n->rule.ca_mask = UINT64_C(1) << ca;
    n->rule.ca = r->policy->cas[ca].name;
    return SHS_OK;
}

/* The conditions: words [1, end). */
static int read_conditions(struct reader *r, struct new_rule *n, size_t end)
{
    const struct shs_words *w = &r->words;
    size_t i = 1;

    while (i < end) {
        bool is_ca = shs_str_is(w->at[i], "ca");
        int attr = is_ca ? (int)SHS_ATTR_CA : find_attr(w->at[i]);

        if (attr < 0)
            return FAULT(
                r,
                "'%.60s' is not a condition: cn, o, ou, dns, uri, email, ip, serial, spki, "
                "cert, uid, gid, user, via, via-uri, via-dns, via-cn, via-cert, any, "
                "anyone; or ca.",
                w->at[i].ptr);
        if (attr == SHS_ATTR_ANY || attr == SHS_ATTR_ANYONE) {
            n->has_any = n->has_any || attr == SHS_ATTR_ANY;
            n->has_anyone = n->has_anyone || attr == SHS_ATTR_ANYONE;
            i++;
            continue;
        }
        if (i + 1 >= end)
            return FAULT(r, "'%s' has no value after it%s.", w->at[i].ptr,
                         n->rule.deny ? "" : ", or the role is missing");
        if (is_ca)
            SHS_RETURN_IF_ERROR(read_rule_ca(r, n, w->at[i + 1]));
        else
            SHS_RETURN_IF_ERROR(add_condition(r, n, (enum shs_attr)attr, w->at[i + 1]));
        i += 2;
    }
    return SHS_OK;
}

/* What a proxy says of its client is only as good as the proxy. */
static int check_said(const struct reader *r, const struct new_rule *n)
{
    if (n->is_said && !n->has_via && !n->is_of_cert)
        return FAULT(r, "add 'via ADDRESS': which proxy may assert this? (Or a condition on the "
                        "proxy's own certificate.)");
    if (n->has_via && !n->is_said)
        return FAULT(r, "'via' names the proxy that may assert something of its clients: add "
                        "via-uri, via-dns, via-cn or via-cert.");
    return SHS_OK;
}

/* Do the conditions go together, and is it said who asserts them? */
static int check_conditions(const struct reader *r, const struct new_rule *n)
{
    size_t count = n->rule.condition_count;

    if (count == 0 && !n->has_any && !n->has_anyone)
        return FAULT(r, "the line has no condition.");
    if (n->has_anyone && (count > 0 || n->has_any || n->has_ca))
        return FAULT(r, "'anyone' is everybody: nothing stands beside it.");
    if (n->has_any && n->is_of_cert)
        return FAULT(r, "'any' is every certificate of the CA: no other condition on it stands "
                        "beside it.");
    if (n->has_ca && !n->is_of_cert && !n->has_any)
        return FAULT(r, "a CA asserts what is in a certificate, and the line asks for nothing of "
                        "one.");
    if (n->rule.by_issuer && n->rule.ca_mask == 0)
        return FAULT(r, "a serial number needs the CA that issued it: add 'ca NAME'.");
    if ((n->is_asserted || n->has_any) && !n->has_ca && !n->rule.deny)
        return FAULT(r, "add 'ca NAME': who may assert this? ('ca any': any CA that the server "
                        "accepts.)");
    return n->rule.deny ? SHS_OK : check_said(r, n);
}

static int keep_rule(struct reader *r, struct new_rule *n)
{
    struct shs_access_policy *p = r->policy;
    size_t bytes = n->rule.condition_count * sizeof n->conditions[0];
    struct shs_access_condition *kept;

    if (p->rule_count == SHS_ACCESS_RULES)
        return shs_error_set(r->err, SHS_LIMIT, 0, "%s:%u: there are more than %u rules.",
                             r->words.name, r->words.line, SHS_ACCESS_RULES);
    kept = shs__arena_alloc(&p->memory, bytes + 1);
    n->rule.text = shs__words_text(&r->words).ptr;
    if (kept == NULL || n->rule.text == NULL)
        return no_memory(r);
    if (bytes > 0)
        memcpy(kept, n->conditions, bytes);
    n->rule.conditions = kept;
    SHS_RETURN_IF_ERROR(
        make_room(r, (void **)&p->rules, p->rule_count, &p->rule_cap, sizeof *p->rules));
    for (size_t i = 0; i < n->rule.condition_count; i++) {
        struct shs_access_entry *entry;

        if (kept[i].is_pattern)
            continue;
        entry = shs__policy_enter(p, kept[i].attr, kept[i].value);
        if (entry == NULL)
            return no_memory(r);
        entry->uses++;
    }
    p->rules[p->rule_count++] = n->rule;
    return SHS_OK;
}

static int read_rule(struct reader *r, bool deny)
{
    const struct shs_words *w = &r->words;
    struct new_rule n = {.rule = {.line = w->line, .deny = deny, .next = SHS_ACCESS_NOBODY}};
    size_t end = w->count;
    int role = 0;

    if (!deny) {
        if (w->count < 3)
            return FAULT(r, "a line with map is 'map CONDITION ... [ca NAME] ROLE'.");
        role = shs__policy_role(r->policy, w->at[--end]);
    }
    SHS_RETURN_IF_ERROR(read_conditions(r, &n, end));
    if (role < 0)
        return FAULT(r, "there is no role '%.60s' above this line.", w->at[end].ptr);
    SHS_RETURN_IF_ERROR(check_conditions(r, &n));
    n.rule.role = (uint8_t)role;
    n.rule.needs_cert = n.has_any;
    if (deny)
        n.rule.by_issuer = false; /* a deny holds for all that the CA stands above */
    if (deny && n.has_anyone)
        r->lets_nobody = w->line;
    r->maps += deny ? 0 : 1;
    return keep_rule(r, &n);
}

/* -- lines that can never decide --------------------------------------------------------------- */

static bool condition_covers(const struct shs_access_condition *a,
                             const struct shs_access_condition *b)
{
    struct shs_segments value;
    struct shs_segment segs[SHS_ACCESS_SEGMENTS];
    struct shs_pattern exact = {segs, 0};

    if (a->attr != b->attr || (b->is_pattern && !a->is_pattern))
        return false;
    if (!a->is_pattern)
        return shs_str_eq(a->value, b->value);
    if (b->is_pattern)
        return shs__pattern_covers(&a->pattern, &b->pattern);
    shs__segments_cut(&value, b->value, shs__attr_kinds[b->attr].separator);
    exact.count = value.count < SHS_ACCESS_SEGMENTS ? value.count : SHS_ACCESS_SEGMENTS;
    for (size_t i = 0; i < exact.count; i++)
        segs[i] = (struct shs_segment){SHS_SEGMENT_TEXT, value.at[i]};
    return shs__pattern_covers(&a->pattern, &exact);
}

static bool is_of_cert(const struct shs_access_rule *rule)
{
    bool found = rule->needs_cert;

    for (size_t i = 0; i < rule->condition_count; i++)
        found = found || shs__attr_is_of_cert(rule->conditions[i].attr);
    return found;
}

/* Does `a` fit everybody that `b` fits? */
static bool rule_covers(const struct shs_access_rule *a, const struct shs_access_rule *b)
{
    if (a->ca_mask != 0 && (a->ca_mask != b->ca_mask || (a->by_issuer && !b->by_issuer)))
        return false;
    if (a->needs_cert && !is_of_cert(b))
        return false;
    for (size_t i = 0; i < a->condition_count; i++) {
        bool found = false;

        for (size_t k = 0; k < b->condition_count; k++)
            found = found || condition_covers(&a->conditions[i], &b->conditions[k]);
        if (!found)
            return false;
    }
    return true;
}

/* Two lines with one pattern each, of the same kind. */
static bool rules_overlap(const struct shs_access_rule *a, const struct shs_access_rule *b)
{
    const struct shs_access_condition *x = a->conditions, *y = b->conditions;

    if (a->condition_count != 1 || b->condition_count != 1 || x->attr != y->attr ||
        !x->is_pattern || !y->is_pattern)
        return false;
    if (a->ca_mask != 0 && b->ca_mask != 0 && a->ca_mask != b->ca_mask)
        return false;
    return shs__pattern_overlaps(&x->pattern, &y->pattern) &&
           !shs__pattern_covers(&x->pattern, &y->pattern) &&
           !shs__pattern_covers(&y->pattern, &x->pattern);
}

struct comparison {
    const struct shs_access_policy *policy;
    const struct shs_access_rule *rule;
    uint32_t covered_by, overlaps; /* SHS_ACCESS_NOBODY */
};

static void compare(void *ctx, uint32_t item)
{
    struct comparison *c = ctx;
    const struct shs_access_rule *old = &c->policy->rules[item];

    if (item < c->covered_by && rule_covers(old, c->rule))
        c->covered_by = item;
    if (item < c->overlaps && rules_overlap(old, c->rule))
        c->overlaps = item;
}

/* All lines above that are found by something that this one asks for. */
static void compare_with_all(struct comparison *c)
{
    const struct shs_access_policy *p = c->policy;

    for (size_t i = 0; i < p->always_count; i++)
        compare(c, p->always[i]);
    for (size_t i = 0; i < c->rule->condition_count; i++) {
        const struct shs_access_condition *cond = &c->rule->conditions[i];
        char separator = shs__attr_kinds[cond->attr].separator;
        const struct shs_access_entry *entry;
        struct shs_segments value;

        if (cond->is_pattern) {
            shs__tree_overlapping(&p->by_value, cond->attr, &cond->pattern, compare, c);
            continue;
        }
        entry = shs__policy_find(p, cond->attr, cond->value);
        for (uint32_t at = entry == NULL ? SHS_ACCESS_NOBODY : entry->first;
             at != SHS_ACCESS_NOBODY; at = p->rules[at].next)
            compare(c, at);
        if (separator != 0) {
            shs__segments_cut(&value, cond->value, separator);
            shs__tree_match(&p->by_value, cond->attr, &value, compare, c);
        }
    }
}

static int check_rule(struct reader *r, const struct shs_access_rule *rule)
{
    const struct shs_access_policy *p = r->policy;
    struct comparison c = {p, rule, SHS_ACCESS_NOBODY, SHS_ACCESS_NOBODY};

    r->words.line = rule->line;
    compare_with_all(&c);
    if (c.covered_by != SHS_ACCESS_NOBODY)
        return FAULT(r, "this rule can never decide: %s:%u is above it and fits all that it fits.",
                     r->words.name, p->rules[c.covered_by].line);
    if (c.overlaps != SHS_ACCESS_NOBODY)
        return FAULT(r, "this pattern and that of %s:%u overlap, and neither is the narrower one.",
                     r->words.name, p->rules[c.overlaps].line);
    return SHS_OK;
}

/* By its rarest exact value; by a pattern when it has nothing else. */
static int index_rule(struct shs_access_policy *p, uint32_t index)
{
    struct shs_access_rule *rule = &p->rules[index];
    const struct shs_access_condition *best = NULL;
    struct shs_access_entry *entry;
    uint32_t fewest = 0;

    for (size_t i = 0; i < rule->condition_count; i++) {
        const struct shs_access_condition *c = &rule->conditions[i];

        p->denied_attrs |= rule->deny ? 1u << c->attr : 0;
        if (!c->is_pattern) {
            entry = shs__policy_enter(p, c->attr, c->value);
            if (entry == NULL)
                return SHS_NOMEM;
            if (best == NULL || best->is_pattern || entry->uses < fewest) {
                best = c;
                fewest = entry->uses;
            }
        } else if (best == NULL) {
            best = c;
        }
    }
    if (best == NULL) {
        p->always[p->always_count++] = index;
        return SHS_OK;
    }
    if (best->is_pattern) {
        p->pattern_attrs |= 1u << best->attr;
        return shs__tree_add(&p->by_value, best->attr, &best->pattern, index);
    }
    p->exact_attrs |= 1u << best->attr;
    entry = shs__policy_enter(p, best->attr, best->value);
    if (entry == NULL)
        return SHS_NOMEM;
    if (entry->first == SHS_ACCESS_NOBODY)
        entry->first = index;
    else
        p->rules[entry->last].next = index;
    entry->last = index;
    return SHS_OK;
}

/* -- the whole --------------------------------------------------------------------------------- */

static int read_line(struct reader *r)
{
    static const struct {
        const char *word;
        int (*read)(struct reader *r);
    } kinds[] = {{"ca", read_ca}, {"role", read_role}};
    struct shs_str word = r->words.at[0];

    for (size_t i = 0; i < SHS_ARRAY_LEN(kinds); i++) {
        if (shs_str_is(word, kinds[i].word))
            return kinds[i].read(r);
    }
    if (shs_str_is(word, "map") || shs_str_is(word, "deny"))
        return read_rule(r, shs_str_is(word, "deny"));
    return FAULT(r, "a line begins with ca, role, map or deny, not with '%.60s'.", word.ptr);
}

static int finish(struct reader *r)
{
    struct shs_access_policy *p = r->policy;

    if (r->maps == 0 && r->lets_nobody == 0)
        return shs_error_set(r->err, SHS_USAGE, 0,
                             "%s: no line with map: nobody would be let in. If that is meant, "
                             "write 'deny anyone'.",
                             r->words.name);
    for (size_t i = 0; i < p->rule_count; i++) {
        SHS_RETURN_IF_ERROR(check_rule(r, &p->rules[i]));
        if (index_rule(p, (uint32_t)i) != SHS_OK)
            return no_memory(r);
    }
    for (size_t i = 0; i < p->grant_count; i++) {
        for (size_t role = 0; role < p->role_count; role++) {
            if ((p->roles[role].includes & UINT64_C(1) << p->grants[i].role) != 0)
                p->grants[i].roles |= UINT64_C(1) << role;
        }
    }
    return SHS_OK;
}

static int read_all(struct reader *r, struct shs_str text)
{
    const char *nul = text.len == 0 ? NULL : memchr(text.ptr, '\0', text.len);
    int rc;

    if (nul != NULL)
        return shs_error_set(r->err, SHS_USAGE, 0, "%s: there is a NUL in it: it is not text.",
                             r->words.name);
    while ((rc = shs__words_next(&r->words, r->err)) == SHS_OK)
        SHS_RETURN_IF_ERROR(read_line(r));
    return rc == SHS_CLOSED ? finish(r) : rc;
}

int shs__policy_read(struct shs_access_policy **out, const char *name, struct shs_str text,
                     struct shs_error *err)
{
    struct shs_access_policy *p = shs__calloc(1, sizeof *p);
    struct reader *r = shs__calloc(1, sizeof *r);
    int rc = SHS_NOMEM;

    if (p != NULL)
        atomic_init(&p->refs, 1);
    if (p != NULL && r != NULL) {
        shs__arena_init(&p->memory, (size_t)256 * 1024 * 1024);
        p->name = shs__arena_copy(&p->memory, shs_str_of(name)).ptr;
        p->mark = shs__access_hash(0, text);
        r->policy = p;
        r->err = err;
        shs__words_begin(&r->words, name, text, &p->memory);
        if (p->name != NULL && shs__tree_init(&p->by_value, SHS_ATTR_COUNT) == SHS_OK &&
            shs__tree_init(&p->by_path, 1) == SHS_OK)
            rc = read_all(r, text);
        else
            rc = no_memory(r);
    } else {
        shs_error_set(err, SHS_NOMEM, 0, "Out of memory for rules.");
    }
    shs__free(r);
    if (rc != SHS_OK) {
        shs__policy_free(p);
        return rc;
    }
    *out = p;
    return SHS_OK;
}
