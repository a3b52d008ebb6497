/*
 * fuzz_proxy.c - the header of the PROXY protocol.
 *
 * What must hold: more bytes never make a beginning that was refused a good one, nor the other way
 * round; where a header ends does not depend on what follows; what was given out is in the input;
 * and a header that is good is good again with a checksum, and not with a wrong one.
 */
#include "fuzz.h"

#include <string.h>

#include "server/proxy_header.h"

static void must_be_in(struct shs_str view, const char *bytes, size_t len)
{
    if (view.ptr != NULL)
        MUST(view.ptr >= bytes && view.ptr + view.len <= bytes + len);
}

static void look_at_views(const struct shs__proxy_header *h, const char *bytes, size_t len)
{
    const struct shs_proxy_info *i = &h->info;
    const struct shs_str views[] = {i->alpn,        i->authority,   i->unique_id, i->netns,
                                    i->tls_version, i->common_name, i->cipher,    i->signature,
                                    i->key,         i->client_cert, i->tlvs};

    for (size_t n = 0; n < sizeof views / sizeof views[0]; n++)
        must_be_in(views[n], bytes, len);
    for (unsigned type = 0; type < 256; type++)
        must_be_in(shs_proxy_tlv(i, type), bytes, len);
    MUST(i->local == (h->from_len == 0));
    MUST(!i->cert_verified || (i->has_cert && i->tls));
}

/* The same header with a CRC32C behind it, right or wrong. */
static void check_with_sum(const char *bytes, size_t len)
{
    static char copy[8192];
    struct shs__proxy_header h;
    enum shs_proxy_cause cause;
    uint32_t crc;

    if (len + 7 > sizeof copy || shs__proxy_parse(bytes, len, &h, &cause) != NULL ||
        h.info.version != 2 || h.info.local || shs_proxy_tlv(&h.info, 3).ptr != NULL)
        return;
    memcpy(copy, bytes, len);
    memcpy(copy + len, "\x03\x00\x04\x00\x00\x00\x00", 7);
    copy[14] = (char)((len + 7 - 16) >> 8);
    copy[15] = (char)(len + 7 - 16);
    crc = shs__crc32c(copy, len + 7, len + 3);
    for (int i = 0; i < 4; i++)
        copy[len + 3 + (size_t)i] = (char)(crc >> (24 - 8 * i));
    MUST(shs__proxy_parse(copy, len + 7, &h, &cause) == NULL);
    copy[len + 6] ^= 1;
    MUST(shs__proxy_parse(copy, len + 7, &h, &cause) != NULL && cause == SHS_PROXY_CHECKSUM);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Of exactly that size: a byte too far is seen. */
    char *bytes = malloc(size == 0 ? 1 : size);
    struct shs__proxy_header h;
    enum shs_proxy_cause cause = SHS_PROXY_CAUSE_COUNT;
    enum shs__proxy_look look = SHS__PROXY_PART;
    size_t len = 0, have;

    MUST(bytes != NULL);
    if (size > 0)
        memcpy(bytes, data, size);
    for (have = 0; have <= size && look == SHS__PROXY_PART; have++) {
        look = shs__proxy_look(bytes, have, 4096, &len, &cause);
        MUST(look != SHS__PROXY_PART || len > have);
        MUST(look != SHS__PROXY_WHOLE || len == have);
    }
    MUST(shs__proxy_look(bytes, size, 4096, &have, &cause) == look);
    if (look == SHS__PROXY_WHOLE) {
        MUST(have == len);
        if (shs__proxy_parse(bytes, len, &h, &cause) == NULL) {
            look_at_views(&h, bytes, len);
            check_with_sum(bytes, len);
        } else {
            MUST(cause == SHS_PROXY_MALFORMED || cause == SHS_PROXY_CHECKSUM);
        }
    }
    free(bytes);
    return 0;
}
