#include "tls/config/names.h"

#include <arpa/inet.h>

struct slot {
    char *name; /* lower case; a wildcard without its '*': ".example.com" */
    size_t len;
    unsigned value;
};

struct shs_tls_names {
    struct slot *slots;
    size_t mask, left;
    bool failed; /* there was no memory for one */
};

/* FNV-1a: the names are the administrator's, nobody chooses them to collide. */
static size_t hash(const char *name, size_t len)
{
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)name[i]) * 1099511628211u;
    return (size_t)(h ^ (h >> 32));
}

int shs__tls_names_new(struct shs_tls_names **out, size_t count)
{
    struct shs_tls_names *self = shs__calloc(1, sizeof *self);
    size_t size = 16;

    if (self == NULL)
        return SHS_NOMEM;
    while (size < 2 * count)
        size *= 2;
    self->slots = shs__calloc(size, sizeof *self->slots);
    if (self->slots == NULL) {
        shs__free(self);
        return SHS_NOMEM;
    }
    self->mask = size - 1;
    self->left = count;
    *out = self;
    return SHS_OK;
}

void shs__tls_names_free(struct shs_tls_names *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i <= self->mask; i++)
        shs__free(self->slots[i].name);
    shs__free(self->slots);
    shs__free(self);
}

/* The slot of a normalised name, or the empty one where it would be. */
static struct slot *slot_of(const struct shs_tls_names *self, const char *name, size_t len)
{
    size_t i = hash(name, len) & self->mask;

    while (self->slots[i].name != NULL &&
           (self->slots[i].len != len || memcmp(self->slots[i].name, name, len) != 0))
        i = (i + 1) & self->mask;
    return &self->slots[i];
}

/* Lower case, without a last dot; 0 when it is too long, empty, or has a NUL or a '*'. */
static size_t normalise(struct shs_str name, char buf[SHS_TLS_NAME_MAX])
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len > SHS_TLS_NAME_MAX)
        return 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '\0' || name.ptr[i] == '*')
            return 0;
        buf[i] = (char)shs__lower((unsigned char)name.ptr[i]);
    }
    return name.len;
}

/* As it is kept; 0 when it is none. */
static size_t kept(struct shs_str name, char buf[SHS_TLS_NAME_MAX])
{
    bool wild = name.len > 2 && name.ptr[0] == '*' && name.ptr[1] == '.';
    size_t len;

    if (wild) {
        name.ptr++;
        name.len--;
    }
    len = normalise(name, buf);
    return len > 0 && (buf[0] == '.') != wild ? 0 : len;
}

bool shs__tls_names_add(struct shs_tls_names *self, struct shs_str name, unsigned *value)
{
    char buf[SHS_TLS_NAME_MAX];
    size_t len = kept(name, buf);
    struct slot *slot;

    if (len == 0)
        return false;
    slot = slot_of(self, buf, len);
    if (slot->name == NULL) {
        if (self->left == 0)
            return false;
        slot->name = shs__strndup(buf, len);
        if (slot->name == NULL) {
            self->failed = true;
            return false;
        }
        slot->len = len;
        slot->value = *value;
        self->left--;
    }
    *value = slot->value;
    return true;
}

bool shs__tls_names_complete(const struct shs_tls_names *self)
{
    return !self->failed;
}

/* `exact`: look for the whole name first. */
static bool find(const struct shs_tls_names *self, struct shs_str name, bool exact, unsigned *value)
{
    char buf[SHS_TLS_NAME_MAX];
    size_t len = normalise(name, buf);
    const struct slot *slot;
    const char *dot;

    if (len == 0 || buf[0] == '.')
        return false;
    slot = exact ? slot_of(self, buf, len) : NULL;
    if (slot == NULL || slot->name == NULL) {
        dot = memchr(buf, '.', len);
        if (dot == NULL)
            return false;
        slot = slot_of(self, dot, len - (size_t)(dot - buf));
    }
    if (slot->name == NULL)
        return false;
    *value = slot->value;
    return true;
}

bool shs__tls_names_find(const struct shs_tls_names *self, struct shs_str name, unsigned *value)
{
    return find(self, name, true, value);
}

bool shs__tls_names_find_wild(const struct shs_tls_names *self, struct shs_str name,
                              unsigned *value)
{
    return find(self, name, false, value);
}

bool shs__tls_name_is_address(struct shs_str name)
{
    unsigned char bytes[16];
    char text[64];

    if (name.len > 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
        name = (struct shs_str){name.ptr + 1, name.len - 2};
    if (name.len > 0 && name.ptr[name.len - 1] == '.') /* as behind any other name */
        name.len--;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '%') /* a zone: fe80::1%eth0 */
            name.len = i;
    }
    if (name.len == 0 || name.len >= sizeof text || memchr(name.ptr, '\0', name.len) != NULL)
        return false;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}
