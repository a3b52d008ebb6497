#include "base/network.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool shs__address_is_v4(const struct shs__address *address)
{
    return memcmp(address->bytes, mapped, sizeof mapped) == 0;
}

bool shs__address_eq(const struct shs__address *a, const struct shs__address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool shs__address_read(struct shs__address *out, struct shs_str text)
{
    char copy[SHS_ADDRESS_TEXT_MAX];
    struct shs__address got;

    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    memcpy(got.bytes, mapped, sizeof mapped);
    if (inet_pton(AF_INET, copy, &got.bytes[12]) != 1 && inet_pton(AF_INET6, copy, got.bytes) != 1)
        return false;
    *out = got;
    return true;
}

void shs__address_text(const struct shs__address *address, char text[SHS_ADDRESS_TEXT_MAX])
{
    const char *made = shs__address_is_v4(address)
                           ? inet_ntop(AF_INET, &address->bytes[12], text, SHS_ADDRESS_TEXT_MAX)
                           : inet_ntop(AF_INET6, address->bytes, text, SHS_ADDRESS_TEXT_MAX);

    if (made == NULL)
        text[0] = '\0';
}

/* Clears what is behind the prefix. True: there was something. */
static bool clear_behind(struct shs__address *address, unsigned prefix)
{
    bool any = false;

    for (unsigned bit = prefix; bit < 128; bit++) {
        uint8_t mask = (uint8_t)(0x80u >> bit % 8);

        any = any || (address->bytes[bit / 8] & mask) != 0;
        address->bytes[bit / 8] &= (uint8_t)~mask;
    }
    return any;
}

/* A decimal number up to `most`, without zeros in front; false: it is none. */
static bool read_prefix(const char *text, unsigned most, unsigned *out)
{
    size_t len = strlen(text);
    unsigned value = 0;

    if (len == 0 || len > 3 || strspn(text, "0123456789") != len || (len > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    *out = value;
    return value <= most;
}

int shs__network_read(struct shs__network *out, const char *text, struct shs_error *err)
{
    const char *slash = strchr(text, '/');
    struct shs_str host = {text, slash == NULL ? strlen(text) : (size_t)(slash - text)};
    struct shs__network got = {.prefix = 128};
    char base[SHS_ADDRESS_TEXT_MAX];
    unsigned prefix = 0, before;

    if (!shs__address_read(&got.address, host))
        return shs_error_set(err, SHS_USAGE, 0,
                             "'%s' is not a network: give 10.0.0.0/8, fd00::/8 or an address",
                             text);
    got.is_v4 = shs__address_is_v4(&got.address) && memchr(text, ':', host.len) == NULL;
    before = got.is_v4 ? 96 : 0;
    if (slash != NULL) {
        if (!read_prefix(slash + 1, 128 - before, &prefix))
            return shs_error_set(err, SHS_USAGE, 0,
                                 "'%s' is not a network: after the '/' comes a number from 0 to "
                                 "%u",
                                 text, 128 - before);
        got.prefix = (uint8_t)(before + prefix);
    }
    if (clear_behind(&got.address, got.prefix)) {
        shs__address_text(&got.address, base);
        return shs_error_set(err, SHS_USAGE, 0,
                             "'%s' has bits after its /%u: give %s/%u for the network, or the "
                             "address alone",
                             text, prefix, base, prefix);
    }
    /* ::ffff:10.0.0.0/104 is 10.0.0.0/8 */
    got.is_v4 = got.prefix >= 96 && shs__address_is_v4(&got.address);
    *out = got;
    return SHS_OK;
}

int shs__networks_read(struct shs__networks *out, const char *const *texts, struct shs_error *err)
{
    struct shs__networks got = {NULL, 0};
    size_t count = 0;

    while (texts != NULL && texts[count] != NULL && count <= SHS_NETWORKS_MAX)
        count++;
    if (count > SHS_NETWORKS_MAX)
        return shs_error_set(err, SHS_LIMIT, 0, "more than %u networks in a list",
                             SHS_NETWORKS_MAX);
    if (count > 0) {
        got.items = shs__calloc(count, sizeof *got.items);
        if (got.items == NULL)
            return shs_error_set(err, SHS_NOMEM, 0, "out of memory for %zu networks", count);
    }
    for (; got.count < count; got.count++) {
        int rc = shs__network_read(&got.items[got.count], texts[got.count], err);

        if (rc != SHS_OK) {
            shs__networks_free(&got);
            return rc;
        }
    }
    *out = got;
    return SHS_OK;
}

void shs__networks_free(struct shs__networks *self)
{
    shs__free(self->items);
    *self = (struct shs__networks){NULL, 0};
}

static bool network_has(const struct shs__network *self, const struct shs__address *address)
{
    size_t whole = self->prefix / 8;
    unsigned rest = self->prefix % 8;
    uint8_t mask = (uint8_t)(0xff00u >> rest);

    if (memcmp(self->address.bytes, address->bytes, whole) != 0)
        return false;
    return rest == 0 || (self->address.bytes[whole] & mask) == (address->bytes[whole] & mask);
}

bool shs__networks_have(const struct shs__networks *self, const struct shs__address *address)
{
    bool is_v4 = shs__address_is_v4(address);

    for (size_t i = 0; i < self->count; i++) {
        if (self->items[i].is_v4 == is_v4 && network_has(&self->items[i], address))
            return true;
    }
    return false;
}
