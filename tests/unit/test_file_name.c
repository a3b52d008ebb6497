/* test_file_name.c - what a client calls its file, as the name of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <shs/multipart.h>

#include "base/base.h"
#include "base/text.h"

static void test_safe_file_names(void **state)
{
    static const char *const names[][2] = {
        {"a.txt", "a.txt"},
        {"../../etc/passwd", "passwd"},
        {"/etc/passwd", "passwd"},
        {"C:\\dir\\f.txt", "f.txt"},
        {"a/", "upload"},
        {"", "upload"},
        {".", "upload"},
        {"..", "upload"},
        {"...", "upload"},
        {".bashrc", "bashrc"},
        {"..a", "a"},
        {"-rf", "rf"},
        {" a ", "a"},
        {"a. .", "a"},
        {"a b.txt", "a b.txt"},
        {"a\r\nb\x01\x7f", "a__b__"},
        {"<>:\"|?*$`&;'!%", "______________"},
        {"caf\xc3\xa9.txt", "caf\xc3\xa9.txt"},
        {"caf\xe9.txt", "caf_.txt"},
        {"\xc2\x85", "_"},
        {"\xe2\x80\xae"
         "gpj.exe",
         "_gpj.exe"},
        {"\xe2\x81\xa6x", "_x"},
        {"\xe2\x82\xac", "\xe2\x82\xac"},
        {"\xe1\x80\x8b", "\xe1\x80\x8b"}, /* one letter, with the tail of what is invisible */
        {"\xc2\xa0x", "\xc2\xa0x"},
        {"\xc2\x9fx", "_x"},
        {"\xc3\x85", "\xc3\x85"},
        {"CON", "_CON"},
        {"nul.txt", "_nul.txt"},
        {"com1.a.b", "_com1.a.b"},
        {"LPT9", "_LPT9"},
        {"COM0", "_COM0"},
        {"COM-", "COM-"},
        {"COM12", "COM12"},
        {"COM", "COM"},
        {"CON1", "CON1"},
        {"COMX", "COMX"},
        {"console", "console"},
    };
    char out[300], long_name[600], reserved[600];
    size_t len;

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(names); i++) {
        struct shs_str name = {names[i][0], strlen(names[i][0])};

        assert_int_equal(shs_safe_file_name(name, out, sizeof out), strlen(names[i][1]));
        assert_string_equal(out, names[i][1]);
    }
    assert_int_equal(shs_safe_file_name((struct shs_str){"a\0b", 3}, out, 16), 3);
    assert_string_equal(out, "a_b");
    assert_int_equal(shs_safe_file_name((struct shs_str){"a", 1}, out, 15), 0);
    memset(long_name, 'x', sizeof long_name);
    memset(reserved, 'x', sizeof reserved);
    for (size_t i = 2; i + 2 < sizeof long_name; i += 3)
        memcpy(long_name + i - 2, "\xe2\x82\xac", 3);
    for (size_t cap = 16; cap <= sizeof out; cap++) {
        len = shs_safe_file_name((struct shs_str){long_name, sizeof long_name}, out, cap);
        assert_true(len > 0 && len < cap && len <= 255);
        assert_int_equal(len, strlen(out));
        assert_int_equal(len % 3, 0); /* no character is cut in two */
        memset(out, '!', sizeof out);
        memcpy(reserved, "nul.", 4);
        len = shs_safe_file_name((struct shs_str){reserved, sizeof reserved}, out, cap);
        assert_true(len > 0 && len < cap && len <= 255);
        assert_int_equal(out[0], '_');
        for (size_t i = cap; i < sizeof out; i++)
            assert_int_equal(out[i], '!'); /* nothing behind the room is touched */
    }
}

/* As much as fits: cap less the NUL, and less a byte for the "_" of a reserved name. */
static void test_as_much_as_fits(void **state)
{
    static const char *const rows[][2] = {
        {"abcdefghijklmn", "abcdefghijklmn"},          {"abcdefghijk.lm", "abcdefghijk.lm"},
        {"abcdefghijklmno", "abcdefghijklmn"},         {"abcdefghijklmno.123456", "abcdefg.123456"},
        {"abcdefghijklmno.1234567", "abcdefghijklmn"}, /* an extension is half of it at most */
    };
    char out[16];

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        struct shs_str name = {rows[i][0], strlen(rows[i][0])};

        (void)shs_safe_file_name(name, out, sizeof out);
        assert_string_equal(out, rows[i][1]);
    }
}

/* What is too long loses its middle: the end says what it is. */
static void test_long_names_keep_their_end(void **state)
{
    static const char *const ends[][2] = {
        {".jpg", ".jpg"}, {".tar.gz", ".tar.gz"},       {".JPEG", ".JPEG"}, {".jpg. .", ".jpg"},
        {".j|g", ".j_g"}, {".an-end-of-sixteen", NULL}, /* longer than any extension */
        {"", NULL},
    };
    static const char *const fills[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "a."};
    char name[700], out[300];
    size_t len, n;

    (void)state;
    for (size_t f = 0; f < SHS_ARRAY_LEN(fills); f++) {
        for (size_t e = 0; e < SHS_ARRAY_LEN(ends); e++) {
            for (len = 0; len < 500; len += strlen(fills[f]))
                memcpy(name + len, fills[f], strlen(fills[f]));
            memcpy(name + len, ends[e][0], strlen(ends[e][0]));
            len += strlen(ends[e][0]);
            for (size_t cap = 16; cap <= sizeof out; cap++) {
                const char *end = ends[e][1];

                n = shs_safe_file_name((struct shs_str){name, len}, out, cap);
                assert_true(n > 0 && n < cap && n <= 255 && n == strlen(out));
                for (size_t i = 0; i < n;) { /* no character is cut in two */
                    size_t step = shs__utf8_length((struct shs_str){out, n}, i);

                    assert_true(step > 0);
                    i += step;
                }
                if (end != NULL && cap > 2 * strlen(end) + 1 &&
                    (n <= strlen(end) || strcmp(out + n - strlen(end), end) != 0 ||
                     out[n - strlen(end) - 1] == '.'))
                    fail_msg("%s at %zu: %s", end, cap, out);
            }
        }
    }
    /* ezshare#84: 245 bytes and ".jpg" in 241 bytes of room. */
    memset(name, 'n', 245);
    memcpy(name + 245, ".jpg", 5);
    assert_int_equal(shs_safe_file_name((struct shs_str){name, 249}, out, 241), 239);
    assert_string_equal(out + 235, ".jpg");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safe_file_names),
        cmocka_unit_test(test_as_much_as_fits),
        cmocka_unit_test(test_long_names_keep_their_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
