/*
 * test_admin_audit.c - an audit log that cannot be written, and one that is moved away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "admin/audit.h"

#define WAIT_MS 120000u
#define CHANGES 3

struct change {
    pthread_t thread;
    struct shs_admin_audit *audit;
    _Atomic long tid; /* 0: not yet there */
    int rc;
};

static void *begin(void *arg)
{
    struct change *self = arg;
    struct shs_error err;

    atomic_store(&self->tid, syscall(SYS_gettid));
    self->rc = shs__admin_audit_begin(self->audit, SHS_STR("{\"a\":2"), WAIT_MS, &err);
    return NULL;
}

static bool sleeps(const struct change *self)
{
    char path[64], text[256] = "";
    const char *name;
    ssize_t len;
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", atomic_load(&self->tid));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    len = read(fd, text, sizeof text - 1);
    close(fd);
    name = len <= 0 ? NULL : strrchr(text, ')');
    return name != NULL && strncmp(name, ") S", 3) == 0;
}

/* Each is told as soon as the one before it is over; nobody sleeps on, for his whole time. */
static void test_all_that_wait_are_told(void **state)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    char file[] = "/tmp/shs-test-audit-XXXXXX";
    struct change changes[CHANGES];
    struct shs_admin_audit *audit;
    struct rlimit before, none;
    struct shs_error err;
    int64_t began;
    int fd = mkstemp(file);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(shs__admin_audit_new(&audit, file, NULL, NULL, &err), SHS_OK);
    assert_int_equal(shs__admin_audit_begin(audit, SHS_STR("{\"a\":1"), WAIT_MS, &err), SHS_OK);
    memset(changes, 0, sizeof changes);
    for (int i = 0; i < CHANGES; i++) {
        changes[i].audit = audit;
        assert_int_equal(pthread_create(&changes[i].thread, NULL, begin, &changes[i]), 0);
        while (atomic_load(&changes[i].tid) == 0 || !sleeps(&changes[i]))
            sched_yield();
    }
    assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
    getrlimit(RLIMIT_FSIZE, &before);
    none = before;
    none.rlim_cur = 1;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    began = shs_now_ns();
    assert_int_equal(shs__admin_audit_end(audit, SHS_STR(",\"b\":1}")), SHS_IO);
    for (int i = 0; i < CHANGES; i++) {
        pthread_join(changes[i].thread, NULL);
        assert_int_equal(changes[i].rc, SHS_IO);
    }
    assert_true(shs_now_ns() - began < (int64_t)WAIT_MS * 1000000 / 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    /* Afterwards it is in order: a line for each. */
    assert_int_equal(shs__admin_audit_begin(audit, SHS_STR("{\"a\":3"), WAIT_MS, &err), SHS_OK);
    assert_int_equal(shs__admin_audit_end(audit, SHS_STR(",\"b\":3}")), SHS_OK);
    shs__admin_audit_free(audit);
    unlink(file);
}

static void has(const char *file, const char *wanted)
{
    char text[256] = "";
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0 && read(fd, text, sizeof text - 1) >= 0);
    close(fd);
    assert_string_equal(text, wanted);
}

/* A line is whole in the file in which it began; the next one is in the new file. */
static void test_a_file_that_is_moved_away(void **state)
{
    char file[] = "/tmp/shs-test-audit-XXXXXX", moved[64];
    struct shs_admin_audit *audit;
    struct shs_error err;
    int fd = mkstemp(file);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    snprintf(moved, sizeof moved, "%s.1", file);
    assert_int_equal(shs__admin_audit_new(&audit, file, NULL, NULL, &err), SHS_OK);
    assert_int_equal(shs__admin_audit_begin(audit, SHS_STR("{\"a\":1"), WAIT_MS, &err), SHS_OK);
    assert_int_equal(rename(file, moved), 0);
    assert_int_equal(shs__admin_audit_end(audit, SHS_STR(",\"b\":1}")), SHS_OK);
    assert_int_equal(shs__admin_audit_line(audit, SHS_STR("{\"a\":2}")), SHS_OK);
    has(moved, "{\"a\":1,\"b\":1}\n");
    has(file, "{\"a\":2}\n");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(shs__admin_audit_begin(audit, SHS_STR("{\"a\":3"), WAIT_MS, &err), SHS_OK);
    assert_int_equal(shs__admin_audit_end(audit, SHS_STR(",\"b\":3}")), SHS_OK);
    has(file, "{\"a\":3,\"b\":3}\n");
    shs__admin_audit_free(audit);
    unlink(file);
    unlink(moved);
}

/* Nobody can read a file that was removed: nothing is changed until there is a new one. */
static void test_a_file_that_is_removed(void **state)
{
    char file[] = "/tmp/shs-test-audit-XXXXXX";
    struct shs_admin_audit *audit;
    struct shs_error err;
    int fd = mkstemp(file);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(shs__admin_audit_new(&audit, file, NULL, NULL, &err), SHS_OK);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkdir(file, 0700), 0);
    assert_int_equal(shs__admin_audit_begin(audit, SHS_STR("{\"a\":1"), WAIT_MS, &err), SHS_IO);
    assert_non_null(strstr(err.text, file));
    assert_non_null(strstr(err.text, "Is a directory"));
    assert_int_equal(shs__admin_audit_line(audit, SHS_STR("{\"a\":1}")), SHS_IO);
    assert_int_equal(rmdir(file), 0);
    assert_int_equal(shs__admin_audit_begin(audit, SHS_STR("{\"a\":2"), WAIT_MS, &err), SHS_OK);
    assert_int_equal(shs__admin_audit_end(audit, SHS_STR(",\"b\":2}")), SHS_OK);
    has(file, "{\"a\":2,\"b\":2}\n");
    shs__admin_audit_free(audit);
    unlink(file);
}

#define PIPE_LINE 1000
#define PIPE_LINES 200 /* more than a pipe holds */

static int fill(struct shs_admin_audit *audit, struct shs_str line)
{
    int rc = SHS_OK;

    for (int i = 0; i < PIPE_LINES && rc == SHS_OK; i++)
        rc = shs__admin_audit_line(audit, line);
    return rc;
}

/* A pipe that nobody reads holds up nobody: not at start, not for more than a second, not again. */
static void test_a_pipe(void **state)
{
    char file[] = "/tmp/shs-test-audit-XXXXXX", sink[4096], text[PIPE_LINE] = "";
    const struct shs_str line = {text, sizeof text};
    struct shs_admin_audit *audit = NULL;
    struct shs_error err;
    int64_t began;
    int fd = mkstemp(file);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkfifo(file, 0600), 0);
    assert_int_equal(shs__admin_audit_new(&audit, file, NULL, NULL, &err), SHS_IO);
    assert_non_null(strstr(err.text, "nobody reads this pipe"));

    fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(shs__admin_audit_new(&audit, file, NULL, NULL, &err), SHS_OK);
    assert_int_equal(fill(audit, line), SHS_IO);
    began = shs_now_ns();
    for (int i = 0; i < PIPE_LINES; i++)
        assert_int_equal(shs__admin_audit_begin(audit, line, WAIT_MS, &err), SHS_IO);
    assert_true(shs_now_ns() - began < (int64_t)PIPE_LINES * 1000000000 / 4); /* nobody waits */
    assert_non_null(strstr(err.text, "nobody reads this pipe"));

    while (read(fd, sink, sizeof sink) > 0) /* somebody reads again */
        continue;
    assert_int_equal(shs__admin_audit_line(audit, SHS_STR("{\"a\":2}")), SHS_OK);
    assert_int_equal(read(fd, sink, sizeof sink), (int)strlen("{\"a\":2}\n"));

    close(fd); /* no SIGPIPE */
    assert_int_equal(shs__admin_audit_line(audit, SHS_STR("{\"a\":3}")), SHS_IO);
    fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_int_equal(shs__admin_audit_line(audit, SHS_STR("{\"a\":4}")), SHS_OK);
    close(fd);
    shs__admin_audit_free(audit);
    unlink(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_wait_are_told),
        cmocka_unit_test(test_a_file_that_is_moved_away),
        cmocka_unit_test(test_a_file_that_is_removed),
        cmocka_unit_test(test_a_pipe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
