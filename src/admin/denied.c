#include "admin/denied.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SPIFFE "spiffe "
#define UID "uid "

struct shs_admin_denied {
    pthread_rwlock_t lock;
    _Atomic size_t
        count; /* to see without the lock that there is none, which is nearly always so */
    char **entries;
    size_t room;
};

int shs__admin_denied_new(struct shs_admin_denied **out)
{
    struct shs_admin_denied *self = shs__calloc(1, sizeof *self);

    if (self == NULL || pthread_rwlock_init(&self->lock, NULL) != 0) {
        shs__free(self);
        return SHS_NOMEM;
    }
    *out = self;
    return SHS_OK;
}

void shs__admin_denied_free(struct shs_admin_denied *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < self->count; i++)
        shs__free(self->entries[i]);
    shs__free(self->entries);
    pthread_rwlock_destroy(&self->lock);
    shs__free(self);
}

/* -- with the lock ----------------------------------------------------------------------------- */

static bool has(const struct shs_admin_denied *self, const char *entry)
{
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->entries[i], entry) == 0)
            return true;
    }
    return false;
}

/* The ID itself, or one whose path goes on from there. */
static bool is_below(struct shs_str id, struct shs_str prefix)
{
    if (prefix.len == 0 || id.len < prefix.len || memcmp(id.ptr, prefix.ptr, prefix.len) != 0)
        return false;
    return id.len == prefix.len || prefix.ptr[prefix.len - 1] == '/' || id.ptr[prefix.len] == '/';
}

static int append(struct shs_admin_denied *self, const char *entry)
{
    size_t count = atomic_load(&self->count);
    char *copy;

    if (count == SHS_ADMIN_DENIED_MAX)
        return SHS_LIMIT;
    if (count == self->room) {
        size_t room = self->room == 0 ? 16 : 2 * self->room;
        char **entries = shs__realloc(self->entries, room * sizeof *entries);

        if (entries == NULL)
            return SHS_NOMEM;
        self->entries = entries;
        self->room = room;
    }
    copy = shs__strdup(entry);
    if (copy == NULL)
        return SHS_NOMEM;
    self->entries[count] = copy;
    atomic_store(&self->count, count + 1);
    return SHS_OK;
}

/* -- without ----------------------------------------------------------------------------------- */

int shs__admin_denied_add(struct shs_admin_denied *self, const char *entry, bool *added)
{
    int rc = SHS_OK;

    pthread_rwlock_wrlock(&self->lock);
    *added = !has(self, entry);
    if (*added)
        rc = append(self, entry);
    pthread_rwlock_unlock(&self->lock);
    return rc;
}

bool shs__admin_denied_remove(struct shs_admin_denied *self, const char *entry)
{
    size_t count, i = 0;

    pthread_rwlock_wrlock(&self->lock);
    count = atomic_load(&self->count);
    while (i < count && strcmp(self->entries[i], entry) != 0)
        i++;
    if (i < count) {
        shs__free(self->entries[i]);
        memmove(&self->entries[i], &self->entries[i + 1], (count - i - 1) * sizeof *self->entries);
        atomic_store(&self->count, count - 1);
    }
    pthread_rwlock_unlock(&self->lock);
    return i < count;
}

void shs__admin_denied_drop_last(struct shs_admin_denied *self)
{
    pthread_rwlock_wrlock(&self->lock);
    if (self->count > 0) {
        size_t last = atomic_load(&self->count) - 1;

        atomic_store(&self->count, last);
        shs__free(self->entries[last]);
    }
    pthread_rwlock_unlock(&self->lock);
}

bool shs__admin_denied_has_uid(struct shs_admin_denied *self, uid_t uid)
{
    char entry[32];
    bool found;

    if (atomic_load_explicit(&self->count, memory_order_relaxed) == 0)
        return false;
    snprintf(entry, sizeof entry, UID "%ju", (uintmax_t)uid);
    pthread_rwlock_rdlock(&self->lock);
    found = has(self, entry);
    pthread_rwlock_unlock(&self->lock);
    return found;
}

bool shs__admin_denied_has_spiffe(struct shs_admin_denied *self, struct shs_str id)
{
    bool found = false;

    if (id.ptr == NULL || atomic_load_explicit(&self->count, memory_order_relaxed) == 0)
        return false;
    pthread_rwlock_rdlock(&self->lock);
    for (size_t i = 0; !found && i < self->count; i++) {
        const char *entry = self->entries[i];

        if (strncmp(entry, SPIFFE, sizeof SPIFFE - 1) == 0)
            found = is_below(id, shs__str(entry + sizeof SPIFFE - 1));
    }
    pthread_rwlock_unlock(&self->lock);
    return found;
}

size_t shs__admin_denied_count(struct shs_admin_denied *self)
{
    return atomic_load(&self->count);
}

int shs__admin_denied_text(struct shs_admin_denied *self, struct shs_buf *out)
{
    int rc = SHS_OK;

    pthread_rwlock_rdlock(&self->lock);
    for (size_t i = 0; rc == SHS_OK && i < self->count; i++)
        rc = shs__buf_printf(out, "%s\n", self->entries[i]);
    pthread_rwlock_unlock(&self->lock);
    return rc;
}
