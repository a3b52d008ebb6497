#include "access/policy.h"

#include "access/hash.h"

const struct shs_attr_kind shs__attr_kinds[SHS_ATTR_COUNT] = {
#define SHS_ATTR_ROW(name, word, separator) {word, separator},
    SHS_ATTR_MAP(SHS_ATTR_ROW)
#undef SHS_ATTR_ROW
};

struct shs_access_policy *shs__policy_ref(struct shs_access_policy *self)
{
    atomic_fetch_add_explicit(&self->refs, 1, memory_order_relaxed);
    return self;
}

void shs__policy_free(struct shs_access_policy *self)
{
    if (self == NULL || atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel) != 1)
        return;
    shs__tree_free(&self->by_value);
    shs__tree_free(&self->by_path);
    shs__free(self->entries);
    shs__free(self->rules);
    shs__free(self->grants);
    shs__arena_free(&self->memory);
    shs__free(self);
}

/* -- the table of values ----------------------------------------------------------------------- */

/* Where it is, or would be. */
static struct shs_access_entry *place_of(struct shs_access_entry *entries, size_t cap,
                                         enum shs_attr attr, struct shs_str value)
{
    size_t at = (size_t)shs__access_hash(attr, value) & (cap - 1);

    while (entries[at].attr != SHS_ATTR_COUNT &&
           (entries[at].attr != attr || !shs_str_eq(entries[at].value, value)))
        at = (at + 1) & (cap - 1);
    return &entries[at];
}

const struct shs_access_entry *shs__policy_find(const struct shs_access_policy *self,
                                                enum shs_attr attr, struct shs_str value)
{
    const struct shs_access_entry *entry;

    if (self->entry_cap == 0)
        return NULL;
    entry = place_of(self->entries, self->entry_cap, attr, value);
    return entry->attr == SHS_ATTR_COUNT ? NULL : entry;
}

/* Half of the places stay free. */
static bool grow(struct shs_access_policy *self)
{
    size_t cap = self->entry_cap == 0 ? 64 : 2 * self->entry_cap;
    struct shs_access_entry *more;

    if (self->entry_count * 2 < self->entry_cap)
        return true;
    more = shs__calloc(cap, sizeof *more);
    if (more == NULL)
        return false;
    for (size_t i = 0; i < cap; i++)
        more[i].attr = SHS_ATTR_COUNT;
    for (size_t i = 0; i < self->entry_cap; i++) {
        const struct shs_access_entry *old = &self->entries[i];

        if (old->attr != SHS_ATTR_COUNT)
            *place_of(more, cap, old->attr, old->value) = *old;
    }
    shs__free(self->entries);
    self->entries = more;
    self->entry_cap = cap;
    return true;
}

struct shs_access_entry *shs__policy_enter(struct shs_access_policy *self, enum shs_attr attr,
                                           struct shs_str value)
{
    struct shs_access_entry *entry;

    if (!grow(self))
        return NULL;
    entry = place_of(self->entries, self->entry_cap, attr, value);
    if (entry->attr == SHS_ATTR_COUNT) {
        *entry = (struct shs_access_entry){
            .attr = attr, .value = value, .first = SHS_ACCESS_NOBODY, .last = SHS_ACCESS_NOBODY};
        self->entry_count++;
    }
    return entry;
}

int shs__policy_ca(const struct shs_access_policy *self, struct shs_str name)
{
    for (size_t i = 0; i < self->ca_count; i++) {
        if (shs_str_is(name, self->cas[i].name))
            return (int)i;
    }
    return -1;
}

int shs__policy_role(const struct shs_access_policy *self, struct shs_str name)
{
    for (size_t i = 0; i < self->role_count; i++) {
        if (shs_str_is(name, self->roles[i].name))
            return (int)i;
    }
    return -1;
}

uint32_t shs__policy_method(const struct shs_access_policy *self, struct shs_str method)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < self->method_count; i++) {
        if (shs_str_eq(self->methods[i], method))
            bits |= UINT32_C(1) << i;
    }
    if (shs_str_is(method, "HEAD"))
        bits |= shs__policy_method(self, SHS_STR("GET"));
    return bits == 0 ? UINT32_C(1) << 31 : bits;
}
