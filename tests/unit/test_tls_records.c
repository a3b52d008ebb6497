/* test_tls_records.c - records of our own: known answers, and what breaks the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/wire/records.h"

#define AES128 0x1301u

/* -- RFC 8448, section 3: Simple 1-RTT Handshake ----------------------------------------------- */

static const char client_secret[] =
    "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
static const char server_secret[] =
    "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
/* 50 bytes, 0 to 49, from each; the server's is its second record, for a ticket was the first. */
static const char client_data[] =
    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e"
    "2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";
static const char server_data[] =
    "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59"
    "a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d";
static const char client_bye[] = "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3";
static const char server_bye[] = "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9";

static size_t from_hex(unsigned char *to, const char *hex)
{
    size_t len = 0;
    unsigned byte;

    for (; *hex != '\0'; hex += 2) {
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        to[len++] = (unsigned char)byte;
    }
    return len;
}

static struct shs_tls_suites *suites;

static int make_suites(void **state)
{
    SHS_UNUSED(state);
    suites = shs__tls_suites_new();
    return suites == NULL;
}

static int free_suites(void **state)
{
    SHS_UNUSED(state);
    shs__tls_suites_free(suites);
    return 0;
}

static struct shs_tls_records *open_records(const char *in, uint64_t in_seq, const char *out,
                                            uint64_t out_seq)
{
    struct shs_tls_traffic from = {.seq = in_seq}, to = {.seq = out_seq};
    struct shs_tls_records *self = NULL;

    from_hex(from.secret, in);
    from_hex(to.secret, out);
    assert_int_equal(shs__tls_records_new(&self, suites, AES128, &from, &to), SHS_OK);
    return self;
}

static void push(struct shs_tls_records *self, const void *bytes, size_t len)
{
    const char *from = bytes;

    while (len > 0) {
        size_t room = 0, part;
        void *at = shs__tls_records_room(self, &room);

        assert_non_null(at);
        assert_true(room > 0);
        part = room < len ? room : len;
        memcpy(at, from, part);
        shs__tls_records_came(self, part);
        from += part;
        len -= part;
    }
}

static void says(const struct shs_buf *out, const char *hex)
{
    unsigned char want[512];
    size_t len = from_hex(want, hex);

    assert_int_equal(out->len, len);
    assert_memory_equal(shs__buf_head(out), want, len);
}

static void rfc_8448_is_sealed(void **state)
{
    struct shs_tls_records *server = open_records(client_secret, 0, server_secret, 1);
    struct shs_tls_records *client = open_records(server_secret, 1, client_secret, 0);
    unsigned char data[50], bye[2] = {1, 0};
    struct shs_buf out;

    SHS_UNUSED(state);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)i;
    shs__buf_init(&out, 65536);
    assert_int_equal(shs__tls_records_seal(client, SHS_TLS_DATA, data, sizeof data, &out), SHS_OK);
    says(&out, client_data);
    shs__buf_consume(&out, out.len);
    assert_int_equal(shs__tls_records_seal(client, SHS_TLS_ALERT, bye, sizeof bye, &out), SHS_OK);
    says(&out, client_bye);
    shs__buf_consume(&out, out.len);
    shs__tls_records_idle(server); /* what it is made again from is the same */
    assert_int_equal(shs__tls_records_seal(server, SHS_TLS_DATA, data, sizeof data, &out), SHS_OK);
    says(&out, server_data);
    shs__buf_consume(&out, out.len);
    shs__tls_records_idle(server);
    assert_int_equal(shs__tls_records_seal(server, SHS_TLS_ALERT, bye, sizeof bye, &out), SHS_OK);
    says(&out, server_bye);
    shs__buf_free(&out);
    shs__tls_records_free(server);
    shs__tls_records_free(client);
}

static void rfc_8448_is_opened(void **state)
{
    struct shs_tls_records *server = open_records(client_secret, 0, server_secret, 1);
    unsigned char wire[512], text[64];
    struct shs_tls_fault fault;
    size_t len, got = 0;

    SHS_UNUSED(state);
    len = from_hex(wire, client_data);
    for (size_t i = 0; i < len; i++) { /* at every place */
        assert_int_equal(shs__tls_records_open(server, text, sizeof text, &got, &fault),
                         SHS_TLS_OPENED_MORE);
        assert_false(shs__tls_records_pending(server));
        push(server, wire + i, 1);
    }
    assert_true(shs__tls_records_pending(server));
    assert_int_equal(shs__tls_records_open(server, text, 20, &got, &fault), SHS_TLS_OPENED_DATA);
    assert_int_equal(got, 20);
    assert_true(shs__tls_records_pending(server));
    assert_int_equal(shs__tls_records_open(server, text + 20, 44, &got, &fault),
                     SHS_TLS_OPENED_DATA);
    assert_int_equal(got, 30);
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(text[i], i);
    assert_false(shs__tls_records_pending(server));
    push(server, wire, from_hex(wire, client_bye));
    assert_int_equal(shs__tls_records_open(server, text, sizeof text, &got, &fault),
                     SHS_TLS_OPENED_END);
    shs__tls_records_free(server);
}

/* -- two ends of our own ---------------------------------------------------------------------- */

struct two {
    struct shs_tls_records *server, *client;
    struct shs_buf wire; /* from the client */
};

static void two_open(struct two *t)
{
    t->server = open_records(client_secret, 0, server_secret, 0);
    t->client = open_records(server_secret, 0, client_secret, 0);
    shs__buf_init(&t->wire, 65536);
}

static void two_close(struct two *t)
{
    shs__tls_records_free(t->server);
    shs__tls_records_free(t->client);
    shs__buf_free(&t->wire);
    ERR_clear_error();
}

static void client_says(struct two *t, enum shs_tls_content type, const void *data, size_t len)
{
    assert_int_equal(shs__tls_records_seal(t->client, type, data, len, &t->wire), SHS_OK);
    push(t->server, shs__buf_head(&t->wire), t->wire.len);
    shs__buf_consume(&t->wire, t->wire.len);
}

static enum shs_tls_opened server_hears(struct two *t, struct shs_tls_fault *fault)
{
    char text[256];
    size_t got = 0;

    return shs__tls_records_open(t->server, text, sizeof text, &got, fault);
}

/* Two messages are refused, with that alert. */
static void is_refused(enum shs_tls_content one_type, const void *one, size_t one_len,
                       enum shs_tls_content two_type, const void *two, size_t two_len, int alert)
{
    struct shs_tls_fault fault = {.alert = 0};
    struct two t;

    two_open(&t);
    client_says(&t, one_type, one, one_len);
    if (two != NULL) {
        assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_MORE);
        client_says(&t, two_type, two, two_len);
    }
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_FAULT);
    assert_int_equal(fault.alert, alert);
    two_close(&t);
}

/* A KeyUpdate that asks for one, and an alert behind a whole header of a message. */
static void what_keeps_the_rules_is_heard(void **state)
{
    struct shs_tls_fault fault = {.alert = 0};
    struct two t;

    SHS_UNUSED(state);
    two_open(&t);
    client_says(&t, SHS_TLS_HANDSHAKE, "\x18\x00\x00\x01\x01", 5);
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_ASKED);
    assert_true(fault.key_update);
    two_close(&t);
    two_open(&t);
    client_says(&t, SHS_TLS_HANDSHAKE, "\x18\x00\x00\x01", 4);
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_MORE);
    client_says(&t, SHS_TLS_ALERT, "\x01\x00", 2);
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_END);
    two_close(&t);
}

static void what_breaks_the_rules_is_refused(void **state)
{
    static const char hello[] = "\x01\x00\x00\x01x", update[] = "\x18\x00\x00\x01\x00\x00",
                      long_one[] = "\x18\x00\x00\x02\x00\x00", bad[] = "\x18\x00\x00\x01\x02",
                      none[] = "\x18\x00\x00\x00", alert[] = "\x01\x00\x00";

    SHS_UNUSED(state);
    is_refused(SHS_TLS_HANDSHAKE, hello, 5, 0, NULL, 0, SSL_AD_UNEXPECTED_MESSAGE);
    is_refused(SHS_TLS_HANDSHAKE, update, 6, 0, NULL, 0, SSL_AD_UNEXPECTED_MESSAGE);
    is_refused(SHS_TLS_HANDSHAKE, long_one, 6, 0, NULL, 0, SSL_AD_ILLEGAL_PARAMETER);
    is_refused(SHS_TLS_HANDSHAKE, bad, 5, 0, NULL, 0, SSL_AD_ILLEGAL_PARAMETER);
    is_refused(SHS_TLS_HANDSHAKE, none, 4, 0, NULL, 0, SSL_AD_DECODE_ERROR);
    is_refused(SHS_TLS_HANDSHAKE, "", 0, 0, NULL, 0, SSL_AD_UNEXPECTED_MESSAGE);
    is_refused(SHS_TLS_ALERT, "", 0, 0, NULL, 0, SSL_AD_UNEXPECTED_MESSAGE);
    is_refused(SHS_TLS_ALERT, alert, 3, 0, NULL, 0, SSL_AD_UNEXPECTED_MESSAGE);
    is_refused(20, "\x01", 1, 0, NULL, 0, SSL_AD_UNEXPECTED_MESSAGE);
    is_refused(0, "\0\0", 2, 0, NULL, 0, SSL_AD_UNEXPECTED_MESSAGE); /* nothing but padding */
    is_refused(SHS_TLS_HANDSHAKE, update, 2, SHS_TLS_DATA, "x", 1, SSL_AD_UNEXPECTED_MESSAGE);
    is_refused(SHS_TLS_HANDSHAKE, update, 4, SHS_TLS_DATA, "x", 1, SSL_AD_UNEXPECTED_MESSAGE);
    is_refused(SHS_TLS_HANDSHAKE, update, 3, SHS_TLS_ALERT, alert, 2, SSL_AD_UNEXPECTED_MESSAGE);
}

/* libssl's order before 3.2: the major version first, and an inner type before its length. */
static bool is_old_libssl(void)
{
    return OpenSSL_version_num() < 0x30200000UL;
}

/* Longest, and a byte more, in each type. */
static void what_is_too_long_is_refused(void **state)
{
    static const unsigned char text[SHS_TLS_RECORD_DATA + 1] = {1};
    int unknown = is_old_libssl() ? SSL_AD_UNEXPECTED_MESSAGE : SSL_AD_RECORD_OVERFLOW;
    size_t len = SHS_TLS_RECORD_DATA;

    SHS_UNUSED(state);
    is_refused(SHS_TLS_DATA, text, len + 1, 0, NULL, 0, SSL_AD_RECORD_OVERFLOW);
    is_refused(SHS_TLS_ALERT, text, len, 0, NULL, 0, SSL_AD_UNEXPECTED_MESSAGE);
    is_refused(SHS_TLS_ALERT, text, len + 1, 0, NULL, 0, SSL_AD_RECORD_OVERFLOW);
    is_refused(SHS_TLS_HANDSHAKE, text, len, 0, NULL, 0, SSL_AD_UNEXPECTED_MESSAGE);
    is_refused(SHS_TLS_HANDSHAKE, text, len + 1, 0, NULL, 0, SSL_AD_RECORD_OVERFLOW);
    is_refused(24, text, len, 0, NULL, 0, SSL_AD_UNEXPECTED_MESSAGE);
    is_refused(24, text, len + 1, 0, NULL, 0, unknown);
    is_refused(20, text, len + 1, 0, NULL, 0, unknown);
}

static void headers_that_are_none_are_refused(void **state)
{
    bool is_old = is_old_libssl();
    const struct {
        const char *head;
        int alert;
    } cases[] = {
        {"\x17\x02\x03\x00\x20", is_old ? SSL_AD_PROTOCOL_VERSION : SSL_AD_DECODE_ERROR},
        {"\x16\x02\x03\x00\x20", is_old ? SSL_AD_PROTOCOL_VERSION : SSL_AD_UNEXPECTED_MESSAGE},
        {"\x17\x03\x01\x00\x20", SSL_AD_DECODE_ERROR},
        {"\x16\x03\x03\x00\x20", SSL_AD_UNEXPECTED_MESSAGE},
        {"\x14\x03\x03\x00\x01", SSL_AD_UNEXPECTED_MESSAGE},
        {"\x15\x03\x03\x00\x02", SSL_AD_UNEXPECTED_MESSAGE},
        {"\x17\x03\x03\x41\x01", SSL_AD_RECORD_OVERFLOW},
    };
    struct shs_tls_fault fault = {.alert = 0};
    struct two t;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        two_open(&t);
        push(t.server, cases[i].head, 4);
        assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_MORE);
        push(t.server, cases[i].head + 4, 1);
        assert_true(shs__tls_records_pending(t.server));
        assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_FAULT);
        assert_int_equal(fault.alert, cases[i].alert);
        two_close(&t);
    }
    two_open(&t); /* the longest that there is: the rest of it may come */
    push(t.server, "\x17\x03\x03\x41\x00", 5);
    assert_false(shs__tls_records_pending(t.server));
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_MORE);
    two_close(&t);
    two_open(&t); /* too short to have a tag */
    push(t.server,
         "\x17\x03\x03\x00\x10"
         "0123456789abcdef",
         21);
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_FAULT);
    assert_int_equal(fault.alert, SSL_AD_BAD_RECORD_MAC);
    two_close(&t);
}

/* Any bit of a record changed, one left out, one twice: the tag says so. */
static void what_was_touched_is_refused(void **state)
{
    struct shs_tls_fault fault = {.alert = 0};
    struct two t;

    SHS_UNUSED(state);
    for (size_t bit = 0; bit < (5 + 3 + 1 + 16) * 8; bit++) {
        two_open(&t);
        assert_int_equal(shs__tls_records_seal(t.client, SHS_TLS_DATA, "abc", 3, &t.wire), SHS_OK);
        shs__buf_head(&t.wire)[bit / 8] ^= (char)(1 << bit % 8);
        push(t.server, shs__buf_head(&t.wire), t.wire.len);
        /* a longer length waits for more */
        assert_int_not_equal(server_hears(&t, &fault), SHS_TLS_OPENED_DATA);
        two_close(&t);
    }
    two_open(&t);
    assert_int_equal(shs__tls_records_seal(t.client, SHS_TLS_DATA, "abc", 3, &t.wire), SHS_OK);
    push(t.server, shs__buf_head(&t.wire), t.wire.len);
    push(t.server, shs__buf_head(&t.wire), t.wire.len);
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_DATA);
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_FAULT);
    assert_int_equal(fault.alert, SSL_AD_BAD_RECORD_MAC);
    two_close(&t);
    two_open(&t);
    assert_int_equal(shs__tls_records_seal(t.client, SHS_TLS_DATA, "abc", 3, &t.wire), SHS_OK);
    shs__buf_consume(&t.wire, t.wire.len);
    client_says(&t, SHS_TLS_DATA, "def", 3);
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_FAULT);
    two_close(&t);
}

static void floods_have_a_bound(void **state)
{
    struct shs_tls_fault fault = {.alert = 0};
    struct two t;

    SHS_UNUSED(state);
    two_open(&t); /* records without content: 32 are let through */
    for (int i = 0; i < 32; i++)
        client_says(&t, SHS_TLS_DATA, "", 0);
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_MORE);
    client_says(&t, SHS_TLS_DATA, "x", 1);
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_DATA);
    for (int i = 0; i < 33; i++)
        client_says(&t, SHS_TLS_DATA, "", 0);
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_FAULT);
    assert_int_equal(fault.alert, SSL_AD_UNEXPECTED_MESSAGE);
    two_close(&t);
    two_open(&t); /* user_canceled: four */
    for (int i = 0; i < 4; i++) {
        client_says(&t, SHS_TLS_ALERT, "\x01\x5a", 2);
        assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_CANCELS);
    }
    client_says(&t, SHS_TLS_ALERT, "\x01\x5a", 2);
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_FAULT);
    two_close(&t);
}

/* The goodbye of a client as the fifth: libssl 3.0 counts it among them, 3.5 does not. */
static void another_warning_counts_as_in_libssl(void **state)
{
    struct shs_tls_fault fault = {.alert = 0};
    struct two t;

    SHS_UNUSED(state);
    two_open(&t);
    for (int i = 0; i < 4; i++) {
        client_says(&t, SHS_TLS_ALERT, "\x01\x5a", 2);
        assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_CANCELS);
    }
    client_says(&t, SHS_TLS_ALERT, "\x01\x00", 2);
    assert_int_equal(server_hears(&t, &fault), OpenSSL_version_num() < 0x30500000UL
                                                   ? SHS_TLS_OPENED_FAULT
                                                   : SHS_TLS_OPENED_END);
    two_close(&t);
}

static void alerts_end_it(void **state)
{
    struct shs_tls_fault fault = {.alert = 0};
    struct two t;

    SHS_UNUSED(state);
    two_open(&t);
    client_says(&t, SHS_TLS_ALERT, "\x01\x14", 2); /* whatever its level says */
    assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_ALERT);
    assert_int_equal(fault.alert, SSL_AD_BAD_RECORD_MAC);
    two_close(&t);
}

/* Keys change both ways, in one record or in five; and every size arrives. */
static void keys_change_and_sizes_arrive(void **state)
{
    static const size_t sizes[] = {1, 15, 16, 17, 4096, SHS_TLS_RECORD_DATA};
    unsigned char *data = shs__malloc(SHS_TLS_RECORD_DATA), *text = shs__malloc(65536);
    struct shs_tls_fault fault = {.alert = 0};
    struct two t;

    SHS_UNUSED(state);
    two_open(&t);
    for (size_t i = 0; i < SHS_TLS_RECORD_DATA; i++)
        data[i] = (unsigned char)(i * 7);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < SHS_ARRAY_LEN(sizes); i++) {
            size_t got = 0, seen = 0;

            client_says(&t, SHS_TLS_DATA, data, sizes[i]);
            while (seen < sizes[i]) {
                assert_int_equal(shs__tls_records_open(t.server, text + seen, 1000, &got, &fault),
                                 SHS_TLS_OPENED_DATA);
                seen += got;
            }
            assert_int_equal(seen, sizes[i]);
            assert_memory_equal(text, data, seen);
        }
        assert_int_equal(shs__tls_records_update(t.client, &t.wire), SHS_OK);
        push(t.server, shs__buf_head(&t.wire), t.wire.len);
        shs__buf_consume(&t.wire, t.wire.len);
        assert_int_equal(server_hears(&t, &fault), SHS_TLS_OPENED_UPDATED);
    }
    two_close(&t);
    shs__free(data);
    shs__free(text);
}

/* What is left of a record is pending, though it may read as a header of one that is not whole. */
static void what_is_left_is_pending(void **state)
{
    struct shs_tls_fault fault = {.alert = 0};
    char text[8];
    size_t got = 0;
    struct two t;

    SHS_UNUSED(state);
    two_open(&t);
    client_says(&t, SHS_TLS_DATA, "x\x17\x03\x03\x40\x00", 6);
    assert_int_equal(shs__tls_records_open(t.server, text, 1, &got, &fault), SHS_TLS_OPENED_DATA);
    assert_true(shs__tls_records_pending(t.server));
    assert_int_equal(shs__tls_records_open(t.server, text, 8, &got, &fault), SHS_TLS_OPENED_DATA);
    assert_int_equal(got, 5);
    assert_false(shs__tls_records_pending(t.server));
    two_close(&t);
}

/* The room for a long record is not kept by one that is idle. */
static void who_is_idle_has_no_room(void **state)
{
    static const char data[SHS_TLS_RECORD_DATA];
    struct shs_tls_fault fault = {.alert = 0};
    size_t seen = 0, room = 0;
    struct two t;

    SHS_UNUSED(state);
    two_open(&t);
    client_says(&t, SHS_TLS_DATA, data, sizeof data);
    while (seen < sizeof data) {
        char text[1024];
        size_t got = 0;

        assert_int_equal(shs__tls_records_open(t.server, text, sizeof text, &got, &fault),
                         SHS_TLS_OPENED_DATA);
        seen += got;
    }
    shs__tls_records_idle(t.server);
    assert_non_null(shs__tls_records_room(t.server, &room));
    assert_in_range(room, 1, SHS_TLS_RECORD_DATA - 1);
    two_close(&t);
}

/* A record is written whole, up to the ceiling of the buffer, or not at all. */
static void a_ceiling_is_reached_and_kept(void **state)
{
    struct shs_buf out;
    struct two t;

    SHS_UNUSED(state);
    two_open(&t);
    shs__buf_init(&out, 2 * (3 + SHS_TLS_RECORD_ADDS));
    assert_int_equal(shs__tls_records_seal(t.client, SHS_TLS_DATA, "abc", 3, &out), SHS_OK);
    assert_int_equal(shs__tls_records_seal(t.client, SHS_TLS_DATA, "abcd", 4, &out), SHS_LIMIT);
    assert_int_equal(out.len, 3 + SHS_TLS_RECORD_ADDS);
    assert_int_equal(shs__tls_records_seal(t.client, SHS_TLS_DATA, "def", 3, &out), SHS_OK);
    assert_int_equal(shs__tls_records_seal(t.client, SHS_TLS_DATA, "", 0, &out), SHS_LIMIT);
    assert_int_equal(out.len, out.ceiling);
    shs__buf_free(&out);
    two_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_8448_is_sealed),
        cmocka_unit_test(rfc_8448_is_opened),
        cmocka_unit_test(what_keeps_the_rules_is_heard),
        cmocka_unit_test(what_breaks_the_rules_is_refused),
        cmocka_unit_test(what_is_too_long_is_refused),
        cmocka_unit_test(headers_that_are_none_are_refused),
        cmocka_unit_test(what_was_touched_is_refused),
        cmocka_unit_test(floods_have_a_bound),
        cmocka_unit_test(another_warning_counts_as_in_libssl),
        cmocka_unit_test(alerts_end_it),
        cmocka_unit_test(keys_change_and_sizes_arrive),
        cmocka_unit_test(what_is_left_is_pending),
        cmocka_unit_test(who_is_idle_has_no_room),
        cmocka_unit_test(a_ceiling_is_reached_and_kept),
    };

    return cmocka_run_group_tests(tests, make_suites, free_suites);
}
