/*
 * test_tls_start.c - a server that is made while there is no memory, at each place in turn, and
 * OpenSSL has not been used before: an error with a sentence, or a server; and never a crash. A
 * process has one first time: so each is a child. With SHS_SWEEP=1 really each allocation, else the
 * first ones, in which OpenSSL sets itself up, and some of the others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/err.h>

#include <shs/http.h>
#include <shs/server.h>
#include <shs/tls.h>

#include "failing_memory.h"
#include "tls_lab.h"

#define FIRST_ONES 120 /* OpenSSL's own beginning has some 60 */
#define STRIDE 211

/*
 * OpenSSL 3.5 waits for itself for ever when its first lock of all finds no memory: it tells of
 * that, and to tell it needs the lock. And it ends the process when what a thread needs to read its
 * lists of modules finds none. shs__openssl_ready looks for memory before; here both are there
 * already.
 */
static bool past_openssl_itself(void)
{
    static const char modules[] = "openssl_conf = x\n[x]\nnothing = y\n";
    BIO *bio;
    CONF *conf;
    bool read;

    if (OpenSSL_version_num() < 0x30200000L)
        return true;
    ERR_clear_error();
    bio = BIO_new_mem_buf(modules, -1);
    conf = NCONF_new(NULL);
    read = bio != NULL && conf != NULL && NCONF_load_bio(conf, bio, NULL) == 1 &&
           CONF_modules_load(conf, NULL, CONF_MFLAGS_IGNORE_ERRORS | CONF_MFLAGS_SILENT) == 1;
    NCONF_free(conf);
    BIO_free(bio);
    ERR_clear_error();
    return read;
}

enum answer { SERVED = 40, REFUSED, SILENT, NOTHING_FAILED };

static const struct shs_http_handler handler = {.name = "h"};
static char cert_path[] = "/tmp/shs-start-XXXXXX";

/* In a child: this process has not used OpenSSL. */
static void make_certificate(void)
{
    struct tls_lab lab;
    FILE *f = fopen(cert_path, "w");

    lab_open(&lab, SHS_KEY_P256);
    if (f == NULL || fwrite(shs__buf_head(&lab.cert_pem), 1, lab.cert_pem.len, f) == 0 ||
        fwrite(shs__buf_head(&lab.key_pem), 1, lab.key_pem.len, f) == 0 || fclose(f) != 0)
        _exit(1);
    _exit(0);
}

static enum answer start(long n)
{
    struct sigaction by_default = {.sa_handler = SIG_DFL}; /* cmocka has one of its own */
    struct shs_server *server = NULL;
    struct shs_error err = {.code = SHS_OK};
    struct shs_options opt;
    int rc;

    if (sigaction(SIGSEGV, &by_default, NULL) != 0 || !take_over_openssl())
        return SILENT;
    shs_options_init(&opt);
    opt.bind_and_activate = false;
    opt.certfile = cert_path;
    if (!past_openssl_itself())
        return SILENT;
    if (shs_http_server_new(&server, &opt, &handler, &err) != SHS_OK)
        return SILENT;
    arm(n);
    rc = shs_tls_mixin_push(server, &err);
    if (!disarm())
        return NOTHING_FAILED;
    if (rc != SHS_OK)
        return err.text[0] == '\0' ? SILENT : REFUSED;
    return SERVED;
}

static int wait_for(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_every_start(void **state)
{
    bool each = getenv("SHS_SWEEP") != NULL, over = false;
    unsigned served = 0, refused = 0;
    pid_t pid = fork();

    SHS_UNUSED(state);
    if (pid == 0)
        make_certificate();
    assert_int_equal(wait_for(pid), 0);
    for (long n = 0; !over; n += n < FIRST_ONES || each ? 1 : STRIDE) {
        int status;

        fflush(stdout);
        pid = fork();
        if (pid == 0)
            _exit((int)start(n));
        status = wait_for(pid);
        if (!WIFEXITED(status))
            fail_msg("without allocation %ld: signal %d", n, WTERMSIG(status));
        switch (WEXITSTATUS(status)) {
        case SERVED:
            served++;
            break;
        case REFUSED:
            refused++;
            break;
        case NOTHING_FAILED:
            over = true;
            break;
        default:
            fail_msg("without allocation %ld: an end of its own, %d", n, WEXITSTATUS(status));
        }
    }
    print_message("%u refused, %u served all the same\n", refused, served);
    assert_true(refused > 0);
}

static int make_file(void **state)
{
    int fd = mkstemp(cert_path);

    SHS_UNUSED(state);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    SHS_UNUSED(state);
    return unlink(cert_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_start),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
