#include "handler/coding.h"

#include "base/chars.h"

static const struct {
    const char *name, *suffix;
} codings[SHS_CODING_COUNT] = {
    [SHS_CODING_IDENTITY] = {"identity", ""},
    [SHS_CODING_BR] = {"br", ".br"},
    [SHS_CODING_ZSTD] = {"zstd", ".zst"},
    [SHS_CODING_GZIP] = {"gzip", ".gz"},
};

const char *shs__coding_name(enum shs_coding coding)
{
    return codings[coding].name;
}

const char *shs__coding_suffix(enum shs_coding coding)
{
    return codings[coding].suffix;
}

bool shs__coding_is_packed(const char *data, size_t len)
{
    static const struct shs_str magics[] = {
        {"\x1f\x8b", 2},         /* gzip */
        {"\x28\xb5\x2f\xfd", 4}, /* zstd */
        {"\xfd"
         "7zXZ",
         5},                       /* xz */
        {"BZh", 3},                /* bzip2 */
        {"PK\x03\x04", 4},         /* zip, and what is one inside */
        {"7z\xbc\xaf\x27\x1c", 6}, /* 7-Zip */
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(magics); i++) {
        if (len >= magics[i].len && memcmp(data, magics[i].ptr, magics[i].len) == 0)
            return true;
    }
    return false;
}

void shs__coding_wishes_init(struct shs_coding_wishes *wishes)
{
    for (size_t i = 0; i < SHS_CODING_COUNT; i++)
        wishes->weight[i] = -1;
    wishes->any = -1;
}

/* Up to `separator`, which is taken as well. */
static struct shs_str next_part(struct shs_str *rest, char separator)
{
    const char *at = rest->len == 0 ? NULL : memchr(rest->ptr, separator, rest->len);
    struct shs_str part = *rest;

    if (at == NULL) {
        rest->len = 0;
    } else {
        part.len = (size_t)(at - rest->ptr);
        rest->ptr = at + 1;
        rest->len -= part.len + 1;
    }
    return shs__trim(part);
}

/* "0.5" as 500; -1 for what is not a qvalue (RFC 9110 section 12.4.2). */
static int read_weight(struct shs_str s)
{
    int value, scale = 100;

    if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1'))
        return -1;
    value = s.ptr[0] == '1' ? 1000 : 0;
    if (s.len > 1 && s.ptr[1] != '.')
        return -1;
    for (size_t i = 2; i < s.len; i++, scale /= 10) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return -1;
        value += (s.ptr[i] - '0') * scale;
    }
    return value > 1000 ? -1 : value;
}

static void set_weight(struct shs_coding_wishes *wishes, struct shs_str name, int weight)
{
    if (shs__str_eq(name, SHS_STR("*")))
        wishes->any = weight;
    if (shs__str_eq_nocase(name, SHS_STR("x-gzip"))) /* RFC 9110 section 8.4.1.3 */
        name = SHS_STR("gzip");
    for (size_t i = 0; i < SHS_CODING_COUNT; i++) {
        if (shs__str_eq_nocase(name, shs__str(codings[i].name)))
            wishes->weight[i] = weight;
    }
}

void shs__coding_wishes_add(struct shs_coding_wishes *wishes, struct shs_str value)
{
    while (value.len > 0) {
        struct shs_str member = next_part(&value, ','), name = next_part(&member, ';'), parameter;
        int weight = 1000;

        while (member.len > 0 && weight >= 0) {
            parameter = next_part(&member, ';');
            if (parameter.len >= 2 && shs__lower((unsigned char)parameter.ptr[0]) == 'q' &&
                parameter.ptr[1] == '=')
                weight = read_weight((struct shs_str){parameter.ptr + 2, parameter.len - 2});
        }
        if (weight >= 0)
            set_weight(wishes, name, weight);
    }
}

enum shs_coding shs__coding_choose(const struct shs_coding_wishes *wishes, unsigned available,
                                   const enum shs_coding *order)
{
    int identity = wishes->weight[SHS_CODING_IDENTITY], best = 0, weight;
    enum shs_coding chosen = SHS_CODING_IDENTITY;

    for (; *order != SHS_CODING_IDENTITY; order++) {
        weight = wishes->weight[*order] >= 0 ? wishes->weight[*order] : wishes->any;
        if ((available & SHS_CODING_BIT(*order)) == 0 || weight <= best)
            continue;
        best = weight;
        chosen = *order;
    }
    return best >= identity ? chosen : SHS_CODING_IDENTITY;
}

bool shs__coding_refuses_identity(const struct shs_coding_wishes *wishes)
{
    int weight = wishes->weight[SHS_CODING_IDENTITY];

    return weight == 0 || (weight < 0 && wishes->any == 0);
}
