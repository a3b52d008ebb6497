/* test_tls_files.c - what a reload takes, what it keeps, and when the thread for it begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/ocsp.h>
#include <openssl/pem.h>

#include <shs/shs.h>

#include "loopback.h"
#include "patience.h"
#include "tls_lab.h"

#define FILES 8
enum { A, B, A_KEY, CA, SECRET, DENY, OCSP, SPARE };

static const char *const file_names[FILES] = {"a.pem",  "b.pem", "a.key", "ca.pem",
                                              "secret", "deny",  "ocsp",  "spare"};

/* A server with two certificates, CAs, a ticket secret and a deny list, all in files. */
struct set {
    char dir[32], path[FILES][64];
    struct shs_tls_config config;
    struct shs_tls_host host;
    struct shs_tls_cert certs[2];
    struct shs_server *server;
    pthread_t thread;
    unsigned lines; /* of the log: errors */
    _Atomic unsigned ends;
    bool asked; /* for a password */
};

static struct tls_lab lab, other;

static void put(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

static X509 *cert_of(EVP_PKEY *key, const char *name, int64_t from, int64_t to)
{
    const char *const names[] = {name, NULL};
    struct shs_cert_spec spec = {
        .common_name = name,
        .names = names,
        .not_before = (int64_t)time(NULL) + from,
        .not_after = (int64_t)time(NULL) + to,
        .server_auth = true,
    };
    X509 *cert = NULL;

    assert_int_equal(shs__mint_cert(&cert, &spec, key, lab.ca, lab.ca_key, NULL), SHS_OK);
    return cert;
}

/* A certificate of the lab for that name and, with a key, that key in the same file. */
static void put_cert(const char *path, EVP_PKEY *key, bool with_key, const char *name, int64_t from,
                     int64_t to)
{
    X509 *cert = cert_of(key, name, from, to);
    struct shs_buf pem;

    shs__buf_init(&pem, 65536);
    assert_int_equal(shs__mint_cert_pem(&pem, cert, NULL), SHS_OK);
    if (with_key)
        assert_int_equal(shs__mint_key_pem(&pem, key, NULL, NULL), SHS_OK);
    put(path, shs__buf_head(&pem), pem.len);
    shs__buf_free(&pem);
    X509_free(cert);
}

static void put_good(struct set *s, int which)
{
    put_cert(s->path[which], which == A ? lab.key : other.key, which == B,
             which == A ? "a.example" : "b.example", -LAB_DAY, 90 * LAB_DAY);
}

static void count_line(void *ctx, enum shs_log_level level, const char *line)
{
    struct set *s = ctx;

    SHS_UNUSED(line);
    s->lines += level <= SHS_LOG_ERROR;
}

static int nothing(struct shs_request_handler *self)
{
    SHS_UNUSED(self);
    return SHS_OK;
}

static const struct shs_request_handler_class nothing_class = {
    .name = "Nothing", .instance_size = sizeof(struct shs_request_handler), .handle = nothing};

/* One that says a certificate is about to end is counted apart. */
static void note_line(void *ctx, enum shs_log_level level, const char *line)
{
    struct set *s = ctx;

    count_line(ctx, level, line);
    if (level == SHS_LOG_WARNING && strstr(line, "a.pem' expires in less than ") != NULL)
        atomic_fetch_add(&s->ends, 1);
}

static void open_set(struct set *s)
{
    struct shs_buf pem;

    char dir[] = "/tmp/shs-test-XXXXXX";

    memset(s, 0, sizeof *s);
    assert_non_null(mkdtemp(dir));
    snprintf(s->dir, sizeof s->dir, "%s", dir);
    for (int i = 0; i < FILES; i++)
        snprintf(s->path[i], sizeof s->path[i], "%s/%s", dir, file_names[i]);
    put_good(s, A);
    put_good(s, B);
    put(s->path[A_KEY], lab.opt.key_pem, lab.opt.key_pem_len);
    put(s->path[SECRET], "0123456789012345678901234567890123456789", 40);
    put(s->path[DENY], "serial 12 CN=x\n", 15);
    shs__buf_init(&pem, 65536);
    assert_int_equal(shs__mint_cert_pem(&pem, lab.ca, NULL), SHS_OK);
    put(s->path[CA], shs__buf_head(&pem), pem.len);
    shs__buf_free(&pem);
    shs_tls_config_init(&s->config);
    shs_tls_host_init(&s->host);
    s->certs[0] = (struct shs_tls_cert){.certfile = s->path[A], .keyfile = s->path[A_KEY]};
    s->certs[1] = (struct shs_tls_cert){.certfile = s->path[B]};
    s->host.certs = s->certs;
    s->host.cert_count = 2;
    s->host.client_auth = SHS_TLS_CLIENT_OPTIONAL;
    s->host.client_ca = s->path[CA];
    s->config.hosts = &s->host;
    s->config.host_count = 1;
    s->config.ticket_secret = s->path[SECRET];
    s->config.deny = s->path[DENY];
}

static void make_server(struct set *s)
{
    struct shs_options opt;
    struct shs_error err = {.code = SHS_OK};

    shs_options_init(&opt);
    opt.log = note_line;
    opt.log_ctx = s;
    assert_int_equal(shs_tcp_server_new(&s->server, &opt, &nothing_class, &err), SHS_OK);
    if (shs_tls_mixin_push_config(s->server, &s->config, &err) != SHS_OK)
        fail_msg("%s", err.text);
}

static void begin(struct set *s)
{
    assert_int_equal(pthread_create(&s->thread, NULL, loopback_serve, s->server), 0);
}

static void end(struct set *s)
{
    assert_int_equal(shs_shutdown_wait(s->server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(s->thread, NULL);
}

static void close_set(struct set *s)
{
    shs_server_free(s->server);
    for (int i = 0; i < FILES; i++)
        unlink(s->path[i]);
    rmdir(s->dir);
}

/* -- what is said of each file ----------------------------------------------------------------- */

struct seen {
    const struct set *set;
    char states[FILES + 1]; /* 's', 't', 'k'; '-': nothing was said of it */
    char why[240];
};

static void see(void *ctx, const struct shs_tls_file_result *result)
{
    struct seen *seen = ctx;

    for (int i = 0; i < FILES; i++) {
        if (strcmp(result->file, seen->set->path[i]) != 0)
            continue;
        assert_int_equal(seen->states[i], '-'); /* once */
        seen->states[i] = "stk"[result->state];
    }
    if (result->state == SHS_TLS_FILE_KEPT)
        snprintf(seen->why, sizeof seen->why, "%s", result->why);
    else
        assert_string_equal(result->why, "");
}

/* Reloads: the states of A, B, A_KEY, CA, SECRET, DENY, OCSP, SPARE. */
static void reloads(struct set *s, const char *states, const char *why)
{
    struct seen seen = {.set = s};
    struct shs_error err = {.code = SHS_OK};
    bool kept = strchr(states, 'k') != NULL;
    int rc;

    memset(seen.states, '-', FILES);
    rc = shs_tls_reload_each(s->server, see, &seen, &err);
    assert_string_equal(seen.states, states);
    assert_int_equal(rc, kept ? SHS_TLS : SHS_OK);
    if (kept) {
        if (strstr(seen.why, why) == NULL)
            fail_msg("'%s' lacks '%s'", seen.why, why);
        assert_int_equal(err.code, SHS_TLS);
        assert_int_equal(shs_tls_check(s->server, &err), SHS_TLS);
    } else {
        assert_int_equal(shs_tls_check(s->server, NULL), SHS_OK);
    }
}

static void counts(const struct set *s, uint64_t done, uint64_t failed)
{
    struct shs_tls_stats stats;

    assert_true(shs_tls_get_stats(s->server, &stats));
    assert_int_equal(stats.reloads, done);
    assert_int_equal(stats.reload_failures, failed);
}

static void each_file_is_told(void **state)
{
    struct set s;

    SHS_UNUSED(state);
    open_set(&s);
    make_server(&s);
    reloads(&s, "ssssss--", "");
    put_good(&s, B);
    reloads(&s, "stssss--", "");
    put(s.path[SECRET], "9876543210987654321098765432109876543210", 40);
    put(s.path[DENY], "serial 13 CN=x\n", 15);
    reloads(&s, "sssstt--", "");
    counts(&s, 3, 0);
    /* One that is bad holds up no other. */
    put(s.path[A], "nonsense", 8);
    put_good(&s, B);
    reloads(&s, "kt-sss--", "not PEM");
    counts(&s, 4, 1);
    put_good(&s, A);
    put(s.path[SECRET], "short", 5);
    reloads(&s, "tstsks--", "needs 32");
    put(s.path[DENY], "nonsense\n", 9);
    put_good(&s, B);
    reloads(&s, "stsskk--", "Line 1");
    put(s.path[CA], "nonsense\n", 9);
    reloads(&s, "ssskkk--", "");
    counts(&s, 6, 4); /* nothing was taken the last time */
    assert_int_equal(s.lines, 1 + 1 + 2 + 3);
    close_set(&s);
}

/* A draft: the states of its files, and what it and its commit answer. */
static void drafts(struct set *s, bool dry_run, int rc, int commit, const char *states)
{
    struct seen seen = {.set = s};
    struct shs_tls_draft *draft;
    struct shs_error err = {.code = SHS_OK};

    assert_int_equal(shs_tls_draft_new(&draft, s->server, dry_run, &err), rc);
    assert_int_equal(err.code, rc);
    assert_int_equal(shs_tls_draft_commit(draft, &err), commit);
    memset(seen.states, '-', FILES);
    shs_tls_draft_each(draft, see, &seen);
    assert_string_equal(seen.states, states);
    shs_tls_draft_free(draft);
}

/* What can be used is taken with the commit; one that is only looked at leaves no trace. */
static void a_draft_is_taken_or_not(void **state)
{
    struct set s;

    SHS_UNUSED(state);
    open_set(&s);
    make_server(&s);
    put_good(&s, B);
    put(s.path[SECRET], "9876543210987654321098765432109876543210", 40);
    drafts(&s, true, SHS_OK, SHS_USAGE, "stss----");
    counts(&s, 0, 0);
    drafts(&s, false, SHS_OK, SHS_OK, "stssts--");
    counts(&s, 1, 0);
    put(s.path[A], "nonsense", 8);
    put_good(&s, B);
    drafts(&s, true, SHS_TLS, SHS_USAGE, "kt-s----");
    counts(&s, 1, 0);
    drafts(&s, false, SHS_TLS, SHS_TLS, "kt-sss--");
    counts(&s, 2, 1);
    reloads(&s, "ks-sss--", "not PEM"); /* B had been taken */
    shs_tls_draft_free(NULL);
    close_set(&s);
}

static void dates_are_no_worse_than_before(void **state)
{
    struct set s;

    SHS_UNUSED(state);
    open_set(&s);
    make_server(&s);
    put_cert(s.path[A], lab.key, false, "a.example", -20 * LAB_DAY, -LAB_DAY);
    reloads(&s, "ks-sss--", "has expired");
    put_cert(s.path[A], lab.key, false, "a.example", LAB_DAY, 20 * LAB_DAY);
    reloads(&s, "ks-sss--", "not valid yet");
    close_set(&s);

    /* Where the one before is no better, as at a start. */
    open_set(&s);
    put_cert(s.path[A], lab.key, false, "a.example", -20 * LAB_DAY, -LAB_DAY);
    make_server(&s);
    put_cert(s.path[A], lab.key, false, "a.example", -30 * LAB_DAY, -2 * LAB_DAY);
    reloads(&s, "tstsss--", "");
    put_cert(s.path[A], lab.key, false, "a.example", LAB_DAY, 20 * LAB_DAY);
    reloads(&s, "tstsss--", "");
    put_good(&s, A);
    reloads(&s, "tstsss--", "");
    close_set(&s);
}

/* What only OpenSSL, or only a handshake, shows to be of no use: a weak key, a curve nobody has. */
static void what_fails_its_trial_is_kept(void **state)
{
    static const struct {
        const char *curve, *why;
    } cases[] = {{NULL, "2048 bits or more"}, {"brainpoolP256r1", "curve brainpoolP256r1"}};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        EVP_PKEY *key = cases[i].curve == NULL ? EVP_RSA_gen(1024) : EVP_EC_gen(cases[i].curve);
        struct set s;

        assert_non_null(key);
        open_set(&s);
        make_server(&s);
        put_cert(s.path[B], key, true, "b.example", -LAB_DAY, 90 * LAB_DAY);
        put_good(&s, A);
        reloads(&s, "tktsss--", cases[i].why);
        put_good(&s, B);
        reloads(&s, "stssss--", "");
        close_set(&s);
        EVP_PKEY_free(key);
    }
}

/* -- OCSP -------------------------------------------------------------------------------------- */

/* A response about what is in the file A, good until `next` seconds from now. */
static void put_response(struct set *s, long next)
{
    FILE *file = fopen(s->path[A], "r");
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    ASN1_TIME *from = X509_gmtime_adj(NULL, -3600), *to = X509_gmtime_adj(NULL, next);
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), cert, lab.ca);
    OCSP_RESPONSE *response;
    unsigned char *der = NULL;
    int len;

    assert_non_null(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, from, to));
    assert_int_equal(OCSP_basic_sign(basic, lab.ca, lab.ca_key, EVP_sha256(), NULL, 0), 1);
    response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    len = i2d_OCSP_RESPONSE(response, &der);
    assert_true(len > 0);
    put(s->path[OCSP], der, (size_t)len);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_CERTID_free(id);
    OCSP_BASICRESP_free(basic);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    X509_free(cert);
    fclose(file);
}

/* Stale, of the certificate before, damaged, gone: nothing of it holds up a start or a reload. */
static void a_response_holds_up_nothing(void **state)
{
    struct set s;

    SHS_UNUSED(state);
    open_set(&s);
    s.certs[0].ocspfile = s.path[OCSP];
    put_response(&s, -60);
    make_server(&s); /* stale at the start */
    put_response(&s, 3600);
    reloads(&s, "sssssst-", "");
    put_good(&s, A);
    reloads(&s, "tstssst-", ""); /* the response is of the one before: none is stapled */
    put_response(&s, 3600);
    reloads(&s, "sssssst-", "");
    put_response(&s, -60);
    reloads(&s, "sssssss-", ""); /* the fresh one stays */
    put(s.path[OCSP], "nonsense", 8);
    put_good(&s, B);
    reloads(&s, "stssssk-", "not an OCSP response in DER");
    unlink(s.path[OCSP]);
    reloads(&s, "ssssssk-", "No such file");
    close_set(&s);
}

/* -- the thread -------------------------------------------------------------------------------- */

static void waits_for_reloads(const struct set *s, uint64_t count)
{
    struct shs_tls_stats stats = {0};

    for (int i = 0; i < patience_ms() / 10 && stats.reloads < count; i++) {
        assert_true(shs_tls_get_stats(s->server, &stats));
        if (stats.reloads < count)
            poll(NULL, 0, 10);
    }
    assert_int_equal(stats.reloads, count);
}

static unsigned threads_of_this_process(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned count = 0;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void it_begins_with_serving(void **state)
{
    unsigned threads = threads_of_this_process();
    struct set s;

    SHS_UNUSED(state);
    open_set(&s);
    s.config.watch = true;
    s.config.watch_interval_ms = 2000000000;
    make_server(&s);
    assert_int_equal(threads_of_this_process(), threads);
    shs_server_free(s.server); /* and waits for nobody */

    make_server(&s);
    put_good(&s, B); /* after the files were read, before anybody looks */
    begin(&s);
    waits_for_reloads(&s, 1);
    put_good(&s, B);
    waits_for_reloads(&s, 2);
    end(&s);
    begin(&s); /* served again: there is one already */
    put_good(&s, B);
    waits_for_reloads(&s, 3);
    end(&s);
    close_set(&s);
}

/* The password of a key, and who asks for it: by then the certificate has been read. */
static int say_password(void *ctx, char *buf, size_t cap)
{
    struct set *s = ctx;

    if (!s->asked)
        put_good(s, A);
    s->asked = true;
    return snprintf(buf, cap, "password");
}

/* What changes in the middle of a start is not what was read, and is seen. */
static void a_change_while_it_is_read_is_seen(void **state)
{
    struct shs_buf key;
    struct set s;

    SHS_UNUSED(state);
    open_set(&s);
    shs__buf_init(&key, 65536);
    assert_int_equal(shs__mint_key_pem(&key, lab.key, "password", NULL), SHS_OK);
    put(s.path[A_KEY], shs__buf_head(&key), key.len);
    shs__buf_free(&key);
    s.certs[0].password = say_password;
    s.certs[0].password_ctx = &s;
    s.config.watch = true;
    assert_int_equal(s.config.watch_interval_ms, 30000); /* and not by the look after that */
    make_server(&s);
    assert_true(s.asked);
    begin(&s);
    waits_for_reloads(&s, 1);
    reloads(&s, "ssssss--", ""); /* what was read then is what is there */
    end(&s);
    close_set(&s);
}

/* What daemon(3) does: the process that serves is not the one that made the server. */
static void a_child_may_serve(void **state)
{
    struct set s;
    int status = 0;
    pid_t pid;

    SHS_UNUSED(state);
    open_set(&s);
    s.config.watch = true;
    s.config.watch_interval_ms = 2000000000;
    make_server(&s);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm((unsigned)patience_ms() / 1000 + 1);
        begin(&s);
        put_good(&s, B);
        waits_for_reloads(&s, 1);
        shs_tls_request_reload(s.server);
        waits_for_reloads(&s, 2);
        end(&s);
        shs_server_free(s.server);
        _exit(42);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    close_set(&s); /* here nothing ever ran */
}

/* One that was forked while its parent serves has no thread to wait for. */
static void a_child_of_one_that_serves_is_free(void **state)
{
    struct set s;
    int status = 0;
    pid_t pid;

    SHS_UNUSED(state);
    open_set(&s);
    s.config.watch = true;
    make_server(&s);
    begin(&s);
    shs_tls_request_reload(s.server);
    waits_for_reloads(&s, 1);
    end(&s); /* its thread goes on until the server is closed */
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm((unsigned)patience_ms() / 1000 + 1);
        shs_server_free(s.server);
        _exit(42);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    close_set(&s);
}

/* With a thread for it, and without: the loop says it then. */
static void an_end_is_announced_while_serving(void **state)
{
    SHS_UNUSED(state);
    for (int keeper = 0; keeper < 2; keeper++) {
        int64_t when = (int64_t)time(NULL) + 2;
        struct set s;

        open_set(&s);
        s.config.reload_thread = keeper;
        put_cert(s.path[A], lab.key, false, "a.example", -LAB_DAY, LAB_DAY + 2);
        make_server(&s);
        if ((int64_t)time(NULL) >= when) { /* the machine stood still: it is past already */
            close_set(&s);
            keeper--;
            continue;
        }
        assert_int_equal(atomic_load(&s.ends), 1); /* when it was read */
        assert_int_equal(shs_tls_reload(s.server, NULL), SHS_OK);
        assert_int_equal(atomic_load(&s.ends), 2); /* after each reload */
        begin(&s);
        for (int i = 0; i < patience_ms() / 10 && atomic_load(&s.ends) == 2; i++)
            poll(NULL, 0, 10);
        assert_int_equal(atomic_load(&s.ends), 3); /* a day before its end */
        end(&s);
        close_set(&s);
    }
}

static unsigned descriptors_of_this_process(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* Resident, in KiB. */
static long resident(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = -1;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static bool memory_tells(void) /* a sanitizer keeps what was freed */
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#else
    return true;
#endif
}

/* What of OpenSSL's is there once for a process, and is never given back. */
struct indices {
    int bio, data[CRYPTO_EX_INDEX__COUNT];
};

static void next_indices(struct indices *next)
{
    next->bio = BIO_get_new_index();
    for (int i = 0; i < CRYPTO_EX_INDEX__COUNT; i++)
        next->data[i] = CRYPTO_get_ex_new_index(i, 0, NULL, NULL, NULL, NULL);
}

static void reload_in_turns(struct set *s, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        if (i % 3 == 0)
            put(s->path[A], "nonsense", 8);
        else
            put_good(s, A);
        if (i % 2 == 0)
            put_good(s, B);
        (void)shs_tls_reload(s->server, NULL);
    }
}

/*
 * Good, bad and partial ones: nothing is left behind, of ours or of OpenSSL's indices. SHS_RELOADS:
 * how many, 1,000 for example, by hand.
 */
static void nothing_grows(void **state)
{
    const char *asked = getenv("SHS_RELOADS");
    unsigned threads, descriptors, times = asked == NULL ? 60 : (unsigned)strtoul(asked, NULL, 10);
    struct indices before, after;
    long memory;
    struct set s;

    SHS_UNUSED(state);
    open_set(&s);
    s.config.watch = true;
    make_server(&s);
    begin(&s);
    shs_tls_request_reload(s.server);
    waits_for_reloads(&s, 1);
    reload_in_turns(&s, 12);
    threads = threads_of_this_process();
    descriptors = descriptors_of_this_process();
    memory = resident();
    next_indices(&before);
    reload_in_turns(&s, times);
    next_indices(&after);
    print_message("%u reloads: %ld KiB -> %ld KiB\n", times, memory, resident());
    assert_int_equal(threads_of_this_process(), threads);
    assert_int_equal(descriptors_of_this_process(), descriptors);
    assert_int_equal(after.bio, before.bio + 1);
    for (int i = 0; i < CRYPTO_EX_INDEX__COUNT; i++)
        assert_int_equal(after.data[i], before.data[i] + (before.data[i] >= 0));
    if (memory_tells())
        assert_true(resident() <= memory + 1024);
    end(&s);
    close_set(&s);
}

static int open_labs(void **state)
{
    SHS_UNUSED(state);
    lab_open(&lab, SHS_KEY_P256);
    lab_open(&other, SHS_KEY_P256);
    return 0;
}

static int close_labs(void **state)
{
    SHS_UNUSED(state);
    lab_close(&lab);
    lab_close(&other);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_file_is_told),
        cmocka_unit_test(a_draft_is_taken_or_not),
        cmocka_unit_test(dates_are_no_worse_than_before),
        cmocka_unit_test(what_fails_its_trial_is_kept),
        cmocka_unit_test(a_response_holds_up_nothing),
        cmocka_unit_test(it_begins_with_serving),
        cmocka_unit_test(a_change_while_it_is_read_is_seen),
        cmocka_unit_test(a_child_may_serve),
        cmocka_unit_test(a_child_of_one_that_serves_is_free),
        cmocka_unit_test(an_end_is_announced_while_serving),
        cmocka_unit_test(nothing_grows),
    };

    return cmocka_run_group_tests(tests, open_labs, close_labs);
}
