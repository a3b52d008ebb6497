#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "tls/config/names.h"

static struct shs_tls_names *make(size_t room, const char *const *names)
{
    struct shs_tls_names *self = NULL;

    assert_int_equal(shs__tls_names_new(&self, room), SHS_OK);
    for (unsigned i = 0; names[i] != NULL; i++) {
        unsigned value = i;

        assert_true(shs__tls_names_add(self, shs__str(names[i]), &value));
        assert_int_equal(value, i);
    }
    return self;
}

/* The number of the name that is found; -1 for none. */
static int find(const struct shs_tls_names *self, const char *name)
{
    unsigned value = 12345;

    return shs__tls_names_find(self, shs__str(name), &value) ? (int)value : -1;
}

static void test_exact_and_wildcard(void **state)
{
    static const char *const names[] = {"A.example", "*.b.example", "one.b.example",
                                        "*.example", "localhost",   NULL};
    struct shs_tls_names *self = make(10, names);

    SHS_UNUSED(state);
    assert_int_equal(find(self, "a.example"), 0);
    assert_int_equal(find(self, "A.EXAMPLE"), 0);
    assert_int_equal(find(self, "a.example."), 0);
    assert_int_equal(find(self, "x.b.example"), 1);
    assert_int_equal(find(self, "one.b.example"), 2); /* the exact one wins */
    assert_int_equal(find(self, "b.example"), 3);
    assert_int_equal(find(self, "c.example"), 3);
    assert_int_equal(find(self, "localhost"), 4);
    assert_int_equal(find(self, "y.x.b.example"), -1); /* one label only */
    assert_int_equal(find(self, "example"), -1);
    assert_int_equal(find(self, ""), -1);
    assert_int_equal(find(self, "."), -1);
    assert_int_equal(find(self, ".example"), -1);
    assert_int_equal(find(self, ".b.example"), -1);
    assert_int_equal(find(self, "*.b.example"), -1); /* nobody is called that */
    assert_int_equal(find(self, "*"), -1);
    shs__tls_names_free(self);
}

static void test_the_first_wins(void **state)
{
    static const char *const names[] = {"a.example", "*.a.example", NULL};
    struct shs_tls_names *self = make(3, names);
    unsigned value = 7;

    SHS_UNUSED(state);
    assert_true(shs__tls_names_add(self, SHS_STR("A.example."), &value));
    assert_int_equal(value, 0);
    value = 7;
    assert_true(shs__tls_names_add(self, SHS_STR("*.A.Example"), &value));
    assert_int_equal(value, 1);
    shs__tls_names_free(self);
}

static void test_what_is_no_name(void **state)
{
    static const char *const none[] = {NULL};
    struct shs_tls_names *self = make(1, none);
    char longest[SHS_TLS_NAME_MAX + 2];
    unsigned value = 0;

    SHS_UNUSED(state);
    memset(longest, 'a', sizeof longest);
    assert_false(shs__tls_names_add(self, (struct shs_str){longest, sizeof longest - 1}, &value));
    assert_false(shs__tls_names_find(self, (struct shs_str){longest, sizeof longest - 1}, &value));
    assert_false(shs__tls_names_add(self, SHS_STR("a.*.example"), &value));
    assert_false(shs__tls_names_add(self, SHS_STR("a*.example"), &value));
    assert_false(shs__tls_names_add(self, SHS_STR("*"), &value));
    assert_false(shs__tls_names_add(self, SHS_STR("*."), &value));
    assert_false(shs__tls_names_add(self, SHS_STR(".example"), &value));
    assert_false(shs__tls_names_add(self, SHS_STR(""), &value));
    assert_false(shs__tls_names_add(self, SHS_STR("a\0b"), &value));
    assert_true(shs__tls_names_add(self, (struct shs_str){longest, SHS_TLS_NAME_MAX}, &value));
    assert_false(shs__tls_names_add(self, SHS_STR("one.too.many"), &value)); /* no room */
    shs__tls_names_free(self);
    shs__tls_names_free(NULL);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *name;
        bool is_address;
    } rows[] = {
        {"127.0.0.1", true},  {"127.0.0.1.", true},   {"::1", true},      {"[::1]", true},
        {"[::1].", false},    {"fe80::1%eth0", true}, {"127.0.0", false}, {"localhost", false},
        {"1.example", false}, {"[localhost]", false}, {"", false},        {".", false},
        {"[]", false},        {"%eth0", false},       {"::g", false},
    };
    char longest[300];

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        if (shs__tls_name_is_address(shs__str(rows[i].name)) != rows[i].is_address)
            fail_msg("%s", rows[i].name);
    }
    assert_false(shs__tls_name_is_address(SHS_STR("::1\0x")));
    memset(longest, '1', sizeof longest);
    assert_false(shs__tls_name_is_address((struct shs_str){longest, sizeof longest}));
}

static void test_many(void **state)
{
    struct shs_tls_names *self = NULL;
    unsigned value;
    char name[64];

    SHS_UNUSED(state);
    assert_int_equal(shs__tls_names_new(&self, 20000), SHS_OK);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, i % 2 == 0 ? "n%u.example" : "*.n%u.example", i);
        value = i;
        assert_true(shs__tls_names_add(self, shs__str(name), &value));
    }
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, i % 2 == 0 ? "n%u.example" : "x.n%u.example", i);
        assert_int_equal(find(self, name), (int)i);
        snprintf(name, sizeof name, "m%u.example", i);
        assert_int_equal(find(self, name), -1);
    }
    shs__tls_names_free(self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_and_wildcard),
        cmocka_unit_test(test_the_first_wins),
        cmocka_unit_test(test_what_is_no_name),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
