/* test_tls_deny.c - the deny list: what an entry is, and whom it means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tls/clients/deny.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHA2 "ff23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct shs_client_identity somebody(void)
{
    struct shs_client_identity id = {.cert_sha256 = SHA, .spki_sha256 = SHA2};

    id.serial = SHS_STR("00a1b2");
    id.issuer = SHS_STR("CN=root,O=a\\, b");
    return id;
}

/* Does this entry alone deny somebody? -1: it is none. */
static int denies(const char *entry)
{
    struct shs_client_identity id = somebody();
    struct shs_tls_deny *deny = NULL;
    struct shs_error err;
    int rc, found;

    assert_int_equal(shs__tls_deny_new(&deny), SHS_OK);
    assert_false(shs__tls_deny_denies(deny, &id));
    rc = shs__tls_deny_add(deny, entry, &err);
    assert_true(rc == SHS_OK || rc == SHS_USAGE);
    found = rc == SHS_OK ? shs__tls_deny_denies(deny, &id) : -1;
    if (rc != SHS_OK)
        assert_non_null(strstr(err.text, "neither 'cert"));
    shs__tls_deny_free(deny);
    return found;
}

static void test_entries(void **state)
{
    (void)state;
    assert_int_equal(denies("cert " SHA), 1);
    assert_int_equal(denies("  cert\t" SHA "  \r"), 1);
    assert_int_equal(
        denies("spki FF23456789ABCDEF0123456789abcdef0123456789abcdef01:23:45:67:89abcdef"), 1);
    /* A certificate's digest is not its key's. */
    assert_int_equal(denies("cert " SHA2), 0);
    assert_int_equal(denies("spki " SHA), 0);
    assert_int_equal(denies("serial A1B2 CN=root,O=a\\, b"), 1);
    assert_int_equal(denies("serial 00:00:A1:B2 CN=root,O=a\\, b "), 1);
    assert_int_equal(denies("serial A1B2 CN=root"), 0);
    assert_int_equal(denies("serial -A1B2 issuer=CN=root,O=a\\, b"), 1);
    assert_int_equal(denies("serial A1B CN=root,O=a\\, b"), 0);
    assert_int_equal(denies("serial 0A1B200 CN=root,O=a\\, b"), 0);
}

/* A blank at the end of a name is a part of it; those behind it are not. */
static void test_last_blank(void **state)
{
    static const struct {
        const char *issuer, *entry;
        bool denied;
    } cases[] = {
        {"CN=root\\ ", "serial A1B2 CN=root\\ ", true},
        {"CN=root\\ ", "serial A1B2 CN=root\\  \t\r", true},
        {"CN=root\\ ", "serial A1B2 CN=root", false},
        {"CN=root\\\\", "serial A1B2 CN=root\\\\  ", true}, /* a backslash */
        {"CN=root", "serial A1B2 CN=root  ", true},
        {"O=b+CN=a,DC=x,1.2.3=#0C03", "serial A1B2 O=b+CN=a,DC=x,1.2.3=#0C03", true},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs_client_identity id = somebody();
        struct shs_tls_deny *deny = NULL;

        id.issuer = shs__str(cases[i].issuer);
        assert_int_equal(shs__tls_deny_new(&deny), SHS_OK);
        assert_int_equal(shs__tls_deny_add(deny, cases[i].entry, NULL), SHS_OK);
        if (shs__tls_deny_denies(deny, &id) != cases[i].denied)
            fail_msg("'%s' and '%s'", cases[i].issuer, cases[i].entry);
        shs__tls_deny_free(deny);
    }
}

/* By a name it is the client's in each spelling; an entry that is nobody's would let it in. */
static void test_spellings(void **state)
{
    static const struct {
        const char *issuer, *entry;
        bool denied;
    } cases[] = {
        {"CN=root,O=Ops", "serial A1B2 cn=root,o=Ops", true},
        {"CN=root,O=Ops", "serial A1B2 CN=Root,O=ops", true},
        {"CN=root,O=Ops", "serial A1B2 OID.2.5.4.3=root,2.5.4.10=ops", true},
        {"emailAddress=a@b,CN=r", "serial A1B2 E=a@b,CN=r", true},
        {"emailAddress=a@b,CN=r", "serial A1B2 1.2.840.113549.1.9.1=a@b,CN=r", true},
        {"ST=Hessen,C=DE", "serial A1B2 S=Hessen,C=DE", true},
        {"CN=B\\C3\\BCcher",
         "serial A1B2 CN=B\xc3\xbc"
         "cher",
         true},
        {"CN=B\\C3\\BCcher", "serial A1B2 CN=B\\c3\\bccher", true},
        {"CN=a\\, b", "serial A1B2 CN=a\\2C b", true},
        {"CN=a\\=b", "serial A1B2 CN=a=b", true},
        {"CN=\\ax", "serial A1B2 CN=ax", true}, /* "ax" is no byte */
        {"CN=two  blanks", "serial A1B2 CN=two blanks", true},
        {"CN=a\\, O=b", "serial A1B2 CN=a,O=b", false}, /* one attribute, and two */
        {"CN=a\\01O\\02b", "serial A1B2 CN=a,O=b", false},
        {"CN=a+O=b", "serial A1B2 CN=a,O=b", false},
        {"CN=root,O=Ops", "serial A1B2 O=root,CN=Ops", false},
        {"CN=root,O=Ops", "serial A1B2 CN=root", false},
        {"CN=", "serial A1B2 CN=", true},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs_client_identity id = somebody();
        struct shs_tls_deny *deny = NULL;

        id.issuer = shs__str(cases[i].issuer);
        assert_int_equal(shs__tls_deny_new(&deny), SHS_OK);
        assert_int_equal(shs__tls_deny_add(deny, cases[i].entry, NULL), SHS_OK);
        if (shs__tls_deny_denies(deny, &id) != cases[i].denied)
            fail_msg("'%s' and '%s'", cases[i].issuer, cases[i].entry);
        shs__tls_deny_free(deny);
    }
}

static void test_no_entries(void **state)
{
    (void)state;
    assert_int_equal(denies(""), -1);
    assert_int_equal(denies("cert"), -1);
    assert_int_equal(denies("cert " SHA " x"), -1);
    assert_int_equal(denies("cert " SHA "0"), -1);
    assert_int_equal(denies("cert 0x" SHA), -1);
    assert_int_equal(denies("cert 0123456789abcdef"), -1);
    assert_int_equal(denies("certs " SHA), -1);
    assert_int_equal(denies("Cert " SHA), -1);
    assert_int_equal(denies("cert :"), -1);
    assert_int_equal(denies("serial A1B2"), -1);
    /* Names that openssl and others write in another form would be nobody's. */
    assert_int_equal(denies("serial A1B2 C = DE, CN = root"), -1);
    assert_int_equal(denies("serial A1B2 CN=root, O=a"), -1);
    assert_int_equal(denies("serial A1B2 /C=DE/CN=root"), -1);
    assert_int_equal(denies("serial A1B2 CN =root"), -1);
    assert_int_equal(denies("serial A1B2 root"), -1);
    assert_int_equal(denies("serial --A1B2 CN=root"), -1);
    assert_int_equal(denies("cert -" SHA), -1);
    assert_int_equal(denies("serial CN=root"), -1);
    assert_int_equal(denies("serial : CN=root"), -1);
    assert_int_equal(denies("serial A1B2 =root"), -1);
    assert_int_equal(denies("serial " SHA "0 CN=root"), -1);
    assert_int_equal(denies(SHA), -1);
}

static int denies_name(struct shs_str issuer, const char *name)
{
    struct shs_client_identity id = somebody();
    struct shs_tls_deny *deny = NULL;
    char entry[1024];
    int found = -1;

    id.issuer = issuer;
    snprintf(entry, sizeof entry, "serial A1B2 %s", name);
    assert_int_equal(shs__tls_deny_new(&deny), SHS_OK);
    if (shs__tls_deny_add(deny, entry, NULL) == SHS_OK)
        found = shs__tls_deny_denies(deny, &id);
    shs__tls_deny_free(deny);
    return found;
}

/* An identity has 511 bytes of its issuer: an entry with the whole name means the same, wherever it
   was cut. */
static void test_long_names(void **state)
{
    char name[601];

    (void)state;
    memset(name, 'x', sizeof name - 1);
    name[600] = '\0';
    assert_int_equal(denies_name((struct shs_str){name, 511}, name), -1); /* no TYPE= */
    memcpy(name, "CN=", 3);
    memcpy(name + 509, ",O=", 3); /* cut behind the O */
    assert_int_equal(denies_name((struct shs_str){name, 511}, name), 1);
    name[511] = '\0';
    assert_int_equal(denies_name((struct shs_str){name, 511}, name), 1);
    memcpy(name + 508, ",O", 3); /* no attribute, and not cut */
    assert_int_equal(denies_name((struct shs_str){name, 510}, name), -1);
    assert_int_equal(denies_name((struct shs_str){"CN=a\\C3", 6}, "CN=a\\C"), 1);
}

/* Sixty-four digits are a number. Of more nobody can tell: not let in, unless nobody is listed. */
static void test_long_numbers(void **state)
{
    struct shs_client_identity id = somebody();
    struct shs_tls_deny *deny = NULL;

    (void)state;
    id.issuer = SHS_STR("CN=root");
    assert_int_equal(shs__tls_deny_new(&deny), SHS_OK);
    assert_true(shs__tls_deny_is_empty(deny));
    id.serial = SHS_STR(SHA2 "0");
    assert_int_equal(shs__tls_deny_denies(deny, &id), 0);
    assert_int_equal(shs__tls_deny_add(deny, "serial " SHA2 " CN=root", NULL), SHS_OK);
    assert_false(shs__tls_deny_is_empty(deny));
    assert_int_equal(shs__tls_deny_denies(deny, &id), -1);
    id.serial = SHS_STR(SHA2);
    assert_int_equal(shs__tls_deny_denies(deny, &id), 1);
    assert_int_equal(shs__tls_deny_remove(deny, "serial " SHA2 " CN=root", NULL), SHS_OK);
    assert_true(shs__tls_deny_is_empty(deny));
    shs__tls_deny_free(deny);
}

/* A thousand of them, in any order, and nobody between. */
static void test_many(void **state)
{
    struct shs_client_identity id = somebody();
    struct shs_tls_deny *deny = NULL;
    char entry[96];

    (void)state;
    assert_int_equal(shs__tls_deny_new(&deny), SHS_OK);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(entry, sizeof entry, "serial %x CN=root", i * 7919 % 1000 * 2 + 1);
        assert_int_equal(shs__tls_deny_add(deny, entry, NULL), SHS_OK);
        assert_int_equal(shs__tls_deny_add(deny, entry, NULL), SHS_OK);
    }
    id.issuer = SHS_STR("CN=root");
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(entry, sizeof entry, "%04x", i);
        id.serial = (struct shs_str){entry, 4};
        assert_int_equal(shs__tls_deny_denies(deny, &id), i % 2);
    }
    shs__tls_deny_free(deny);
}

/* A file replaces a file, not what was added; the same file again is not a change. */
static void test_file(void **state)
{
    char path[] = "/tmp/shs-deny-XXXXXX";
    struct shs_client_identity id = somebody();
    struct shs_tls_deny_set *set = NULL;
    struct shs_tls_deny *deny = NULL;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "# a\n\ncert " SHA, 74), 74);
    assert_int_equal(shs__tls_deny_new(&deny), SHS_OK);
    assert_int_equal(shs__tls_deny_read(&set, path, NULL), SHS_OK);
    assert_true(shs__tls_deny_replace(deny, set));
    assert_true(shs__tls_deny_denies(deny, &id));
    assert_int_equal(shs__tls_deny_read(&set, path, NULL), SHS_OK);
    assert_false(shs__tls_deny_replace(deny, set));
    assert_true(shs__tls_deny_replace(deny, NULL));
    assert_false(shs__tls_deny_denies(deny, &id));
    assert_int_equal(shs__tls_deny_add(deny, "spki " SHA2, NULL), SHS_OK);
    assert_false(shs__tls_deny_replace(deny, NULL));
    assert_true(shs__tls_deny_denies(deny, &id));
    assert_int_equal(write(fd, "\nspki\n", 6), 6);
    assert_int_equal(shs__tls_deny_read(&set, path, NULL), SHS_TLS);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(shs__tls_deny_read(&set, path, NULL), SHS_TLS);
    close(fd);
    shs__tls_deny_free(deny);
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* The file says this now: whether that is another thing than before. */
static bool changes(struct shs_tls_deny *deny, const char *path, const char *text)
{
    struct shs_tls_deny_set *set = NULL;

    put(path, text);
    assert_int_equal(shs__tls_deny_read(&set, path, NULL), SHS_OK);
    return shs__tls_deny_replace(deny, set);
}

static void test_changes(void **state)
{
    char path[] = "/tmp/shs-deny-XXXXXX", line[2050];
    struct shs_tls_deny_set *set = NULL;
    struct shs_tls_deny *deny = NULL;

    (void)state;
    close(mkstemp(path));
    assert_int_equal(shs__tls_deny_new(&deny), SHS_OK);
    assert_true(changes(deny, path, "cert " SHA));
    assert_false(changes(deny, path, "# again\ncert " SHA "\n"));
    assert_true(changes(deny, path, "cert " SHA "\nspki " SHA2)); /* behind the first in order */
    assert_false(changes(deny, path, "spki " SHA2 "\ncert " SHA));
    assert_true(changes(deny, path, "cert " SHA2 "\nspki " SHA2));
    assert_true(changes(deny, path, ""));
    assert_false(changes(deny, path, "#"));
    memset(line, '#', sizeof line);
    line[2047] = '\0'; /* the longest line */
    assert_false(changes(deny, path, line));
    line[2047] = '#';
    line[2048] = '\0';
    put(path, line);
    assert_int_equal(shs__tls_deny_read(&set, path, NULL), SHS_TLS);
    assert_int_equal(unlink(path), 0);
    shs__tls_deny_free(deny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries),    cmocka_unit_test(test_last_blank),
        cmocka_unit_test(test_no_entries), cmocka_unit_test(test_many),
        cmocka_unit_test(test_file),       cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_long_names), cmocka_unit_test(test_long_numbers),
        cmocka_unit_test(test_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
