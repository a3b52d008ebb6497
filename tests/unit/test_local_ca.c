#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "certs/local_ca.h"
#include "certs/minter.h"
#include "tls/config/context.h"

#define DAY ((int64_t)86400)
/* In the middle of a day of 2026, wherever the clock of the machine stands. */
#define NOW ((int64_t)1790000000)

struct place {
    char root[64], dir[96];
};

static int make_place(void **state)
{
    struct place *p = shs__calloc(1, sizeof *p);

    assert_non_null(p);
    snprintf(p->root, sizeof p->root, "/tmp/shs-test-XXXXXX");
    assert_non_null(mkdtemp(p->root));
    snprintf(p->dir, sizeof p->dir, "%s/a/b", p->root);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    static const char *const files[] = {"ca.key", "ca.pem", "localhost.pem",
                                        ".lock",  "ca.old", "ca.key.expired"};
    struct place *p = *state;
    char path[256];
    size_t i;

    for (i = 0; i < SHS_ARRAY_LEN(files); i++) {
        snprintf(path, sizeof path, "%s/%s", p->dir, files[i]);
        unlink(path);
    }
    assert_true(rmdir(p->dir) == 0 || access(p->dir, F_OK) != 0); /* nothing else was left there */
    snprintf(path, sizeof path, "%s/a", p->root);
    rmdir(path);
    rmdir(p->root);
    shs__free(p);
    return 0;
}

static const char *in_dir(const struct place *p, const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    return path;
}

static mode_t mode_of(const char *path)
{
    struct stat info;

    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 0777;
}

static X509 *read_cert(const char *path)
{
    FILE *file = fopen(path, "r");
    X509 *cert;

    assert_non_null(file);
    cert = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(cert);
    return cert;
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* Opens it and says what was made: bit 0 the CA, bit 1 the leaf. */
static int opens(const struct place *p, const char *const *names, int64_t now)
{
    struct shs_local_ca ca;
    struct shs_error err;
    int made;

    if (shs__local_ca_open(&ca, p->dir, names, now, &err) != SHS_OK)
        fail_msg("%s", err.text);
    made = (ca.ca_made ? 1 : 0) | (ca.leaf_made ? 2 : 0);
    assert_int_equal(strlen(ca.fingerprint), 95);
    assert_string_equal(ca.ca_path, in_dir(p, "ca.pem"));
    assert_string_equal(ca.leaf_path, in_dir(p, "localhost.pem"));
    shs__local_ca_free(&ca);
    assert_int_equal(ERR_peek_error(), 0);
    return made;
}

static void refuses(const struct place *p, const char *const *names, int code, const char *words)
{
    struct shs_local_ca ca;
    struct shs_error err;

    assert_int_equal(shs__local_ca_open(&ca, p->dir, names, NOW, &err), code);
    if (strstr(err.text, words) == NULL)
        fail_msg("'%s' lacks '%s'", err.text, words);
}

/* A CA that was made for this machine says so, and is not made again behind somebody's back. */
static void a_ca_signs_for_its_own_only(void **state)
{
    static const char *const inside[] = {"host.internal", "10.1.2.3", "app.test", NULL};
    static const char *const outside[] = {"198.18.0.1", NULL};
    static const char *const world[] = {"www.example.com", NULL};
    struct place *p = *state;

    assert_int_equal(opens(p, NULL, NOW), 3);
    assert_int_equal(opens(p, inside, NOW), 2);
    refuses(p, outside, SHS_TLS, "may not sign for 198.18.0.1");
    refuses(p, world, SHS_TLS, "may not sign for www.example.com");
    assert_int_equal(opens(p, inside, NOW), 0);
    /* What is asked for when it is made is in it. */
    assert_int_equal(unlink(in_dir(p, "ca.key")), 0);
    assert_int_equal(opens(p, outside, NOW), 3);
    assert_int_equal(opens(p, outside, NOW), 0);
}

/* What `also` has left out, where the certificate has those of `kept`. */
static void leaves_out(const struct place *p, const char *const *also, const char *expected,
                       const char *const *kept)
{
    struct shs_local_ca ca;
    struct shs_error err;
    X509 *leaf;

    if (shs__local_ca_open_also(&ca, p->dir, NULL, also, NOW, &err) != SHS_OK)
        fail_msg("%s", err.text);
    assert_string_equal(ca.left_out, expected);
    shs__local_ca_free(&ca);
    leaf = read_cert(in_dir(p, "localhost.pem"));
    for (size_t i = 0; kept[i] != NULL; i++)
        assert_int_equal(strchr(kept[i], '.') != NULL &&
                                 kept[i][strspn(kept[i], "0123456789.")] == 0
                             ? X509_check_ip_asc(leaf, kept[i], 0)
                             : X509_check_host(leaf, kept[i], 0, 0, NULL),
                         1);
    X509_free(leaf);
    assert_int_equal(ERR_peek_error(), 0);
}

/* What is only found, such as the address in somebody else's network, does not stop anybody. */
static void a_name_that_is_found_may_be_left_out(void **state)
{
    static const char *const mixed[] = {"8.8.8.8", "10.1.2.3", "host.example.com", "vm.local",
                                        NULL};
    static const char *const good[] = {"localhost", "10.1.2.3", "vm.local", NULL};
    static const char *const all[] = {"8.8.8.8",  "10.1.2.3",  "host.example.com",
                                      "vm.local", "localhost", NULL};
    struct place *p = *state;

    assert_int_equal(opens(p, NULL, NOW), 3);
    leaves_out(p, mixed, "8.8.8.8, host.example.com", good);
    leaves_out(p, mixed, "8.8.8.8, host.example.com", good);
    assert_int_equal(opens(p, good, NOW), 0);
    /* A CA that is made for them signs for them. */
    assert_int_equal(unlink(in_dir(p, "ca.key")), 0);
    leaves_out(p, mixed, "", all);
    assert_int_equal(opens(p, all, NOW), 0);
}

static void makes_and_reuses(void **state)
{
    struct place *p = *state;
    X509 *ca, *leaf;
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();

    assert_int_equal(opens(p, NULL, NOW), 3);
    assert_int_equal(opens(p, NULL, NOW), 0);
    assert_int_equal(mode_of(p->dir), 0700);
    assert_int_equal(mode_of(in_dir(p, "ca.key")), 0600);
    assert_int_equal(mode_of(in_dir(p, "ca.pem")), 0644);
    assert_int_equal(mode_of(in_dir(p, "localhost.pem")), 0600);
    ca = read_cert(in_dir(p, "ca.pem"));
    leaf = read_cert(in_dir(p, "localhost.pem"));
    X509_STORE_add_cert(store, ca);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, NULL), 1);
    X509_STORE_CTX_set_time(ctx, 0, (time_t)NOW);
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT);
    X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
    assert_int_equal(X509_verify_cert(ctx), 1);
    assert_true(shs__cert_covers(leaf, "localhost"));
    assert_true(shs__cert_covers(leaf, "127.0.0.1"));
    assert_true(shs__cert_covers(leaf, "::1"));
    assert_false(shs__cert_covers(leaf, "example.org"));
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(ca);
    X509_free(leaf);
}

static void a_server_can_serve_it(void **state)
{
    struct place *p = *state;
    struct shs_tls_context *context = NULL;
    struct shs_options opt;
    struct shs_error err;

    assert_int_equal(opens(p, NULL, (int64_t)time(NULL)), 3);
    shs_options_init(&opt);
    opt.certfile = in_dir(p, "localhost.pem");
    if (shs__tls_context_new(&context, &opt, &err) != SHS_OK)
        fail_msg("%s", err.text);
    shs__tls_context_free(context);
}

static void renews_in_time(void **state)
{
    struct place *p = *state;
    int days = 0, seconds = 0;
    X509 *leaf;

    assert_int_equal(opens(p, NULL, NOW), 3);
    leaf = read_cert(in_dir(p, "localhost.pem"));
    assert_int_equal(
        ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(leaf), X509_get0_notAfter(leaf)), 1);
    assert_true(days <= 397 && days > 360);
    X509_free(leaf);
    assert_int_equal(opens(p, NULL, NOW + 366 * DAY), 0);
    assert_int_equal(opens(p, NULL, NOW + 368 * DAY), 2);
    assert_int_equal(opens(p, NULL, NOW + 368 * DAY), 0);
    assert_int_equal(opens(p, NULL, NOW), 2); /* not valid yet, by this clock */
    /* The last leaf of a CA does not outlive it; then, and not before, there is a new CA. */
    assert_int_equal(opens(p, NULL, NOW + 3600 * DAY), 2);
    assert_int_equal(opens(p, NULL, NOW + 3619 * DAY), 0);
    assert_int_equal(opens(p, NULL, NOW + 3649 * DAY), 0);
    assert_int_equal(opens(p, NULL, NOW + 3651 * DAY), 3);
    assert_int_equal(access(in_dir(p, "ca.key.expired"), F_OK), 0);
}

/* A server that runs on: whether the leaf is made again at `now`; first, whether that is due. */
static void renews(const struct place *p, struct shs_local_ca *ca, int64_t now, bool due,
                   bool expected)
{
    struct shs_error err;
    bool changed;

    assert_int_equal(shs__local_ca_due(ca, now), due);
    if (shs__local_ca_renew(ca, p->dir, NULL, NULL, now, &changed, &err) != SHS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(changed, expected);
    assert_int_equal(ERR_peek_error(), 0);
}

static void a_server_that_runs_on_renews_in_time(void **state)
{
    struct place *p = *state;
    struct shs_local_ca ca;
    struct shs_error err;
    X509 *first, *same;

    assert_int_equal(shs__local_ca_open(&ca, p->dir, NULL, NOW, &err), SHS_OK);
    first = read_cert(in_dir(p, "ca.pem"));
    renews(p, &ca, NOW + 365 * DAY, false, false);
    renews(p, &ca, NOW + 366 * DAY, true, true); /* a day before anybody would be warned */
    renews(p, &ca, NOW + 366 * DAY, false, false);
    renews(p, &ca, NOW, true, true); /* the clock was set back: it is not valid yet */
    renews(p, &ca, NOW + 500 * DAY, true, true);
    assert_int_equal(opens(p, NULL, NOW + 867 * DAY - 3600), 2); /* another process did it */
    renews(p, &ca, NOW + 867 * DAY, true, true);
    /* The last one lasts as long as the CA; and no other CA is made behind somebody's back. */
    renews(p, &ca, NOW + 3600 * DAY, true, true);
    renews(p, &ca, NOW + 3649 * DAY, false, false);
    renews(p, &ca, NOW + 3651 * DAY, false, false);
    renews(p, &ca, 100, true, false);
    same = read_cert(in_dir(p, "ca.pem"));
    assert_int_equal(X509_cmp(first, same), 0);
    assert_int_equal(unlink(in_dir(p, "ca.key")), 0);
    renews(p, &ca, 100, true, false);
    assert_int_not_equal(access(in_dir(p, "ca.key"), F_OK), 0);
    X509_free(first);
    X509_free(same);
    shs__local_ca_free(&ca);
}

/* What it says about the clock when it is opened then; the same CA as before or another. */
static const char *warns(const struct place *p, int64_t now, char fingerprint[96])
{
    static char warning[256];
    struct shs_local_ca ca;
    struct shs_error err;

    if (shs__local_ca_open(&ca, p->dir, NULL, now, &err) != SHS_OK)
        fail_msg("%s", err.text);
    snprintf(warning, sizeof warning, "%s", ca.warning);
    snprintf(fingerprint, 96, "%s", ca.fingerprint);
    shs__local_ca_free(&ca);
    return warning;
}

/* A board without a clock starts in 1970; a CA that people have trusted outlives that. */
static void a_ca_survives_a_wrong_clock(void **state)
{
    struct place *p = *state;
    char first[96], then[96];
    X509 *leaf, *same;

    assert_string_equal(warns(p, NOW, first), "");
    leaf = read_cert(in_dir(p, "localhost.pem"));
    assert_non_null(strstr(warns(p, 100, then), "before the first day"));
    assert_string_equal(then, first);
    assert_int_equal(opens(p, NULL, 100), 0); /* not even the leaf */
    same = read_cert(in_dir(p, "localhost.pem"));
    assert_int_equal(X509_cmp(leaf, same), 0);
    X509_free(same);
    X509_free(leaf);
    assert_int_equal(unlink(in_dir(p, "localhost.pem")), 0);
    assert_int_equal(opens(p, NULL, 100), 2); /* one that will be good when the clock is right */
    assert_int_equal(opens(p, NULL, NOW), 0);
    assert_string_equal(warns(p, NOW, then), "");
    assert_string_equal(then, first);
    assert_non_null(strstr(warns(p, NOW + 3630 * DAY, then), "expires in less than 21 days"));
    assert_string_equal(then, first);
    /* Only when it has expired; and then it is still there. */
    assert_non_null(strstr(warns(p, NOW + 4000 * DAY, then), "has expired"));
    assert_string_not_equal(then, first);
    assert_int_equal(mode_of(in_dir(p, "ca.key.expired")), 0600);
}

/* One that is made in 1970 is still good when the clock is set. */
static void a_ca_made_by_a_wrong_clock_lasts(void **state)
{
    struct place *p = *state;
    char first[96], then[96];

    assert_non_null(strstr(warns(p, 1000, first), "before 2025"));
    assert_string_equal(warns(p, NOW, then), "");
    assert_string_equal(then, first);
    assert_int_equal(opens(p, NULL, NOW), 0); /* with a leaf of now */
}

/* By its extended key usage, which OpenSSL, browsers and others honour in a CA. */
static void a_ca_signs_for_servers_only(void **state)
{
    struct place *p = *state;
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx;
    X509 *ca, *leaf;

    assert_int_equal(opens(p, NULL, NOW), 3);
    ca = read_cert(in_dir(p, "ca.pem"));
    leaf = read_cert(in_dir(p, "localhost.pem"));
    assert_int_equal(X509_get_extended_key_usage(ca), XKU_SSL_SERVER);
    assert_int_equal(X509_check_purpose(ca, X509_PURPOSE_SSL_CLIENT, 1), 0);
    assert_true(X509_check_purpose(ca, X509_PURPOSE_SSL_SERVER, 1) > 0);
    X509_STORE_add_cert(store, ca);
    for (int purpose = X509_PURPOSE_SSL_CLIENT; purpose <= X509_PURPOSE_SSL_SERVER; purpose++) {
        ctx = X509_STORE_CTX_new();
        assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, NULL), 1);
        X509_STORE_CTX_set_time(ctx, 0, (time_t)NOW);
        X509_STORE_CTX_set_purpose(ctx, purpose);
        assert_int_equal(X509_verify_cert(ctx), purpose == X509_PURPOSE_SSL_SERVER);
        X509_STORE_CTX_free(ctx);
    }
    X509_STORE_free(store);
    X509_free(ca);
    X509_free(leaf);
}

static void more_names_need_another_leaf(void **state)
{
    static const char *const more[] = {"box.example", "192.0.2.7", "2001:db8::1", "*.dev.example",
                                       NULL};
    static const char *const bad[] = {"not a name", NULL};
    struct place *p = *state;
    X509 *leaf;

    assert_int_equal(opens(p, NULL, NOW), 3);
    assert_int_equal(opens(p, more, NOW), 2);
    assert_int_equal(opens(p, more, NOW), 0);
    assert_int_equal(opens(p, NULL, NOW), 0);
    leaf = read_cert(in_dir(p, "localhost.pem"));
    assert_true(shs__cert_covers(leaf, "192.0.2.7"));
    assert_true(shs__cert_covers(leaf, "2001:db8::1"));
    assert_true(shs__cert_covers(leaf, "x.dev.example"));
    X509_free(leaf);
    refuses(p, bad, SHS_USAGE, "not a name");
    assert_int_equal(opens(p, more, NOW), 0); /* a refusal leaves what was there */
}

static void a_damaged_leaf_is_replaced_and_a_damaged_ca_is_not(void **state)
{
    struct place *p = *state;

    assert_int_equal(opens(p, NULL, NOW), 3);
    write_text(in_dir(p, "localhost.pem"), "-----BEGIN " PEM_STRING_X509 "-----\nnonsense\n");
    assert_int_equal(opens(p, NULL, NOW), 2);
    write_text(in_dir(p, "localhost.pem"), "");
    assert_int_equal(opens(p, NULL, NOW), 2);
    unlink(in_dir(p, "ca.pem"));
    assert_int_equal(opens(p, NULL, NOW), 0); /* published again */
    assert_int_equal(access(in_dir(p, "ca.pem"), R_OK), 0);
    write_text(in_dir(p, "ca.key"), "nonsense");
    refuses(p, NULL, SHS_TLS, "ca.key is damaged");
    unlink(in_dir(p, "ca.key"));
    assert_int_equal(opens(p, NULL, NOW), 3); /* of another CA: the leaf as well */
}

static void a_key_others_can_read_is_refused(void **state)
{
    struct place *p = *state;

    assert_int_equal(opens(p, NULL, NOW), 3);
    assert_int_equal(chmod(in_dir(p, "ca.key"), 0644), 0);
    refuses(p, NULL, SHS_TLS, "chmod 600");
    assert_int_equal(chmod(in_dir(p, "ca.key"), 0600), 0);
    assert_int_equal(opens(p, NULL, NOW), 0);
    assert_int_equal(chmod(p->dir, 0770), 0);
    refuses(p, NULL, SHS_TLS, "chmod 700");
}

static void says_what_is_wrong_with_the_place(void **state)
{
    struct place *p = *state;
    struct shs_local_ca ca;
    struct shs_error err;
    char path[256];

    snprintf(path, sizeof path, "%s/file", p->root);
    write_text(path, "x");
    snprintf(path, sizeof path, "%s/file/sub", p->root);
    assert_int_equal(shs__local_ca_open(&ca, path, NULL, NOW, &err), SHS_IO);
    assert_non_null(strstr(err.text, "file"));
    snprintf(path, sizeof path, "%s/file", p->root);
    assert_int_equal(shs__local_ca_open(&ca, path, NULL, NOW, &err), SHS_IO);
    assert_non_null(strstr(err.text, "Not a directory"));
    unlink(path);
    assert_int_equal(shs__local_ca_open(&ca, "", NULL, NOW, &err), SHS_USAGE);
    assert_int_equal(shs__local_ca_open(&ca, NULL, NULL, NOW, NULL), SHS_USAGE);
}

/* Eight processes at once on an empty place: one CA, one leaf, and all agree. */
static void processes_do_not_disturb_each_other(void **state)
{
    struct place *p = *state;
    int made_ca = 0, made_leaf = 0, i, status;
    pid_t pids[8];

    for (i = 0; i < 8; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            struct shs_local_ca ca;
            int rc = shs__local_ca_open(&ca, p->dir, NULL, NOW, NULL);

            _exit(rc != SHS_OK ? 100 : (ca.ca_made ? 1 : 0) | (ca.leaf_made ? 2 : 0));
        }
    }
    for (i = 0; i < 8; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_true(WEXITSTATUS(status) < 4);
        made_ca += WEXITSTATUS(status) & 1;
        made_leaf += (WEXITSTATUS(status) & 2) / 2;
    }
    assert_int_equal(made_ca, 1);
    assert_int_equal(made_leaf, 1);
    assert_int_equal(opens(p, NULL, NOW), 0);
}

/* -- the minter -------------------------------------------------------------------------------- */

static void minted_certificates_are_in_order(void **state)
{
    static const char *const names[] = {"a.example", "192.0.2.1", NULL};
    static const char *const bad[] = {"a.example\r\nDNS:evil", NULL};
    struct shs_cert_spec spec = {
        .common_name = "a.example",
        .names = names,
        .not_before = NOW,
        .not_after = NOW + DAY,
        .client_auth = true,
    };
    struct shs_error err;
    EVP_PKEY *key = NULL;
    X509 *one = NULL, *two = NULL;
    BIGNUM *serial;

    SHS_UNUSED(state);
    assert_int_equal(shs__mint_key(&key, SHS_KEY_RSA2048, &err), SHS_OK);
    assert_int_equal(shs__mint_cert(&one, &spec, key, NULL, NULL, &err), SHS_OK);
    spec.common_name = NULL;
    assert_int_equal(shs__mint_cert(&two, &spec, key, NULL, NULL, &err), SHS_OK);
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(one), X509_get0_serialNumber(two)),
                         0);
    serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(one), NULL);
    assert_int_equal(BN_num_bits(serial), 127);
    assert_int_equal(BN_is_negative(serial), 0);
    BN_free(serial);
    assert_int_equal(X509_get_version(one), X509_VERSION_3);
    assert_int_equal(X509_check_purpose(one, X509_PURPOSE_SSL_CLIENT, 0), 1);
    assert_int_equal(X509_check_purpose(one, X509_PURPOSE_SSL_SERVER, 0), 0);
    assert_int_equal(X509_check_ca(one), 0);
    assert_int_equal(X509_EXTENSION_get_critical(
                         X509_get_ext(two, X509_get_ext_by_NID(two, NID_subject_alt_name, -1))),
                     1);
    X509_free(two);
    two = NULL;
    spec.names = bad;
    assert_int_equal(shs__mint_cert(&two, &spec, key, NULL, NULL, &err), SHS_USAGE);
    assert_null(two);
    spec.names = names;
    spec.common_name =
        "a name that is much longer than the sixty-four bytes which RFC 5280 permits";
    assert_int_equal(shs__mint_cert(&two, &spec, key, NULL, NULL, &err), SHS_USAGE);
    X509_free(one);
    EVP_PKEY_free(key);
}

static void keys_can_be_encrypted(void **state)
{
    struct shs_error err;
    struct shs_buf pem;
    EVP_PKEY *key = NULL, *back;
    char right[] = "right", wrong[] = "wrong";
    BIO *bio;

    SHS_UNUSED(state);
    shs__buf_init(&pem, 65536);
    assert_int_equal(shs__mint_key(&key, SHS_KEY_P384, &err), SHS_OK);
    assert_int_equal(shs__mint_key_pem(&pem, key, right, &err), SHS_OK);
    assert_memory_equal(shs__buf_head(&pem), "-----BEGIN " PEM_STRING_PKCS8,
                        sizeof "-----BEGIN " PEM_STRING_PKCS8 - 1);
    bio = BIO_new_mem_buf(shs__buf_head(&pem), (int)pem.len);
    assert_null(PEM_read_bio_PrivateKey(bio, NULL, NULL, wrong));
    BIO_free(bio);
    bio = BIO_new_mem_buf(shs__buf_head(&pem), (int)pem.len);
    back = PEM_read_bio_PrivateKey(bio, NULL, NULL, right);
    BIO_free(bio);
    assert_non_null(back);
    assert_int_equal(EVP_PKEY_eq(key, back), 1);
    EVP_PKEY_free(back);
    EVP_PKEY_free(key);
    shs__buf_free(&pem);
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(makes_and_reuses, make_place, remove_place),
        cmocka_unit_test_setup_teardown(a_ca_signs_for_its_own_only, make_place, remove_place),
        cmocka_unit_test_setup_teardown(a_name_that_is_found_may_be_left_out, make_place,
                                        remove_place),
        cmocka_unit_test_setup_teardown(a_server_can_serve_it, make_place, remove_place),
        cmocka_unit_test_setup_teardown(renews_in_time, make_place, remove_place),
        cmocka_unit_test_setup_teardown(a_server_that_runs_on_renews_in_time, make_place,
                                        remove_place),
        cmocka_unit_test_setup_teardown(a_ca_survives_a_wrong_clock, make_place, remove_place),
        cmocka_unit_test_setup_teardown(a_ca_made_by_a_wrong_clock_lasts, make_place, remove_place),
        cmocka_unit_test_setup_teardown(a_ca_signs_for_servers_only, make_place, remove_place),
        cmocka_unit_test_setup_teardown(more_names_need_another_leaf, make_place, remove_place),
        cmocka_unit_test_setup_teardown(a_damaged_leaf_is_replaced_and_a_damaged_ca_is_not,
                                        make_place, remove_place),
        cmocka_unit_test_setup_teardown(a_key_others_can_read_is_refused, make_place, remove_place),
        cmocka_unit_test_setup_teardown(says_what_is_wrong_with_the_place, make_place,
                                        remove_place),
        cmocka_unit_test_setup_teardown(processes_do_not_disturb_each_other, make_place,
                                        remove_place),
        cmocka_unit_test(minted_certificates_are_in_order),
        cmocka_unit_test(keys_can_be_encrypted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
