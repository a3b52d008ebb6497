/* test_proxy_header.c - headers of the PROXY protocol as bytes, networks, and bytes given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <shs/shs.h>

#include "base/network.h"
#include "server/proxy_header.h"
#include "stream/stream.h"

static const char v1[] = "PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n";
static const char v2[] =
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc6\x33\x64\x01\xdc\x04"
    "\x01\xbb";

#define V1_LEN (sizeof v1 - 1)
#define V2_LEN (sizeof v2 - 1)

/* -- where it ends ----------------------------------------------------------------------------- */

static void look_everywhere(const char *header, size_t len)
{
    enum shs_proxy_cause cause;
    size_t got;
    char more[256];

    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(shs__proxy_look(header, cut, 4096, &got, &cause), SHS__PROXY_PART);
        assert_true(got > cut);
    }
    memcpy(more, header, len);
    memcpy(more + len, "GET / HTTP/1.1\r\n", 16);
    for (size_t behind = 0; behind <= 16; behind++) {
        assert_int_equal(shs__proxy_look(more, len + behind, 4096, &got, &cause), SHS__PROXY_WHOLE);
        assert_int_equal(got, len);
    }
}

static void the_end_is_found_at_every_cut(void **state)
{
    SHS_UNUSED(state);
    look_everywhere(v1, V1_LEN);
    look_everywhere(v2, V2_LEN);
    look_everywhere("PROXY UNKNOWN\r\n", 15);
}

/* What is not there yet is not looked at: 16 bytes are asked for, whatever is behind the others. */
static void what_comes_later_says_nothing(void **state)
{
    enum shs_proxy_cause cause;
    char bytes[16];
    size_t got;

    SHS_UNUSED(state);
    memset(bytes, 0xff, sizeof bytes);
    memcpy(bytes, v2, 12);
    assert_int_equal(shs__proxy_look(bytes, 12, 4096, &got, &cause), SHS__PROXY_PART);
    assert_int_equal(got, 16);
    bytes[12] = 0x21;
    assert_int_equal(shs__proxy_look(bytes, 15, 4096, &got, &cause), SHS__PROXY_PART);
    assert_int_equal(got, 16);
}

/* A byte that is another one is noticed as soon as it is there. */
static void a_wrong_byte_is_seen_at_once(void **state)
{
    enum shs_proxy_cause cause;
    size_t got;

    SHS_UNUSED(state);
    for (size_t at = 0; at < 13; at++) {
        char bytes[V2_LEN];

        memcpy(bytes, v2, sizeof bytes);
        bytes[at] ^= 0x40;
        assert_int_equal(shs__proxy_look(bytes, at + 1, 4096, &got, &cause), SHS__PROXY_BAD);
        assert_int_equal(cause, at < 12 ? SHS_PROXY_MISSING : SHS_PROXY_MALFORMED);
    }
    for (size_t at = 0; at < 6; at++) {
        char bytes[V1_LEN];

        memcpy(bytes, v1, sizeof bytes);
        bytes[at] ^= 0x20;
        assert_int_equal(shs__proxy_look(bytes, at + 1, 4096, &got, &cause), SHS__PROXY_BAD);
    }
}

static void the_bounds_are_exact(void **state)
{
    enum shs_proxy_cause cause;
    char bytes[4200];
    size_t got;

    SHS_UNUSED(state);
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "PROXY UNKNOWN ", 14);
    assert_int_equal(shs__proxy_look(bytes, 106, 4096, &got, &cause), SHS__PROXY_PART);
    assert_int_equal(shs__proxy_look(bytes, 107, 4096, &got, &cause), SHS__PROXY_BAD);
    assert_int_equal(cause, SHS_PROXY_TOO_LONG);
    memcpy(bytes + 105, "\r\n", 2);
    assert_int_equal(shs__proxy_look(bytes, sizeof bytes, 4096, &got, &cause), SHS__PROXY_WHOLE);
    assert_int_equal(got, 107);

    memcpy(bytes, v2, V2_LEN);
    memcpy(bytes + 14, "\x0f\xf0", 2); /* 4080 behind the first 16 */
    assert_int_equal(shs__proxy_look(bytes, 16, 4096, &got, &cause), SHS__PROXY_PART);
    assert_int_equal(got, 4096);
    assert_int_equal(shs__proxy_look(bytes, 4200, 4096, &got, &cause), SHS__PROXY_WHOLE);
    memcpy(bytes + 14, "\x0f\xf1", 2);
    assert_int_equal(shs__proxy_look(bytes, 16, 4096, &got, &cause), SHS__PROXY_BAD);
    assert_int_equal(cause, SHS_PROXY_TOO_LONG);
}

/* -- what it says ------------------------------------------------------------------------------ */

static void addresses_are_read(void **state)
{
    struct shs__proxy_header h;
    enum shs_proxy_cause cause;
    char text[64];

    SHS_UNUSED(state);
    assert_null(shs__proxy_parse(v1, V1_LEN, &h, &cause));
    assert_int_equal(h.from.sa.sa_family, AF_INET);
    assert_int_equal(ntohs(h.from.in.sin_port), 56324);
    assert_string_equal(inet_ntop(AF_INET, &h.from.in.sin_addr, text, sizeof text), "203.0.113.7");
    assert_null(shs__proxy_parse(v2, V2_LEN, &h, &cause));
    assert_int_equal(ntohs(h.to.in.sin_port), 443);
    assert_string_equal(inet_ntop(AF_INET, &h.to.in.sin_addr, text, sizeof text), "198.51.100.1");
}

static void lines_of_version_1(void **state)
{
    static const char local[] = "";
    static const struct {
        const char *line, *wrong; /* NULL: it is right; `local`: nobody's */
    } cases[] = {
        {"UNKNOWN", local},
        {"UNKNOWN whatever it says", local},
        {"UNKNOWN4 203.0.113.7 198.51.100.1 1 2", "its protocol"},
        {"UDP4 203.0.113.7 198.51.100.1 1 2", "its protocol"},
        {"TCP", "its protocol"},
        {"TCP4 203.0.113.7 198.51.100.1 0 65535", NULL},
        {"TCP6 2001:db8::1 ::1 1 2", NULL},
        {"TCP6 203.0.113.7 ::1 1 2", "an address"},
        {"TCP4 ::1 198.51.100.1 1 2", "an address"},
        {"TCP4 203.0.113.7 198.51.100 1 2", "an address"},
        {"TCP4  198.51.100.1 1 2", "an address"},
        {"TCP4 1111111111111111111111111111111111111111111111111111111111111111111111111 1.1.1.1 1 "
         "2",
         "an address"},
        {"TCP4 203.0.113.7 198.51.100.1 01 2", "a port"},
        {"TCP4 203.0.113.7 198.51.100.1 65536 2", "a port"},
        {"TCP4 203.0.113.7 198.51.100.1 1 02", "a port"},
        {"TCP4 203.0.113.7 198.51.100.1 1 x", "a port"},
        {"TCP4 203.0.113.7 198.51.100.1 1", "a port"},
        {"TCP4 203.0.113.7 198.51.100.1 1 2 ", "after its ports"},
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs__proxy_header h;
        enum shs_proxy_cause cause;
        const char *wrong;
        char bytes[128];
        int len = snprintf(bytes, sizeof bytes, "PROXY %s\r\n", cases[i].line);

        wrong = shs__proxy_parse(bytes, (size_t)len, &h, &cause);
        if (cases[i].wrong == NULL || cases[i].wrong == local) {
            if (wrong != NULL || h.info.local != (cases[i].wrong == local))
                fail_msg("%s: %s", cases[i].line, wrong == NULL ? "whose?" : wrong);
        } else if (wrong == NULL || strstr(wrong, cases[i].wrong) == NULL) {
            fail_msg("%s: %s", cases[i].line, wrong == NULL ? "taken" : wrong);
        }
    }
}

/* A header of version 2 in `bytes`: its 13th and 14th byte, and what is behind its length. */
static size_t put_v2(char *bytes, int command, int family, const char *body, size_t len)
{
    memcpy(bytes, v2, 12);
    bytes[12] = (char)command;
    bytes[13] = (char)family;
    bytes[14] = (char)(len >> 8);
    bytes[15] = (char)(len & 0xff);
    memcpy(bytes + 16, body, len);
    return 16 + len;
}

static const char *parse_v2(int command, int family, const char *body, size_t len,
                            struct shs__proxy_header *h)
{
    static char bytes[1024];
    enum shs_proxy_cause cause;

    return shs__proxy_parse(bytes, put_v2(bytes, command, family, body, len), h, &cause);
}

static void families_of_version_2(void **state)
{
    static const char addresses[216];
    static const struct {
        int command, family;
        size_t len;
        bool local;
        const char *wrong;
    } cases[] = {
        {0x20, 0xff, 0, true, NULL}, /* of the proxy itself */
        {0x21, 0x00, 0, true, NULL},
        {0x21, 0x01, 0, true, NULL},
        {0x21, 0x10, 0, true, NULL},
        {0x21, 0x11, 12, false, NULL},
        {0x21, 0x12, 12, false, NULL},
        {0x21, 0x21, 36, false, NULL},
        {0x21, 0x31, 216, false, NULL},
        {0x21, 0x32, 216, false, NULL},
        {0x21, 0x41, 216, false, "family or transport"},
        {0x21, 0x13, 12, false, "family or transport"},
        {0x21, 0x11, 11, false, "shorter than its addresses"},
        {0x21, 0x21, 35, false, "shorter than its addresses"},
        {0x21, 0x31, 215, false, "shorter than its addresses"},
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs__proxy_header h;
        const char *wrong =
            parse_v2(cases[i].command, cases[i].family, addresses, cases[i].len, &h);

        if (cases[i].wrong != NULL ? wrong == NULL || strstr(wrong, cases[i].wrong) == NULL
                                   : wrong != NULL || h.info.local != cases[i].local)
            fail_msg("%02x %02x %zu: %s", (unsigned)cases[i].command, (unsigned)cases[i].family,
                     cases[i].len, wrong == NULL ? "taken" : wrong);
    }
}

#define TLV(type, len) type "\x00" len
#define SSL_TLV TLV("\x20", "\x05") "\x01\0\0\0\0"

static void types_of_version_2(void **state)
{
    static const struct {
        const char *tlvs;
        size_t len;
        const char *wrong;
    } cases[] = {
#define CASE(bytes, wrong) {bytes, sizeof bytes - 1, wrong}
        CASE("", NULL),
        CASE(TLV("\xee", "\x00"), NULL),
        CASE(TLV("\xee", "\x02") "ab", NULL),
        CASE(TLV("\xee", "\x03") "ab", "longer than the header"),
        CASE(TLV("\xee", "\x02") "ab\xee", "longer than the header"),
        CASE(TLV("\xee", "\x00") "\xee\x00", "longer than the header"),
        CASE(SSL_TLV, NULL),
        CASE(TLV("\x20", "\x04") "\x01\0\0\0", "too short"),
        CASE(SSL_TLV SSL_TLV, "twice"),
        CASE(TLV("\x01", "\x01") "a" TLV("\x01", "\x01") "a", "twice"),
        CASE(TLV("\x02", "\x03") "a.b", NULL),
        CASE(TLV("\x02", "\x03") "a b", "AUTHORITY"),
        CASE(TLV("\x02", "\x03") "a\nb", "AUTHORITY"),
        CASE(TLV("\x02", "\x03") "a\x7f"
                                 "b",
             "AUTHORITY"),
        CASE(TLV("\x02", "\x00"), "AUTHORITY"),
        CASE(TLV("\x03", "\x03") "abc", "CRC32C is not 4"),
        CASE(TLV("\x03", "\x05") "abcde", "CRC32C is not 4"),
        CASE(TLV("\x03", "\x04") "abcd", "CRC32C is wrong"),
#undef CASE
    };
    struct shs__proxy_header h;
    char body[512] = "";

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        const char *wrong;

        memcpy(body + 12, cases[i].tlvs, cases[i].len);
        wrong = parse_v2(0x21, 0x11, body, 12 + cases[i].len, &h);
        if (cases[i].wrong == NULL ? wrong != NULL
                                   : wrong == NULL || strstr(wrong, cases[i].wrong) == NULL)
            fail_msg("%zu: %s", i, wrong == NULL ? "taken" : wrong);
    }
    memcpy(body + 12, TLV("\xee", "\x01") "a" TLV("\xef", "\x01") "b", 8);
    assert_null(parse_v2(0x21, 0x11, body, 20, &h));
    assert_true(shs_str_is(shs_proxy_tlv(&h.info, 0xef), "b"));
    assert_null(shs_proxy_tlv(&h.info, 0xf0).ptr);
}

/* As long as they may be, and one byte longer; and a checksum that is right. */
static void bounds_of_types(void **state)
{
    static const struct {
        char type;
        size_t most;
        const char *wrong;
    } cases[] = {{0x02, 255, "AUTHORITY"}, {0x05, 128, "UNIQUE_ID"}};
    struct shs__proxy_header h;
    enum shs_proxy_cause cause;
    char body[512], bytes[64];
    const char *wrong;
    uint32_t crc;
    size_t len;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        for (len = cases[i].most; len <= cases[i].most + 1; len++) {
            memset(body, 'x', sizeof body);
            body[12] = cases[i].type;
            body[13] = (char)(len >> 8);
            body[14] = (char)(len & 0xff);
            wrong = parse_v2(0x21, 0x11, body, 15 + len, &h);
            if (len == cases[i].most)
                assert_null(wrong);
            else
                assert_non_null(strstr(wrong, cases[i].wrong));
        }
    }
    memcpy(body + 12, TLV("\x03", "\x04"), 3);
    len = put_v2(bytes, 0x21, 0x11, body, 19);
    crc = htonl(shs__crc32c(bytes, len, len - 4));
    memcpy(bytes + len - 4, &crc, 4);
    assert_null(shs__proxy_parse(bytes, len, &h, &cause));
    bytes[16] ^= 1;
    assert_non_null(shs__proxy_parse(bytes, len, &h, &cause));
    assert_int_equal(cause, SHS_PROXY_CHECKSUM);
}

/* The check value of CRC-32C, as its catalogue has it. */
static void the_checksum_is_castagnolis(void **state)
{
    SHS_UNUSED(state);
    assert_int_equal(shs__crc32c("123456789", 9, 100), 0xe3069283u);
    assert_int_equal(shs__crc32c("12\0\0\0\0"
                                 "789",
                                 9, 100),
                     shs__crc32c("123456789", 9, 2));
}

/* -- networks ---------------------------------------------------------------------------------- */

static bool has(const char *network, const char *address)
{
    const char *list[] = {network, NULL};
    struct shs__networks networks;
    struct shs__address a;
    struct shs_error err;
    bool found;

    assert_int_equal(shs__networks_read(&networks, list, &err), SHS_OK);
    assert_true(shs__address_read(&a, (struct shs_str){address, strlen(address)}));
    found = shs__networks_have(&networks, &a);
    shs__networks_free(&networks);
    return found;
}

static void networks_have_their_addresses(void **state)
{
    SHS_UNUSED(state);
    assert_true(has("10.0.0.0/8", "10.255.255.255"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_true(has("192.0.2.128/25", "192.0.2.200"));
    assert_false(has("192.0.2.128/25", "192.0.2.127"));
    assert_true(has("192.0.2.7", "192.0.2.7"));
    assert_false(has("192.0.2.7", "192.0.2.6"));
    assert_true(has("192.0.2.7/32", "192.0.2.7"));
    assert_true(has("::1/128", "::1"));
    assert_true(has("0.0.0.0/0", "203.0.113.1"));
    assert_false(has("0.0.0.0/0", "::1"));
    assert_true(has("::/0", "2001:db8::1"));
    assert_false(has("::/0", "203.0.113.1"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(has("::ffff:10.0.0.0/104", "10.9.9.9"));
}

static void what_is_no_network_is_told(void **state)
{
    static const char *const wrong[] = {"",
                                        "ten",
                                        "10.0.0.0/",
                                        "10.0.0.0/33",
                                        "10.0.0.0/-1",
                                        "10.0.0.0/08",
                                        "10.0.0.1/8",
                                        "::1/127/1",
                                        "::/129",
                                        "[::1]",
                                        "10.0.0.0/8 ",
                                        "fe80::1%eth0",
                                        "0.0.0.0/",
                                        "10.0.0.0/4294967304",
                                        "10.0.0.0/:"};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(wrong); i++) {
        struct shs__network network;
        struct shs_error err;

        if (shs__network_read(&network, wrong[i], &err) != SHS_USAGE)
            fail_msg("'%s' was read as a network", wrong[i]);
        assert_non_null(strstr(err.text, wrong[i]));
    }
}

/* What is longer than any address is none; and a list has its end. */
static void addresses_and_lists_have_bounds(void **state)
{
    const char *list[SHS_NETWORKS_MAX + 2];
    struct shs__networks networks;
    struct shs__address a, b;
    struct shs_error err;
    char text[500];

    SHS_UNUSED(state);
    memset(text, '1', sizeof text);
    assert_false(shs__address_read(&a, (struct shs_str){text, sizeof text}));
    assert_true(shs__address_read(&a, SHS_STR("10.0.0.1")));
    assert_true(shs__address_read(&b, SHS_STR("::ffff:10.0.0.1")));
    assert_true(shs__address_eq(&a, &b));
    assert_true(shs__address_read(&b, SHS_STR("10.0.0.2")));
    assert_false(shs__address_eq(&a, &b));
    for (size_t i = 0; i < SHS_ARRAY_LEN(list); i++)
        list[i] = "10.0.0.0/8";
    list[SHS_NETWORKS_MAX + 1] = NULL;
    assert_int_equal(shs__networks_read(&networks, list, &err), SHS_LIMIT);
    list[SHS_NETWORKS_MAX] = NULL;
    assert_int_equal(shs__networks_read(&networks, list, &err), SHS_OK);
    shs__networks_free(&networks);
}

/* -- bytes given back -------------------------------------------------------------------------- */

static void what_was_taken_comes_first(void **state)
{
    struct shs_stream *a, *b, *replay;
    char buf[16];
    size_t got, put;

    SHS_UNUSED(state);
    assert_int_equal(shs__memory_stream_pair(&a, &b, 100, 0), SHS_OK);
    assert_int_equal(shs__replay_stream_new(&replay, b, "PRO", 3), SHS_OK);
    assert_int_equal(shs__stream_write(a, "PFIND", 5, &put), SHS_OK);
    assert_true(shs__stream_pending(replay));
    assert_int_equal(shs__stream_read(replay, buf, 2, &got), SHS_OK);
    assert_int_equal(got, 2);
    assert_true(shs__stream_pending(replay));
    assert_int_equal(shs__stream_read(replay, buf + 2, 10, &got), SHS_OK);
    assert_int_equal(got, 1);
    assert_false(shs__stream_pending(replay));
    assert_int_equal(shs__stream_read(replay, buf + 3, 10, &got), SHS_OK);
    assert_int_equal(got, 5);
    assert_memory_equal(buf, "PROPFIND", 8);
    assert_int_equal(shs__stream_read(replay, buf, 10, &got), SHS_WAIT_READ);
    assert_int_equal(shs__stream_write(replay, "ok", 2, &put), SHS_OK);
    assert_int_equal(shs__stream_read(a, buf, 10, &got), SHS_OK);
    assert_memory_equal(buf, "ok", 2);
    assert_int_equal(shs__stream_shutdown(replay), SHS_OK);
    assert_int_equal(shs__stream_read(a, buf, 10, &got), SHS_CLOSED);
    assert_int_equal(shs__stream_shutdown(a), SHS_OK);
    assert_int_equal(shs__stream_read(replay, buf, 10, &got), SHS_CLOSED);
    replay->cls->free(replay);
    a->cls->free(a);
    b->cls->free(b);
}

/* -- composing --------------------------------------------------------------------------------- */

static void mistakes_of_composing_are_told(void **state)
{
    static const char *const home[] = {"127.0.0.0/8", NULL};
    struct shs_proxy_options opt;
    struct shs_proxy_stats stats;
    struct shs_options options;
    struct shs_server *server;
    struct shs_error err;

    SHS_UNUSED(state);
    shs_options_init(&options);
    options.bind_and_activate = false;
    assert_int_equal(shs_http_server_new(&server, &options, shs_echo_handler(), &err), SHS_OK);
    assert_false(shs_proxy_get_stats(server, &stats));
    memset(&opt, 0, sizeof opt);
    assert_int_equal(shs_proxy_protocol_mixin_push(server, &opt, &err), SHS_USAGE);
    shs_proxy_options_init(&opt);
    assert_int_equal(shs_proxy_protocol_mixin_push(server, &opt, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "nobody is trusted"));
    opt.trusted = home;
    opt.max_header_bytes = 231;
    assert_int_equal(shs_proxy_protocol_mixin_push(server, &opt, &err), SHS_USAGE);
    opt.max_header_bytes = 232;
    assert_int_equal(shs_proxy_protocol_mixin_push(server, &opt, &err), SHS_OK);
    assert_true(shs_proxy_get_stats(server, &stats));
    assert_int_equal(shs_proxy_protocol_mixin_push(server, &opt, &err), SHS_USAGE);
    /* TLS below it would meet the header first. */
    assert_int_equal(shs_tls_mixin_push(server, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "before ProxyProtocolMixIn"));
    shs_server_free(server);
    for (int i = 0; i < SHS_PROXY_CAUSE_COUNT; i++)
        assert_true(shs_proxy_cause_label((enum shs_proxy_cause)i)[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_found_at_every_cut),
        cmocka_unit_test(what_comes_later_says_nothing),
        cmocka_unit_test(a_wrong_byte_is_seen_at_once),
        cmocka_unit_test(the_bounds_are_exact),
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(lines_of_version_1),
        cmocka_unit_test(families_of_version_2),
        cmocka_unit_test(types_of_version_2),
        cmocka_unit_test(bounds_of_types),
        cmocka_unit_test(the_checksum_is_castagnolis),
        cmocka_unit_test(networks_have_their_addresses),
        cmocka_unit_test(what_is_no_network_is_told),
        cmocka_unit_test(addresses_and_lists_have_bounds),
        cmocka_unit_test(what_was_taken_comes_first),
        cmocka_unit_test(mistakes_of_composing_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
