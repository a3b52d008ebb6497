#include "server/server.h"

/* The members that point to memory of the caller: C strings first, then (pointer, length) pairs. */
struct string_member {
    size_t offset;
};
#define STRING_MEMBER(name)                                                                        \
    {                                                                                              \
        offsetof(struct shs_options, name)                                                         \
    }

static const struct string_member string_members[] = {
    STRING_MEMBER(host),           STRING_MEMBER(port),
    STRING_MEMBER(path),           STRING_MEMBER(path_group),
    STRING_MEMBER(certfile),       STRING_MEMBER(keyfile),
    STRING_MEMBER(server_version), STRING_MEMBER(request_id_field),
};

static const char **string_at(struct shs_options *opt, size_t i)
{
    return (const char **)(void *)((char *)opt + string_members[i].offset);
}

/* Appends to the block at *at and gives the copy's place. */
static const void *put(char **at, const void *bytes, size_t len)
{
    const void *copy = *at;

    memcpy(*at, bytes, len);
    *at += len;
    return copy;
}

int shs__options_take(struct shs_options *to, const struct shs_options *from, struct shs_error *err)
{
    shs_options_init(to);
    return shs__sized_copy(to, sizeof *to, from, "shs_options", err);
}

static size_t text_size(const char *text)
{
    return text == NULL ? 0 : strlen(text) + 1;
}

static const char *put_text(char **at, const char *text)
{
    return text == NULL ? NULL : put(at, text, strlen(text) + 1);
}

/* What the further addresses need in the block: the array, which is first in it, and the texts. */
static size_t addresses_size(const struct shs_options *opt)
{
    size_t need = opt->more_address_count * sizeof *opt->more_addresses;

    for (unsigned i = 0; i < opt->more_address_count; i++) {
        const struct shs_address *a = &opt->more_addresses[i];

        need += text_size(a->host) + text_size(a->port) + text_size(a->path);
    }
    return need;
}

static void put_addresses(char **at, struct shs_options *to)
{
    struct shs_address *copies = (struct shs_address *)(void *)*at;

    *at += to->more_address_count * sizeof *copies;
    for (unsigned i = 0; i < to->more_address_count; i++) {
        const struct shs_address *a = &to->more_addresses[i];

        copies[i].host = put_text(at, a->host);
        copies[i].port = put_text(at, a->port);
        copies[i].path = put_text(at, a->path);
    }
    to->more_addresses = copies;
}

static int check_addresses(const struct shs_options *opt, struct shs_error *err)
{
    if (opt->more_address_count > 0 && opt->more_addresses == NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "more_address_count is set, but more_addresses is NULL");
    if (opt->more_address_count >= SHS_MAX_ADDRESSES)
        return shs_error_set(err, SHS_USAGE, 0, "more_address_count must be at most %u",
                             SHS_MAX_ADDRESSES - 1);
    return SHS_OK;
}

int shs__options_copy(struct shs_options *to, const struct shs_options *from, void **strings,
                      struct shs_error *err)
{
    size_t need = 1;
    char *at;
    int rc = shs__options_take(to, from, err);

    if (rc == SHS_OK)
        rc = check_addresses(to, err);
    if (rc != SHS_OK)
        return rc;
    for (size_t i = 0; i < SHS_ARRAY_LEN(string_members); i++) {
        if (*string_at(to, i) != NULL)
            need += strlen(*string_at(to, i)) + 1;
    }
    need += to->cert_pem_len + to->key_pem_len + addresses_size(to);
    at = shs__malloc(need);
    if (at == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for a server's options");
    *strings = at;
    if (to->more_address_count > 0)
        put_addresses(&at, to);
    for (size_t i = 0; i < SHS_ARRAY_LEN(string_members); i++) {
        const char **s = string_at(to, i);

        if (*s != NULL)
            *s = put(&at, *s, strlen(*s) + 1);
    }
    if (to->cert_pem != NULL)
        to->cert_pem = put(&at, to->cert_pem, to->cert_pem_len);
    if (to->key_pem != NULL)
        to->key_pem = put(&at, to->key_pem, to->key_pem_len);
    return SHS_OK;
}
