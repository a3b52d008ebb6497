/*
 * test_access.c - <shs/access.h>: what each line of rules lets in, and what is refused when they
 * are read.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <shs/access.h>
#include <shs/certs.h>

#include "access/policy.h"
#include "access/words.h"
#include "base/base.h"
#include "failing_memory.h"

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define KEY_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define CAS "ca corp spki " KEY_A "\nca other spki sha256:" KEY_B "\n"
#define ROLES                                                                                      \
    "role viewer   GET /admin/v1/**\n"                                                             \
    "role operator viewer + POST /admin/v1/{drain,undrain,connections/{id}/close}\n"               \
    "role admin    operator + * /admin/v1/**\n"

/* -- a client in a few words ------------------------------------------------------------------- */

struct who {
    struct shs_identity identity;
    struct shs_client_identity cert;
    struct shs_str o[2], ou[2];
    struct shs_san sans[3];
    char cas[2][65];
};

/* With a certificate of the CA `corp`, through the issuer KEY_C. */
static struct who *with_cert(struct who *w, const char *cn)
{
    memset(w, 0, sizeof *w);
    shs_identity_init(&w->identity);
    w->cert.verified = true;
    w->cert.common_name = shs_str_of(cn);
    w->cert.serial = shs_str_of("001f3a");
    memset(w->cert.spki_sha256, 'd', 64);
    memset(w->cert.cert_sha256, 'e', 64);
    memcpy(w->cas[0], KEY_C, 65);
    memcpy(w->cas[1], KEY_A, 65);
    w->cert.ca_spki_sha256 = (const char(*)[65])w->cas;
    w->cert.ca_count = 2;
    w->cert.organizations = w->o;
    w->cert.units = w->ou;
    w->cert.sans = w->sans;
    w->identity.cert = &w->cert;
    return w;
}

static struct who *with_san(struct who *w, enum shs_san_kind kind, const char *value)
{
    w->sans[w->cert.san_count++] = (struct shs_san){kind, shs_str_of(value)};
    return w;
}

static struct who *with_process(struct who *w, uid_t uid, gid_t gid, gid_t other)
{
    memset(w, 0, sizeof *w);
    shs_identity_init(&w->identity);
    w->identity.has_process = true;
    w->identity.uid = uid;
    w->identity.gid = gid;
    w->identity.groups[0] = other;
    w->identity.group_count = 1;
    return w;
}

static struct who *with_user(struct who *w, const char *user)
{
    memset(w, 0, sizeof *w);
    shs_identity_init(&w->identity);
    w->identity.user = shs_str_of(user);
    return w;
}

/* -- rules in a few words ---------------------------------------------------------------------- */

static struct shs_access_rules *rules_of(const char *text)
{
    struct shs_access_rules *rules = NULL;
    struct shs_error err = {.text = ""};
    int rc = shs_access_new_text(&rules, "r", shs_str_of(text), &err);

    if (rc != SHS_OK)
        fail_msg("%s", err.text);
    return rules;
}

static struct shs_access_decision decide(struct shs_access_rules *rules, const struct who *w,
                                         const char *method, const char *path)
{
    struct shs_access_decision d;

    memset(&d, 0xa5, sizeof d);
    shs_access_decide(rules, &w->identity, shs_str_of(method), shs_str_of(path), &d);
    return d;
}

/* The role that one line gives; "" for none. */
static void expect_role(const char *line, const struct who *w, const char *role)
{
    char text[1024];
    struct shs_access_rules *rules;
    struct shs_access_decision d;

    snprintf(text, sizeof text, CAS ROLES "%s\n", line);
    rules = rules_of(text);
    d = decide(rules, w, "GET", "/admin/v1/x");
    if (strcmp(d.role, role) != 0)
        fail_msg("'%s' gives '%s', not '%s' (%s)", line, d.role, role, d.rule);
    assert_int_equal(d.allowed, role[0] != '\0');
    shs_access_free(rules);
}

static void expect_fault(const char *text, const char *fault)
{
    struct shs_access_rules *rules = NULL;
    struct shs_error err = {.text = ""};
    int rc = shs_access_new_text(&rules, "r", shs_str_of(text), &err);

    if (rc == SHS_OK)
        fail_msg("taken, and should be refused (%s): %s", fault, text);
    if (strstr(err.text, fault) == NULL)
        fail_msg("'%s' says not '%s' but: %s", text, fault, err.text);
    assert_true(rules == NULL);
    assert_int_equal(rc, err.code);
}

/* HEAD, then EACH so many times, '#' in it four letters that are others each time, then TAIL. */
static char *many(const char *head, const char *each, unsigned times, const char *tail)
{
    struct shs_buf out;

    shs__buf_init(&out, SHS_ACCESS_FILE_MAX);
    assert_int_equal(shs__buf_append_str(&out, shs_str_of(head)), SHS_OK);
    for (unsigned i = 0; i < times; i++) {
        const char *number = strchr(each, '#');
        int before = number == NULL ? (int)strlen(each) : (int)(number - each);

        assert_int_equal(shs__buf_printf(&out, "%.*s", before, each), SHS_OK);
        if (number != NULL)
            assert_int_equal(shs__buf_printf(&out, "%c%c%c%c%s", 'A' + i / 17576 % 26,
                                             'A' + i / 676 % 26, 'A' + i / 26 % 26, 'A' + i % 26,
                                             number + 1),
                             SHS_OK);
    }
    assert_int_equal(shs__buf_append_str(&out, shs_str_of(tail)), SHS_OK);
    assert_int_equal(shs__buf_append(&out, "", 1), SHS_OK);
    return out.data;
}

/* -- who --------------------------------------------------------------------------------------- */

static void test_attributes_of_a_certificate(void **state)
{
    struct who w;

    (void)state;
    with_cert(&w, "alice");
    w.o[0] = shs_str_of("ops");
    w.o[1] = shs_str_of("dev");
    w.cert.organization_count = 2;
    w.ou[0] = shs_str_of("night");
    w.cert.unit_count = 1;
    with_san(&w, SHS_SAN_DNS, "a.ops.test");
    with_san(&w, SHS_SAN_EMAIL, "alice@corp.test");
    with_san(&w, SHS_SAN_IP, "2001:db8::1");
    expect_role("map cn alice ca corp admin", &w, "admin");
    expect_role("map cn \"alice\" ca any admin", &w, "admin");
    expect_role("map cn Alice ca corp admin", &w, "");
    expect_role("map cn alice ca other admin", &w, "");
    expect_role("map o ops ca corp admin", &w, "admin");
    expect_role("map o dev ca corp admin", &w, "admin");
    expect_role("map o dev o ops ca corp admin", &w, "admin");
    expect_role("map o night ca corp admin", &w, "");
    expect_role("map ou night ca corp admin", &w, "admin");
    expect_role("map ou night o none ca corp admin", &w, "");
    expect_role("map dns a.ops.test ca corp admin", &w, "admin");
    expect_role("map dns *.ops.test ca corp admin", &w, "admin");
    expect_role("map dns *.*.ops.test ca corp admin", &w, "");
    expect_role("map dns *.test.test ca corp admin", &w, "");
    expect_role("map email alice@corp.test ca corp admin", &w, "admin");
    expect_role("map email *@corp.test ca corp admin", &w, "admin");
    expect_role("map email *@corp.tes ca corp admin", &w, "");
    expect_role("map ip 2001:DB8:0::1 ca corp admin", &w, "admin");
    expect_role("map serial 0x1F3A ca corp admin", &w, ""); /* another CA has issued it */
    expect_role("deny serial 0x1F3A ca corp\nmap cn alice ca corp admin", &w, "");
    expect_role("deny serial 0x1F3B ca corp\nmap cn alice ca corp admin", &w, "admin");
    expect_role("map cn bob dns a.ops.test ca corp admin", &w, ""); /* whichever finds the line */
    expect_role("map dns a.ops.test cn bob ca corp admin", &w, "");
    expect_role("map any ca corp admin", &w, "admin");
    expect_role("map any ca other admin", &w, "");
    expect_role("map any ca any admin", &w, "admin");
    expect_role("map anyone admin", &w, "admin");
    expect_role("map uid 0 admin", &w, "");
    expect_role("map user alice admin", &w, "");
    w.cert.ca_spki_sha256 = (const char(*)[65]) & w.cas[1]; /* corp itself */
    w.cert.ca_count = 1;
    expect_role("map serial 1f3a ca corp admin", &w, "admin");
}

static void test_keys(void **state)
{
    struct who w;

    (void)state;
    with_cert(&w, NULL);
    memset(w.cert.spki_sha256, '0', 64);
    expect_role("map spki sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= admin", &w, "admin");
    expect_role("map spki "
                "0000000000000000000000000000000000000000000000000000000000000000 ca corp admin",
                &w, "admin");
    expect_role("map cert "
                "EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE admin",
                &w, "admin");
    expect_role("deny spki sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nmap any ca corp "
                "admin",
                &w, "");
}

static void test_uris(void **state)
{
    struct who w;

    (void)state;
    with_san(with_cert(&w, NULL), SHS_SAN_URI, "spiffe://corp.test/ns/ops/sa/build");
    w.cert.spiffe_id = w.sans[0].value;
    expect_role("map uri spiffe://corp.test/ns/ops/sa/build ca corp admin", &w, "admin");
    expect_role("map uri spiffe://corp.test/ns/ops/sa/* ca corp admin", &w, "admin");
    expect_role("map uri spiffe://corp.test/ns/*/sa/build ca corp admin", &w, "admin");
    expect_role("map uri spiffe://corp.test/** ca corp admin", &w, "admin");
    expect_role("map uri spiffe://corp.test/ns/* ca corp admin", &w, "");
    expect_role("map uri spiffe://corp.test/ns/ops/sa/build/** ca corp admin", &w, "");
    expect_role("map uri spiffe://corp.tes/** ca corp admin", &w, "");
    expect_role("map uri spiffe://corp.test/** ca other admin", &w, "");
    /* As the second condition of a line a pattern decides likewise. */
    w.cert.common_name = shs_str_of("alice");
    expect_role("map cn alice uri spiffe://corp.test/ns/*/sa/build ca corp admin", &w, "admin");
    expect_role("map cn alice uri spiffe://corp.test/** ca corp admin", &w, "admin");
    expect_role("map cn alice uri spiffe://corp.test/ns/*/sa/deploy ca corp admin", &w, "");
    expect_role("map cn alice uri spiffe://corp.test/ns/*/sa/build/* ca corp admin", &w, "");
    expect_role("map cn alice uri spiffe://corp.test/ns/*/sa ca corp admin", &w, "");
    expect_role("map cn alice uri spiffe://corp.test/ns/*/sa/build/** ca corp admin", &w, "");
    expect_role("map cn bob uri spiffe://corp.test/** ca corp admin", &w, "");
}

static void test_processes_and_users(void **state)
{
    struct who w;

    (void)state;
    with_process(&w, 1000, 100, 27);
    expect_role("map uid 1000 admin", &w, "admin");
    expect_role("map uid 0100 admin", &w, "");
    expect_role("map uid root admin", &w, "");
    expect_role("map gid 100 admin", &w, "admin");
    expect_role("map gid 27 admin", &w, "admin");
    expect_role("map gid 28 admin", &w, "");
    expect_role("map uid 1000 gid 27 admin", &w, "admin");
    expect_role("map any ca any admin", &w, "");
    expect_role("deny gid 27\nmap uid 1000 admin", &w, "");
    w.identity.group_cut = true;
    expect_role("map uid 1000 admin", &w, "");
    w.identity.group_cut = false;
    w.identity.user = shs_str_of("bob");
    expect_role("map uid 1000 user bob admin", &w, "admin");
    expect_role("map uid 1000 user eve admin", &w, "");
    expect_role("map user eve uid 1000 admin", &w, "");
    with_process(&w, 0, 0, 0);
    expect_role("map uid root admin", &w, "admin");
    with_user(&w, "bob");
    expect_role("map user bob admin", &w, "admin");
    expect_role("map user bo admin", &w, "");
    expect_role("map uid 0 admin", &w, ""); /* who has no process is not root */
}

/* Whatever the rules say. */
static void test_identities_that_are_none(void **state)
{
    struct who w;

    (void)state;
    with_cert(&w, "alice")->cert.verified = false;
    expect_role("map cn alice ca any admin", &w, "");
    expect_role("map any ca any admin", &w, "");
    with_cert(&w, "alice")->cert.is_ca = true;
    expect_role("map cn alice ca any admin", &w, "");
    expect_role("map anyone admin", &w, "");
    with_cert(&w, NULL);
    expect_role("map cn alice ca any admin", &w, "");
    with_cert(&w, "mallory"); /* what stands in another attribute is not in this one */
    w.o[0] = shs_str_of("ops/CN=admin");
    w.cert.organization_count = 1;
    w.cert.subject = shs_str_of("CN=mallory,O=ops/CN=admin");
    expect_role("map cn admin ca any admin", &w, "");
    with_cert(&w, NULL)->cert.common_name = (struct shs_str){"alice\0x", 7};
    expect_role("map cn alice ca any admin", &w, "");
}

/* Of several nothing is taken; and what may be denied is kept out. */
static void test_several_that_a_proxy_says(void **state)
{
    struct who w;

    (void)state;
    with_user(&w, NULL);
    w.identity.via = shs_str_of("10.0.0.5");
    w.identity.via_cert = shs_str_of(KEY_A);
    expect_role("map via 10.0.0.5 via-cert " KEY_A " admin", &w, "admin");
    expect_role("deny via-uri a:b\nmap via 10.0.0.5 via-cert " KEY_A " admin", &w, "admin");
    expect_role("map via 10.0.0.6 via-cert " KEY_A " admin", &w, "");
    expect_role("map via-cert " KEY_A " via 10.0.0.6 admin", &w, "");
    expect_role("map via-cert " KEY_B " via 10.0.0.5 admin", &w, "");
    w.identity.via_uri_cut = true;
    expect_role("map via 10.0.0.5 via-cert " KEY_A " admin", &w, "admin");
    expect_role("deny via-dns a\nmap via 10.0.0.5 via-cert " KEY_A " admin", &w, "admin");
    expect_role("deny via-uri a:b\nmap via 10.0.0.5 via-cert " KEY_A " admin", &w, "");
    expect_role("deny via-uri a:/b/*\nmap via 10.0.0.5 via-cert " KEY_A " admin", &w, "");
    expect_role("deny via 10.0.0.5 via-uri a:b\nmap anyone admin", &w, "");
    w.identity.via_uri_cut = false;
    w.identity.via_dns_cut = true;
    expect_role("deny via-uri a:b\nmap via 10.0.0.5 via-cert " KEY_A " admin", &w, "admin");
    expect_role("deny via-dns a\nmap via 10.0.0.5 via-cert " KEY_A " admin", &w, "");
}

static void test_the_first_that_fits_decides(void **state)
{
    struct shs_access_rules *rules =
        rules_of(CAS ROLES "map uri spiffe://corp.test/ns/a ca corp operator # the narrower one\n"
                           "deny cn eve\n"
                           "map uri spiffe://corp.test/** ca corp viewer\n"
                           "map cn alice ca corp admin\n");
    struct shs_access_decision d;
    struct who w;

    (void)state;
    with_san(with_cert(&w, "alice"), SHS_SAN_URI, "spiffe://corp.test/ns/a");
    d = decide(rules, &w, "POST", "/admin/v1/drain");
    assert_true(d.allowed);
    assert_int_equal(d.line, 6);
    assert_string_equal(d.role, "operator");
    assert_string_equal(d.need, "operator");
    assert_string_equal(d.ca, "corp");
    assert_string_equal(d.rule, "map uri spiffe://corp.test/ns/a ca corp operator");
    w.sans[0].value = shs_str_of("spiffe://corp.test/ns/b");
    d = decide(rules, &w, "POST", "/admin/v1/drain");
    assert_false(d.allowed);
    assert_int_equal(d.line, 8);
    assert_string_equal(d.role, "viewer");
    assert_string_equal(d.need, "operator");
    w.cert.common_name = shs_str_of("eve");
    d = decide(rules, &w, "GET", "/admin/v1/drain");
    assert_false(d.allowed);
    assert_int_equal(d.line, 7);
    assert_string_equal(d.role, "");
    assert_string_equal(d.rule, "deny cn eve");
    w.cert.san_count = 0;
    w.cert.common_name = shs_str_of("fred");
    d = decide(rules, &w, "GET", "/elsewhere");
    assert_int_equal(d.line, 0);
    assert_string_equal(d.need, "");
    assert_string_equal(d.rule, "no rule fits");
    shs_access_free(rules);
}

/* -- what a role may --------------------------------------------------------------------------- */

static void test_paths_and_methods(void **state)
{
    static const struct {
        const char *role, *method, *path;
        bool allowed;
        const char *need;
    } cases[] = {
        {"viewer", "GET", "/admin/v1/whoami", true, "viewer"},
        {"viewer", "HEAD", "/admin/v1/whoami", true, "viewer"},
        {"viewer", "get", "/admin/v1/whoami", false, "admin"},
        {"viewer", "GET", "/admin/v1/", true, "viewer"},
        {"viewer", "GET", "/admin/v1", false, ""},
        {"viewer", "GET", "/admin/v1/a/b/c", true, "viewer"},
        {"viewer", "POST", "/admin/v1/drain", false, "operator"},
        {"operator", "POST", "/admin/v1/drain", true, "operator"},
        {"operator", "POST", "/admin/v1/undrain", true, "operator"},
        {"operator", "POST", "/admin/v1/drain/", false, "admin"},
        {"operator", "POST", "/admin/v1/connections/7/close", true, "operator"},
        {"operator", "POST", "/admin/v1/connections//close", false, ""},
        {"operator", "POST", "/admin/v1/connections/7/8/close", false, "admin"},
        {"operator", "GET", "/admin/v1/whoami", true, "viewer"},
        {"operator", "DELETE", "/admin/v1/x", false, "admin"},
        {"admin", "DELETE", "/admin/v1/x", true, "admin"},
        {"admin", "PROPFIND", "/admin/v1/x", true, "admin"},
        {"admin", "GET", "/admin/v2/x", false, ""},
        {"admin", "GET", "/Admin/v1/x", false, ""},
        {"admin", "OPTIONS", "*", false, ""},
        {"admin", "GET", "", false, ""},
    };
    struct shs_access_rules *rules = rules_of(ROLES "map user viewer viewer\n"
                                                    "map user operator operator\n"
                                                    "map user admin admin\n");
    struct who w;

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs_access_decision d =
            decide(rules, with_user(&w, cases[i].role), cases[i].method, cases[i].path);

        if (d.allowed != cases[i].allowed || strcmp(d.need, cases[i].need) != 0)
            fail_msg("%s %s as %s: %d, need %s", cases[i].method, cases[i].path, cases[i].role,
                     d.allowed, d.need);
        assert_string_equal(d.role, cases[i].role);
    }
    shs_access_free(rules);
}

/* Each is either the path itself, as its letters are encoded, or nothing. */
static void test_encodings_reach_no_other_rule(void **state)
{
    static const char *const nothing[] = {"/public/../secret",
                                          "/public/%2e%2e/secret",
                                          "/public/.%2e/secret",
                                          "/public/%2E./secret",
                                          "/public//secret",
                                          "//public/x",
                                          "/public/./x",
                                          "/public/%2e/x",
                                          "/./public/x",
                                          "/public/..%2fsecret",
                                          "/public/%2e%2e%2fsecret",
                                          "/public/x%2f..%2f..%2fsecret",
                                          "/public/x%00",
                                          "/public/%",
                                          "/public/%2",
                                          "/public/%zz",
                                          "/public/..",
                                          "/public/.",
                                          "/public/%2e%2e",
                                          "/public/x/..",
                                          "/public/x#/../../secret",
                                          "public/x",
                                          "xpublic/x",
                                          "/public/a/./b",
                                          "/../secret",
                                          "/%2e%2e/public/x",
                                          "/public/x/%2e%2e/%2e%2e/secret",
                                          "/public%2fx",
                                          "/publi%63%2fx",
                                          "/public%5cx",
                                          "/public\\x",
                                          "/PUBLIC/x",
                                          "/public;a=b/x",
                                          "/public%20/x",
                                          "/public%09/x",
                                          "/%70ublic%2e/x",
                                          "/public./x",
                                          "/secret",
                                          "/%73ecret",
                                          "/secret/x",
                                          "/public/%2e%2e%5csecret/..",
                                          "/public/%252e%252e/../x"};
    static const char *const same[] = {
        "/public/x",   "/%70ublic/x",        "/p%75blic/%78",     "/%70%75%62%6c%69%63/x",
        "/public/%78", "/public/%252e%252e", "/public/x%2fy",     "/public/x;a=b",
        "/public/...", "/public/..x",        "/public/%5c..%5cx", "/public/"};
    struct shs_access_rules *rules =
        rules_of("role reader GET /public/**\nrole other GET /secret/**\nmap anyone reader\n");
    struct who w;

    (void)state;
    with_user(&w, "x");
    for (size_t i = 0; i < SHS_ARRAY_LEN(nothing); i++) {
        if (decide(rules, &w, "GET", nothing[i]).allowed)
            fail_msg("'%s' is let in", nothing[i]);
    }
    assert_false(decide(rules, &w, "GET", NULL).allowed);
    for (size_t i = 0; i < SHS_ARRAY_LEN(same); i++) {
        if (!decide(rules, &w, "GET", same[i]).allowed)
            fail_msg("'%s' is kept out", same[i]);
    }
    /* With an encoded letter a path has 4,096 bytes; without one it is not decoded. */
    for (size_t len = 4095; len <= 4097; len++) {
        char *path = many("/public/%78", "x", (unsigned)len - 11, "");

        assert_int_equal(decide(rules, &w, "GET", path).allowed, len <= 4096);
        memcpy(path + 8, "xxx", 3);
        assert_true(decide(rules, &w, "GET", path).allowed);
        shs__free(path);
    }
    shs_access_free(rules);
}

/* -- what is refused when it is read ----------------------------------------------------------- */

static void test_faults(void **state)
{
    static const char nul[] = CAS ROLES "map uid 0 admin\0map anyone admin\n";
    struct shs_access_rules *rules = NULL;
    struct shs_error err;

    (void)state;
    expect_fault("", "nobody would be let in");
    expect_fault(ROLES, "nobody would be let in");
    expect_fault(ROLES "deny uid 0\n", "nobody would be let in");
    expect_fault("roles x\n", "r:1: a line begins with ca, role, map or deny, not with 'roles'");
    expect_fault(ROLES "map colour red admin\n", "r:4: 'colour' is not a condition");
    expect_fault(ROLES "map uid 0 boss\n", "r:4: there is no role 'boss'");
    expect_fault(ROLES "map uid admin\n", "no value after it, or the role is missing");
    expect_fault(ROLES "map admin\n", "'map CONDITION");
    expect_fault(ROLES "map cn alice ca none admin\n", "there is no CA 'none'");
    expect_fault(ROLES "map cn alice admin\n", "add 'ca NAME'");
    expect_fault(CAS ROLES "map any admin\n", "add 'ca NAME'");
    expect_fault(CAS ROLES "map uid 0 ca corp admin\n", "asks for nothing of one");
    expect_fault(CAS ROLES "map serial 1f ca any admin\n", "a serial number needs the CA");
    expect_fault(CAS ROLES "deny serial 1f\nmap uid 0 admin\n", "a serial number needs the CA");
    expect_fault(CAS ROLES "map cn alice ca corp ca other admin\n", "'ca' twice");
    expect_fault(CAS ROLES "map cn alice cn bob ca corp admin\n", "'cn' twice");
    expect_fault(CAS ROLES "map o a o a ca corp admin\n", "'o' twice");
    expect_fault(ROLES "map anyone uid 0 admin\n", "nothing stands beside it");
    expect_fault(CAS ROLES "map any cn alice ca corp admin\n", "stands beside it");
    expect_fault(ROLES "map uid -1 admin\n", "no uid");
    expect_fault(ROLES "map uid 4294967295 admin\n", "no uid");
    expect_fault(ROLES "map uid no-such-user admin\n", "no user 'no-such-user'");
    expect_fault(ROLES "map gid no-such-group admin\n", "no group 'no-such-group'");
    expect_fault(ROLES "map spki abc admin\n", "not a SHA-256 digest");
    expect_fault(ROLES "map spki sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB= admin\n",
                 "not a SHA-256 digest");
    expect_fault(CAS ROLES "map serial xyz ca corp admin\n", "not a serial number");
    expect_fault(CAS ROLES "map ip 1.2.3 ca corp admin\n", "not an IP address");
    expect_fault(CAS ROLES "map cn \"\" ca corp admin\n", "empty value");
    expect_fault(CAS ROLES "map cn \"alice ca corp admin\n", "a \" is missing");
    expect_fault(CAS ROLES "map cn al\"ice ca corp admin\n", "put the whole word in quotes");
    expect_fault(CAS ROLES "map cn \"al\\ice\" ca corp admin\n", "stands before");
    expect_fault(CAS ROLES "map cn \"a\tb\" ca corp admin\n", "control character, 0x09");
    expect_fault(CAS ROLES "map cn a\001b ca corp admin\n",
                 "control character, 0x01, is in a word");
    expect_fault(CAS ROLES "map cn \"alice\"ca corp admin\n", "a space is missing");
    expect_fault(CAS ROLES "map ca corp admin\n", "has no condition");
    expect_fault(CAS ROLES "map spki *A= admin\n", "not a SHA-256 digest");
    expect_fault(CAS ROLES "map spki sha256:AAAAAAAAAAAAAAAAAAAAA*AAAAAAAAAAAAAAAAAAAAA= admin\n",
                 "not a SHA-256 digest");
    expect_fault(ROLES "map uid 0 via-cn alice admin\n", "add 'via ADDRESS'");
    expect_fault(ROLES "map via 10.0.0.1 admin\n", "'via' names the proxy");
    expect_fault("ca corp spki " KEY_A "\nca corp spki " KEY_B "\n",
                 "r:2: the CA 'corp' already exists: r:1");
    expect_fault("ca corp file /no/such/file\n", "r:1: ");
    expect_fault("ca corp key x\n", "'ca NAME file FILE");
    expect_fault("ca corp spki\n", "'ca NAME file FILE");
    expect_fault(CAS ROLES "map serial 1 serial 2 ca corp admin\n", "'serial' twice");
    expect_fault(CAS ROLES "map spki " KEY_A " spki " KEY_B " admin\n", "'spki' twice");
    expect_fault(CAS ROLES "map cert " KEY_A " cert " KEY_B " admin\n", "'cert' twice");
    expect_fault(ROLES "map uid 1 uid 2 admin\n", "'uid' twice");
    expect_fault(ROLES "map user a user b admin\n", "'user' twice");
    expect_fault(ROLES "map via unix via 10.0.0.1 via-cn a admin\n", "'via' twice");
    expect_fault(ROLES "map via unix via-cn a via-cn b admin\n", "'via-cn' twice");
    expect_fault(CAS ROLES "map o a o b o c o d ou a ou b ou c ou d cn a ca corp admin\n",
                 "at most 8 conditions");
    shs_access_free(rules_of(CAS ROLES "map o a o b o c o d ou a ou b ou c ou d ca corp admin\n"));
    expect_fault("ca any spki " KEY_A "\n", "'any' is not the name of a CA");
    assert_int_equal(shs_access_new_text(&rules, "r", (struct shs_str){nul, sizeof nul - 1}, &err),
                     SHS_USAGE);
    assert_non_null(strstr(err.text, "NUL"));
}

/* What would admit every certificate of a CA is said outright. */
static void test_wildcards_that_admit_everybody(void **state)
{
    static const char *const all[] = {"cn *",
                                      "cn **",
                                      "o *",
                                      "ou *",
                                      "dns *",
                                      "dns *.*",
                                      "dns *.test",
                                      "email *",
                                      "email *@*",
                                      "uri *",
                                      "uri **",
                                      "uri spiffe://**",
                                      "uri spiffe://*/**",
                                      "uri */**",
                                      "ip *",
                                      "serial *"};
    char text[512];

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        snprintf(text, sizeof text, CAS ROLES "map %s ca corp admin\n", all[i]);
        expect_fault(text, "would fit every certificate of a CA");
    }
    expect_fault(CAS ROLES "map cn al* ca corp admin\n", "no patterns for it");
    expect_fault(CAS ROLES "map dns a*.b.test ca corp admin\n", "a whole segment");
    expect_fault(CAS ROLES "map dns **.b.test ca corp admin\n", "the rest of a path or a URI");
    expect_fault(CAS ROLES "map uri spiffe://a/**/b ca corp admin\n", "at its end");
    expect_fault(CAS ROLES "map uri spiffe://a/../b ca corp admin\n", "not a SPIFFE ID");
    expect_fault(CAS ROLES "map uri spiffe://a/ns/../** ca corp admin\n", "not a SPIFFE ID");
    expect_fault(CAS ROLES "map uri spiffe://a/%2e%2e/b ca corp admin\n", "not a SPIFFE ID");
    expect_fault(CAS ROLES "deny uri spiffe://a/b/\n", "not a SPIFFE ID");
    expect_fault(CAS ROLES "map via 10.0.0.1 via-uri spiffe://a//b admin\n", "not a SPIFFE ID");
    expect_fault(ROLES "map user * admin\n", "'anyone' is everybody");
}

/* The text names both places. */
static void test_lines_that_can_never_decide(void **state)
{
    static const struct {
        const char *lines, *above;
    } cases[] = {
        {"map uid 0 admin\nmap uid 0 viewer\n", "r:7: this rule can never decide: r:6 "},
        {"map uid 0 admin\nmap uid root viewer\n", "r:7: this rule can never decide: r:6 "},
        {"map anyone viewer\nmap uid 0 admin\n", "r:7: this rule can never decide: r:6 "},
        {"deny anyone\nmap uid 0 admin\n", "r:6 "},
        {"map any ca corp viewer\nmap cn a ca corp admin\n", "r:6 "},
        {"map any ca any viewer\nmap cn a ca corp admin\n", "r:6 "},
        {"map any ca any viewer\nmap any ca corp admin\n", "r:6 "},
        {"map cn a ca any viewer\nmap cn a ca corp admin\n", "r:6 "},
        {"map cn a ca corp viewer\nmap uid 1 admin\nmap cn a ou b ca corp admin\n", "r:6 "},
        {"map ou b ca corp viewer\nmap cn a ou b ca corp admin\n", "r:6 "},
        {"map uri s://a/* ca corp viewer\nmap uri s://a/b ca corp admin\n", "r:6 "},
        {"map uri s://a/** ca corp viewer\nmap uri s://a/b/* ca corp admin\n", "r:6 "},
        {"map uri s://a/** ca any viewer\nmap uri s://a/* ca corp admin\n", "r:6 "},
        {"map dns *.b.c ca corp viewer\nmap dns a.b.c ca corp admin\n", "r:6 "},
        {"deny spki " KEY_A "\nmap spki " KEY_A " admin\n", "r:6 "},
        {"deny serial 1f ca corp\nmap serial 0x001F ca corp admin\n", "r:6 "},
        {"map uri s://a/*/c ca corp viewer\nmap uri s://a/b/* ca corp admin\n",
         "r:7: this pattern and that of r:6 overlap"},
        {"map uri s://a/*/c ca corp viewer\nmap uri s://a/b/** ca any admin\n",
         "r:7: this pattern and that of r:6 overlap"},
        {"map uri s://a/b/** ca any viewer\nmap uri s://a/*/c ca corp admin\n",
         "r:7: this pattern and that of r:6 overlap"},
        {"map uri s://a/*/b ca corp viewer\nmap uri s://a/*/b ca corp admin\n", "r:6 "},
    };
    static const char *const fine[] = {
        "map uri s://a/b ca corp admin\nmap uri s://a/* ca corp viewer\n",
        "map cn a ou b ca corp admin\nmap cn a ca corp viewer\n",
        "map cn a ca corp admin\nmap cn a ca any viewer\nmap any ca corp viewer\n",
        "map cn a ca corp admin\nmap cn a ca other viewer\n",
        "map uri s://a/*/c ca corp viewer\nmap uri s://a/b/* ca other admin\n",
        "map uri s://a/*/c ca corp viewer\nmap uri s://b/x/* ca corp admin\n",
        "map uri s://a/b/** ca corp viewer\nmap uri s://a/b ca corp admin\n",
        "map uri s://a/* ca corp admin\nmap uri s://a/*/b ca corp viewer\n",
        "map cn x uri s://a/*/** ca corp viewer\nmap cn x uri s://a/* ca corp admin\n",
        "map uri s://a/* ca corp viewer\nmap uri s://a/** ca corp admin\n",
        "map cn x uri s://a/* ca corp viewer\nmap cn x uri s://a/*/b ca corp admin\n",
        "map cn x uri s://a/b/* ca corp viewer\nmap cn x uri s://a/c/* ca corp admin\n",
        /* the first two lines make cn the key under which the next are found */
        ("map o b cn y ca corp viewer\nmap o b cn z ca corp viewer\n"
         "map cn a o b ca corp viewer\nmap cn a ou b ca corp admin\n"),
        "map uri s://a/*/c dns *.b.c ca corp viewer\nmap uri s://a/b/* ca corp admin\n",
        "map uri s://a/*/c ca corp viewer\nmap uri s://a/b/* cn x ca corp admin\n",
        "map any ca any viewer\nmap uid 0 admin\n",
        "map serial 1f ca corp admin\ndeny serial 1f ca corp\n",
        "map uid 0 admin\nmap uid 1 admin\nmap gid 0 viewer\nmap anyone viewer\n",
    };
    char text[1024];

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        snprintf(text, sizeof text, CAS ROLES "%s", cases[i].lines);
        expect_fault(text, cases[i].above);
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(fine); i++) {
        snprintf(text, sizeof text, CAS ROLES "%s", fine[i]);
        shs_access_free(rules_of(text));
    }
}

static void test_faults_of_roles(void **state)
{
    (void)state;
    expect_fault("role a GET /x\nrole a GET /y\n", "r:2: the role 'a' already exists: r:1");
    expect_fault("role a b + GET /x\n", "no role 'b' above");
    expect_fault("role a a + GET /x\n", "no role 'a' above");
    expect_fault("role a GET /x\nrole b GET /y + a + a\n", "the role a twice");
    expect_fault("role a\n", "'role NAME TERM");
    expect_fault("role a/b GET /x\n", "not a name for a role");
    expect_fault("role a get /x\n", "'get' is not a method");
    expect_fault("role a GET,GET /x\n", "a method twice");
    expect_fault("role a GET,* /x\n", "not a method");
    expect_fault("role a GET x\n", "does not begin with '/'");
    expect_fault("role a GET /a%20b\n", "is encoded");
    expect_fault("role a GET /a//b\n", "no request reaches");
    expect_fault("role a GET /a/../b\n", "no request reaches");
    expect_fault("role a GET /a#b\n", "no request reaches");
    expect_fault("role a GET /a/**/b\n", "at its end");
    expect_fault("role a GET /a/b*\n", "a whole segment");
    expect_fault("role a GET /{a,b\n", "without the other");
    expect_fault("role a GET /a}\n", "without the other");
    expect_fault("role a GET /{a,}\n", "an empty alternative");
    expect_fault("role a GET /x{y}\n", "a whole segment");
    expect_fault("role a GET /x + GET /x\n", "role a has a path twice: r:1");
    expect_fault("role a GET /x/* + GET /x/y\n", "role a has a path twice: r:1");
    expect_fault("role a GET /x/*/z + GET /x/y/*\n", "role a has a path twice: r:1");
    expect_fault("role a GET,POST /x/** + POST,PUT /x/{y}\n", "role a has a path twice");
    expect_fault("role a GET /{x,x}\n", "role a has a path twice");
    expect_fault("role a GET /x/**\nrole b a + GET /x/y\n",
                 "role b has a path twice: r:1 (role a)");
    expect_fault("role a GET /x + + GET /y\n", "between '+'");
    expect_fault("role a GET /x y\n", "between '+'");
    expect_fault("role \"\" GET /x\n", "not a name for a role");
    shs_access_free(rules_of("role a GET /x/y\nrole b a + GET /x/{z}\nrole c b\nmap uid 0 c\n"));
    expect_fault("role a GET /{}\n", "a whole segment");
    expect_fault("role a GET /x/{y}z\n", "a whole segment");
    expect_fault("role a GET {x}\n", "a whole segment");
    shs_access_free(rules_of("role a GET /x/** + POST /x/y\nrole b a + * /x/** + GET /y/{z...}\n"
                             "role c GET /x/y # of another role\nmap uid 0 b\n"));
    shs_access_free(rules_of("deny anyone\n"));
}

/* Whatever has a ceiling: as many as it allows are taken, and one more is refused. */
static void test_ceilings(void **state)
{
    static const struct {
        const char *head, *each;
        unsigned most;
        const char *tail, *fault;
    } all[] = {
        {"", "ca c# spki " KEY_A "\n", SHS_ACCESS_CAS, "map any ca any a\n", "more than 64 CAs"},
        {"", "role r# GET /x\n", SHS_ACCESS_ROLES - 1, "", "more than 64 roles"},
        {"role b GET /x", " + M# /y", SHS_ACCESS_METHODS - 1, "\n", "more than 31 methods"},
        {"role b GET", ",M#", SHS_ACCESS_SEGMENTS - 2, " /x\n", "more than 31 methods"},
        {"role b", "x", SHS_ACCESS_NAME_MAX - 1, " GET /x\n", "not a name for a role"},
        {"", "role r# GET /{a,b}/{a,b}/{a,b}/{a,b}/{a,b}/{a,b}/{a,b}/{a,b}/{a,b}\n", 39, "",
         "more than 20000 paths"},
        {"role b GET /x", " + GET /#", 340, "\n", "more than 1024 words"},
        {"role b GET ", "/s#", SHS_ACCESS_SEGMENTS, "\n", "more than 32 segments"},
        {"", "map user u# a\n", SHS_ACCESS_RULES, "", "more than 100000 rules"},
        {"role b GET ", "/{a,b}", 9, "\n", "more than 1000 paths"},
        {"map user ", "u", 4096, " a\n", "longer than 4096 bytes"},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        char head[128], tail[64];
        struct shs_access_rules *rules = NULL;
        struct shs_error err = {.text = ""};
        char *text;

        snprintf(head, sizeof head, "role a GET /a\n%s", all[i].head);
        text = many(head, all[i].each, all[i].most, all[i].tail);
        snprintf(tail, sizeof tail, "%s%s", all[i].tail,
                 strstr(text, "map ") == NULL ? "map user u a\n" : ""); /* somebody is let in */
        shs__free(text);
        text = many(head, all[i].each, all[i].most, tail);
        if (shs_access_new_text(&rules, "r", shs_str_of(text), &err) != SHS_OK)
            fail_msg("%zu: %s", i, err.text);
        shs_access_free(rules);
        shs__free(text);
        text = many(head, all[i].each, all[i].most + 1, all[i].tail);
        expect_fault(text, all[i].fault);
        shs__free(text);
    }
    {
        char *text = many("role a GET", ",M#", SHS_ACCESS_SEGMENTS, " /x\n");

        expect_fault(text, "too many methods");
        shs__free(text);
    }
}

/* Of all CAs together: as many keys as there may be, in lines of a thousand, and one more. */
static void test_keys_of_cas(void **state)
{
    struct shs_buf text;

    (void)state;
    shs__buf_init(&text, SHS_ACCESS_FILE_MAX);
    for (unsigned i = 0; i <= SHS_ACCESS_CA_KEYS; i++) {
        if (i % 1000 == 0)
            assert_int_equal(shs__buf_printf(&text, "\nca c%u spki", i / 1000), SHS_OK);
        if (i == SHS_ACCESS_CA_KEYS) {
            struct shs_buf whole;

            shs__buf_init(&whole, SHS_ACCESS_FILE_MAX);
            assert_int_equal(shs__buf_printf(&whole, "%.*s\nrole a GET /a\nmap any ca any a\n",
                                             (int)text.len, (const char *)shs__buf_head(&text)),
                             SHS_OK);
            assert_int_equal(shs__buf_append(&whole, "", 1), SHS_OK);
            shs_access_free(rules_of(shs__buf_head(&whole)));
            shs__buf_free(&whole);
        }
        assert_int_equal(shs__buf_printf(&text, " %064x", i), SHS_OK);
    }
    assert_int_equal(shs__buf_append(&text, "\n", 2), SHS_OK);
    expect_fault(shs__buf_head(&text), "more than 4096 keys");
    shs__buf_free(&text);
}

/* A request's path of more segments than a pattern can have: nobody has looked at the last ones. */
static void test_a_path_of_many_segments(void **state)
{
    struct shs_access_rules *rules = rules_of("role a GET /**\nmap user u a\n");
    struct who w;

    (void)state;
    with_user(&w, "u");
    for (unsigned count = SHS_ACCESS_SEGMENTS - 1; count <= SHS_ACCESS_SEGMENTS + 2; count++) {
        char *path = many("", "/s", count, "");

        assert_int_equal(decide(rules, &w, "GET", path).allowed, count <= SHS_ACCESS_SEGMENTS);
        shs__free(path);
    }
    shs_access_free(rules);
}

static void test_lines_and_words(void **state)
{
    struct shs_access_rules *rules = rules_of("# a comment\r\n"
                                              "role a \\\n"
                                              "   GET /x \\\r\n"
                                              "   + POST \"/y z\" # to the end\n"
                                              "\n"
                                              "map user \"a \\\"b\\\" \\\\c\" a\r\n"
                                              "map user last a");
    struct shs_access_decision d;
    struct who w;

    (void)state;
    d = decide(rules, with_user(&w, "a \"b\" \\c"), "POST", "/y%20z");
    assert_true(d.allowed);
    assert_int_equal(d.line, 6);
    d = decide(rules, with_user(&w, "last"), "GET", "/x");
    assert_true(d.allowed);
    assert_int_equal(d.line, 7);
    shs_access_free(rules);
}

/* -- reload ------------------------------------------------------------------------------------ */

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

struct asker {
    struct shs_access_rules *rules;
    atomic_bool stop;
    atomic_int bad, asked;
};

/* The old rules or the new ones: never a role of one with a line of the other. */
static void *ask(void *arg)
{
    struct asker *a = arg;
    struct who w;

    with_user(&w, "bob");
    while (!atomic_load(&a->stop)) {
        struct shs_access_decision d = decide(a->rules, &w, "GET", "/x");
        bool old = d.allowed && d.line == 2 && strcmp(d.role, "old") == 0;
        bool new = !d.allowed &&d.line == 4 && strcmp(d.role, "new") == 0;

        atomic_fetch_add(&a->bad, old || new ? 0 : 1);
        atomic_fetch_add(&a->asked, 1);
    }
    return NULL;
}

static void test_reload_while_requests_are_decided(void **state)
{
    char dir[] = "/tmp/shs-access-XXXXXX", path[64];
    struct asker a = {.rules = NULL};
    struct shs_access_counts counts;
    struct shs_error err;
    pthread_t threads[3];

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/rules", dir);
    write_file(path, "role old GET /x\nmap user bob old\n");
    assert_int_equal(shs_access_new(&a.rules, path, &err), SHS_OK);
    for (size_t i = 0; i < SHS_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &a), 0);
    for (int i = 0; i < 50; i++) {
        write_file(path, "role first GET /z\nrole new GET /y\n\nmap user bob new\n");
        assert_int_equal(shs_access_reload(a.rules, &err), SHS_OK);
        write_file(path, "role old GET /x\nmap user bob boss\n");
        assert_int_equal(shs_access_reload(a.rules, &err), SHS_USAGE);
        assert_non_null(strstr(err.text, "rules:2: there is no role 'boss'"));
        write_file(path, "role old GET /x\nmap user bob old\n");
        assert_int_equal(shs_access_reload(a.rules, &err), SHS_OK);
    }
    while (atomic_load(&a.asked) < 100)
        usleep(1000);
    atomic_store(&a.stop, true);
    for (size_t i = 0; i < SHS_ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&a.bad), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(shs_access_reload(a.rules, &err), SHS_IO);
    shs_access_count(a.rules, &counts);
    assert_int_equal(counts.rules, 1);
    assert_int_equal(counts.roles, 1);
    assert_int_equal(counts.grants, 1);
    assert_int_equal(counts.reloads, 100);
    assert_int_equal(counts.reload_failures, 51);
    shs_access_free(a.rules);
    assert_int_equal(rmdir(dir), 0);
}

/* In two steps: what was read counts with the commit, whatever has become of the file. */
static void test_draft(void **state)
{
    char dir[] = "/tmp/shs-test-XXXXXX", path[64];
    struct shs_access_rules *rules;
    struct shs_access_draft *draft, *none;
    struct shs_access_counts counts;
    struct shs_error err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/rules", dir);
    write_file(path, "role a GET /a\nmap anyone a\n");
    assert_int_equal(shs_access_new(&rules, path, &err), SHS_OK);
    write_file(path, "role a GET /a\nrole b GET /b\nmap anyone a\n");
    assert_int_equal(shs_access_draft_new(&draft, rules, false, &err), SHS_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(shs_access_draft_new(&none, rules, true, &err), SHS_IO);
    assert_null(none);
    shs_access_count(rules, &counts);
    assert_true(counts.roles == 1 && counts.reloads == 0 && counts.reload_failures == 0);
    shs_access_draft_commit(draft);
    shs_access_draft_free(draft);
    assert_int_equal(shs_access_draft_new(&none, rules, false, &err), SHS_IO);
    shs_access_draft_free(none);
    shs_access_count(rules, &counts);
    assert_true(counts.roles == 2 && counts.reloads == 1 && counts.reload_failures == 1);
    shs_access_free(rules);
    assert_int_equal(rmdir(dir), 0);
}

/* -- texts ------------------------------------------------------------------------------------- */

static void test_text_of_an_identity(void **state)
{
    char text[32];
    struct who w;

    (void)state;
    shs_identity_text(&with_cert(&w, "al\nice")->identity, text, sizeof text);
    assert_string_equal(text, "cn=al\\x0aice");
    with_san(with_cert(&w, NULL), SHS_SAN_DNS, "a.test");
    shs_identity_text(&w.identity, text, sizeof text);
    assert_string_equal(text, "dns=a.test");
    shs_identity_text(&with_process(&w, 7, 8, 9)->identity, text, sizeof text);
    assert_string_equal(text, "uid=7");
    shs_identity_text(&with_user(&w, "bob")->identity, text, sizeof text);
    assert_string_equal(text, "user=bob");
    shs_identity_text(&with_user(&w, NULL)->identity, text, sizeof text);
    assert_string_equal(text, "nobody");
    shs_identity_text(&with_user(&w, NULL)->identity, text, 4);
    assert_string_equal(text, "nob");
}

/* 10,000 lines, and each finds its own role. How fast: bench/README.md. */
static void test_ten_thousand_rules(void **state)
{
    struct shs_buf text;
    struct shs_access_rules *rules = NULL;
    struct shs_error err;
    char name[64], path[64];
    struct who w;

    (void)state;
    shs__buf_init(&text, (size_t)4 << 20);
    assert_int_equal(shs__buf_printf(&text, CAS "role a GET /a/**\nrole b GET /b/{x}/c\n"), SHS_OK);
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(shs__buf_printf(&text,
                                         "map cn user%u ca corp %s\n"
                                         "map uri spiffe://corp.test/%u/* ca corp %s\n",
                                         i, i % 2 == 0 ? "a" : "b", i, i % 3 == 0 ? "a" : "b"),
                         SHS_OK);
    assert_int_equal(
        shs_access_new_text(&rules, "r", (struct shs_str){shs__buf_head(&text), text.len}, &err),
        SHS_OK);
    shs__buf_free(&text);
    for (unsigned i = 0; i < 5000; i += 7) {
        struct shs_access_decision d;

        snprintf(name, sizeof name, "user%u", i);
        d = decide(rules, with_cert(&w, name), "GET", "/a/b");
        assert_int_equal(d.line, 5 + 2 * i);
        assert_int_equal(d.allowed, i % 2 == 0);
        snprintf(path, sizeof path, "spiffe://corp.test/%u/x", i);
        d = decide(rules, with_san(with_cert(&w, "none"), SHS_SAN_URI, path), "GET", "/b/x/c");
        assert_int_equal(d.line, 6 + 2 * i);
        assert_int_equal(d.allowed, i % 3 != 0);
    }
    shs_access_free(rules);
}

/* Each allocation fails once: it is said, nothing leaks, and the rules of before still decide. */
static void test_without_memory(void **state)
{
    static const char text[] = CAS ROLES "map cn a ou b ca corp admin\n"
                                         "map uri spiffe://corp.test/*/x ca corp viewer\n"
                                         "deny uid 7\nmap any ca other viewer\n";
    struct shs_access_rules *rules = NULL;
    struct shs_error err;
    long failed = 0;
    int rc = SHS_NOMEM;

    (void)state;
    while (rc == SHS_NOMEM) {
        arm(failed++);
        rc = shs_access_new_text(&rules, "r", shs_str_of(text), &err);
        (void)disarm();
        if (rc == SHS_NOMEM)
            assert_null(rules);
    }
    fail_in = -1;
    assert_int_equal(rc, SHS_OK);
    assert_true(failed > 10);
    shs_access_free(rules);
}

/* Of rules from memory the certificates of their CAs are what there is to be read again. */
static void test_rules_from_memory(void **state)
{
    char dir[] = "/tmp/shs-access-XXXXXX", path[64], text[200];
    struct shs_access_rules *rules;
    struct shs_access_draft *draft;
    struct shs_access_counts counts;
    struct shs_error err;
    struct shs_ca *ca;

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(shs_ca_new(&ca, NULL, &err), SHS_OK);
    snprintf(path, sizeof path, "%s/ca.pem", dir);
    write_file(path, shs_ca_pem(ca));
    shs_ca_free(ca);
    snprintf(text, sizeof text, "ca corp file \"%s\"\nrole r GET /x\nmap cn a ca corp r\n", path);
    assert_int_equal(shs_access_new_text(&rules, "inline", shs_str_of(text), &err), SHS_OK);
    memset(text, 'x', sizeof text); /* it was copied */
    assert_string_equal(shs_access_file(rules), "inline");
    assert_int_equal(shs_access_reload(rules, &err), SHS_OK);
    assert_int_equal(shs_access_draft_new(&draft, rules, false, &err), SHS_OK);
    shs_access_draft_commit(draft);
    shs_access_draft_free(draft);
    assert_int_equal(unlink(path), 0);
    assert_int_not_equal(shs_access_reload(rules, &err), SHS_OK);
    assert_non_null(strstr(err.text, "inline:1"));
    shs_access_count(rules, &counts);
    assert_int_equal(counts.reloads, 2);
    assert_int_equal(counts.reload_failures, 1);
    assert_int_equal(counts.rules, 1);
    shs_access_free(rules);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_attributes_of_a_certificate),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_uris),
        cmocka_unit_test(test_processes_and_users),
        cmocka_unit_test(test_identities_that_are_none),
        cmocka_unit_test(test_several_that_a_proxy_says),
        cmocka_unit_test(test_the_first_that_fits_decides),
        cmocka_unit_test(test_paths_and_methods),
        cmocka_unit_test(test_encodings_reach_no_other_rule),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_wildcards_that_admit_everybody),
        cmocka_unit_test(test_lines_that_can_never_decide),
        cmocka_unit_test(test_faults_of_roles),
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_keys_of_cas),
        cmocka_unit_test(test_a_path_of_many_segments),
        cmocka_unit_test(test_lines_and_words),
        cmocka_unit_test(test_reload_while_requests_are_decided),
        cmocka_unit_test(test_draft),
        cmocka_unit_test(test_text_of_an_identity),
        cmocka_unit_test(test_ten_thousand_rules),
        cmocka_unit_test(test_rules_from_memory),
    };

    if (!take_over_openssl())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
