/*
 * policy.h - rules as they were read: constant from then on, so that any thread may decide by them.
 *
 * Concept
 *
 *   A line that decides (map, deny) is found by one of its conditions: by an exact value in a
 *   table, by a pattern in a tree. Of the lines found, the first of the file whose other conditions
 *   hold decides. Paths that roles have are in a tree of their own; a leaf says which roles, as a
 *   mask, and which methods.
 */
#ifndef SHS_ACCESS_POLICY_H
#define SHS_ACCESS_POLICY_H

#include <stdatomic.h>

#include <shs/access.h>

#include "access/pattern.h"
#include "base/base.h"

#define SHS_ACCESS_NOBODY UINT32_MAX

#define SHS_ACCESS_FILE_MAX ((size_t)4 * 1024 * 1024)
#define SHS_ACCESS_RULES 100000u
#define SHS_ACCESS_GRANTS 20000u
#define SHS_ACCESS_ROLES 64u
#define SHS_ACCESS_CAS 64u
#define SHS_ACCESS_CA_KEYS 4096u /* of all CAs together */
#define SHS_ACCESS_CONDITIONS 8u /* of a line */
#define SHS_ACCESS_METHODS 31u   /* different ones */

/* X(NAME, word, separator of its segments; 0 = it has no patterns) */
#define SHS_ATTR_MAP(X)                                                                            \
    X(CN, "cn", 0)                                                                                 \
    X(O, "o", 0)                                                                                   \
    X(OU, "ou", 0)                                                                                 \
    X(DNS, "dns", '.')                                                                             \
    X(URI, "uri", '/')                                                                             \
    X(EMAIL, "email", '@')                                                                         \
    X(IP, "ip", 0)                                                                                 \
    X(SERIAL, "serial", 0)                                                                         \
    X(SPKI, "spki", 0)                                                                             \
    X(CERT, "cert", 0)                                                                             \
    X(ANY, "any", 0)                                                                               \
    X(UID, "uid", 0)                                                                               \
    X(GID, "gid", 0)                                                                               \
    X(USER, "user", 0)                                                                             \
    X(VIA, "via", 0)                                                                               \
    X(VIA_URI, "via-uri", '/')                                                                     \
    X(VIA_DNS, "via-dns", '.')                                                                     \
    X(VIA_CN, "via-cn", 0)                                                                         \
    X(VIA_CERT, "via-cert", 0)                                                                     \
    X(ANYONE, "anyone", 0)                                                                         \
    X(CA, "ca", 0) /* no condition by itself: the keys of CAs are in the same table */

enum shs_attr {
#define SHS_ATTR_ENUM(name, word, separator) SHS_ATTR_##name,
    SHS_ATTR_MAP(SHS_ATTR_ENUM)
#undef SHS_ATTR_ENUM
        SHS_ATTR_COUNT
};

struct shs_attr_kind {
    const char *word;
    char separator;
};
extern const struct shs_attr_kind shs__attr_kinds[SHS_ATTR_COUNT];

/* Is it something that a certificate says, and a CA asserts? */
static inline bool shs__attr_is_asserted(enum shs_attr attr)
{
    return attr <= SHS_ATTR_SERIAL || attr == SHS_ATTR_ANY;
}
static inline bool shs__attr_is_of_cert(enum shs_attr attr)
{
    return attr <= SHS_ATTR_ANY;
}

/* Is it something that a proxy says of its client? */
static inline bool shs__attr_is_said(enum shs_attr attr)
{
    return attr >= SHS_ATTR_VIA_URI && attr <= SHS_ATTR_VIA_CERT;
}

struct shs_access_condition {
    enum shs_attr attr;
    bool is_pattern;
    struct shs_str value; /* as it is compared: a uid as a number, a digest as hexadecimal */
    struct shs_pattern pattern;
};

/* A line with map or deny. */
struct shs_access_rule {
    unsigned line;
    bool deny;
    uint8_t role; /* of a map */
    uint8_t condition_count;
    bool by_issuer;   /* the CA must be the issuer itself */
    bool needs_cert;  /* `any`, which no condition says */
    uint64_t ca_mask; /* one bit; 0: of no CA in particular */
    const struct shs_access_condition *conditions;
    const char *ca; /* its name; NULL */
    const char *text;
    uint32_t next; /* found by the same value, further down; or SHS_ACCESS_NOBODY */
};

struct shs_access_role {
    const char *name;
    unsigned line;
    uint64_t includes; /* the roles that it has, its own bit too */
};

struct shs_access_grant {
    unsigned line;
    uint8_t role;
    uint32_t methods;
    uint64_t roles; /* that have it */
    struct shs_pattern pattern;
};

struct shs_access_ca {
    const char *name;
    unsigned line;
    const char *key;  /* one of its keys, hexadecimal */
    const char *file; /* where one of them is from, as a path to open; NULL: none */
};

/* A value in the table, and the lines it finds. */
struct shs_access_entry {
    enum shs_attr attr;
    struct shs_str value;
    uint32_t first, last; /* of its lines; SHS_ACCESS_NOBODY */
    uint32_t uses;        /* how many conditions have it */
    uint64_t ca_mask;     /* of ATTR_CA */
};

struct shs_access_policy {
    _Atomic unsigned refs;
    struct shs_arena memory; /* texts, conditions, segments */
    const char *name;        /* of the file */
    uint64_t mark;           /* of all it was read from; another one: it says something else */
    struct shs_access_rule *rules;
    size_t rule_count, rule_cap;
    struct shs_access_grant *grants;
    size_t grant_count, grant_cap;
    struct shs_access_role roles[SHS_ACCESS_ROLES];
    size_t role_count;
    struct shs_access_ca cas[SHS_ACCESS_CAS];
    size_t ca_count, ca_key_count;
    struct shs_str methods[SHS_ACCESS_METHODS];
    size_t method_count;
    struct shs_access_entry *entries; /* open addressing; attr COUNT = free */
    size_t entry_count, entry_cap;
    unsigned exact_attrs, pattern_attrs; /* that are found by them: bits */
    unsigned denied_attrs;               /* that a line with deny asks for: bits */
    struct shs_tree by_value;            /* a root for each attr */
    struct shs_tree by_path;
    uint32_t always[SHS_ACCESS_CAS + 2]; /* lines without a condition: any, anyone */
    size_t always_count;
};

/* Reads and checks. SHS_OK, SHS_USAGE, SHS_LIMIT, SHS_IO or SHS_NOMEM, as shs_access_new. */
int shs__policy_read(struct shs_access_policy **out, const char *name, struct shs_str text,
                     struct shs_error *err);
struct shs_access_policy *shs__policy_ref(struct shs_access_policy *self);
void shs__policy_free(struct shs_access_policy *self); /* NULL is fine */

/* The entry of that value; NULL. */
const struct shs_access_entry *shs__policy_find(const struct shs_access_policy *self,
                                                enum shs_attr attr, struct shs_str value);
/* The same, made if it is not there; NULL: no memory. Moves all of them. */
struct shs_access_entry *shs__policy_enter(struct shs_access_policy *self, enum shs_attr attr,
                                           struct shs_str value);

/* The number of a CA; of a role; -1: there is none of that name. */
int shs__policy_ca(const struct shs_access_policy *self, struct shs_str name);
int shs__policy_role(const struct shs_access_policy *self, struct shs_str name);

/* The bits of a method: of GET too for HEAD; 1 << 31 for one that no line has. */
uint32_t shs__policy_method(const struct shs_access_policy *self, struct shs_str method);

/* *out has its line, role and so on. */
void shs__policy_decide(const struct shs_access_policy *self, const struct shs_identity *identity,
                        struct shs_str method, struct shs_str path,
                        struct shs_access_decision *out);

/* Whether it said something else than the rules in force when it was read. */
bool shs__access_draft_is_news(const struct shs_access_draft *self);

/* The rules of now; for shs__policy_free. */
struct shs_access_policy *shs__access_policy(struct shs_access_rules *self);

#endif
