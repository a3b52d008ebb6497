#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log_queue.h"
#include "patience.h"

#define STOP_MS 60000
#define PRODUCERS 4
#define LINES_EACH 5000

/* What is there now. For shs__free. */
static char *read_all(int fd, size_t *len)
{
    struct shs_buf in;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char *text;
    ssize_t n;

    shs__buf_init(&in, (size_t)64 << 20);
    while (poll(&p, 1, 0) > 0) {
        assert_int_equal(shs__buf_reserve(&in, 65536), SHS_OK);
        n = read(fd, shs__buf_tail(&in), 65536);
        if (n <= 0)
            break;
        in.len += (size_t)n;
    }
    *len = in.len;
    text = shs__strndup(in.len == 0 ? "" : shs__buf_head(&in), in.len);
    shs__buf_free(&in);
    return text;
}

/* What became of lines that are all alike: they came out, or another line has their number. */
struct account {
    const char *line;
    uint64_t came, said;
    bool said_in_own_words;
};

static void enter(struct account *account, const char *at, size_t len)
{
    if (len == strlen(account->line) && memcmp(at, account->line, len) == 0) {
        account->came++;
        return;
    }
    account->said += strtoull(at + strcspn(at, "0123456789"), NULL, 10);
    account->said_in_own_words = memcmp(at, "{\"dropped_lines\":", 17) == 0;
}

/* Reads until `total` lines are accounted for. */
static void read_account(int fd, struct account *account, uint64_t total)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct shs_buf in;
    size_t done = 0;

    shs__buf_init(&in, (size_t)64 << 20);
    while (account->came + account->said < total) {
        char *end;
        ssize_t n;

        assert_int_equal(poll(&p, 1, patience_ms()), 1);
        assert_int_equal(shs__buf_reserve(&in, 65536), SHS_OK);
        n = read(fd, shs__buf_tail(&in), 65536);
        assert_true(n > 0);
        in.len += (size_t)n;
        while ((end = memchr(shs__buf_head(&in) + done, '\n', in.len - done)) != NULL) {
            enter(account, shs__buf_head(&in) + done, (size_t)(end - shs__buf_head(&in)) - done);
            done = (size_t)(end - shs__buf_head(&in)) + 1;
        }
    }
    assert_int_equal(done, in.len); /* and nothing else */
    shs__buf_free(&in);
}

static bool push(struct shs_log_queue *q, const char *line)
{
    return shs__log_queue_push(q, line, strlen(line));
}

/* The usual case over each kind of descriptor: whole lines, in order, none lost. */
static void check_order(int write_fd, int read_fd, bool file)
{
    struct shs_log_queue *q;
    char line[32], *text, *at;
    uint64_t lost = 77;
    size_t len;

    assert_int_equal(shs__log_queue_new(&q, write_fd, 1 << 20, NULL), SHS_OK);
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "line %d", i);
        assert_true(push(q, line));
    }
    assert_int_equal(shs__log_queue_stop(q, STOP_MS, &lost), SHS_OK);
    assert_int_equal(lost, 0);
    assert_false(push(q, "too late"));
    shs__log_queue_free(q);
    if (file)
        lseek(read_fd, 0, SEEK_SET);
    text = read_all(read_fd, &len);
    at = text;
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "line %d\n", i);
        assert_memory_equal(at, line, strlen(line));
        at += strlen(line);
    }
    assert_int_equal(at - text, len);
    shs__free(text);
}

static void test_pipe(void **state)
{
    int fds[2];

    SHS_UNUSED(state);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    check_order(fds[1], fds[0], false);
    /* The flags of the descriptor that others share are as they were. */
    assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    close(fds[0]);
    close(fds[1]);
}

static void test_socket(void **state)
{
    int fds[2];

    SHS_UNUSED(state);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    check_order(fds[1], fds[0], false);
    close(fds[0]);
    close(fds[1]);
}

static void test_file(void **state)
{
    char path[] = "/tmp/shs-log-XXXXXX";
    int fd = mkstemp(path);

    SHS_UNUSED(state);
    assert_true(fd >= 0);
    unlink(path);
    check_order(fd, fd, true);
    close(fd);
}

/* A line is there soon after it was pushed, without another one behind it. */
static void test_prompt(void **state)
{
    struct shs_log_queue *q;
    char buf[16];
    int fds[2];

    SHS_UNUSED(state);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(shs__log_queue_new(&q, fds[1], 0, NULL), SHS_OK);
    for (int i = 0; i < 3; i++) {
        struct pollfd p = {.fd = fds[0], .events = POLLIN};

        assert_true(push(q, "one"));
        assert_int_equal(poll(&p, 1, patience_ms()), 1);
        assert_int_equal(read(fds[0], buf, sizeof buf), 4);
        assert_memory_equal(buf, "one\n", 4);
    }
    assert_int_equal(shs__log_queue_stop(q, STOP_MS, NULL), SHS_OK);
    shs__log_queue_free(q);
    close(fds[0]);
    close(fds[1]);
}

static const char many_line[] = "0123456789012345678901234567890123456789012345678901234567890123";

static uint64_t push_many(struct shs_log_queue *q, unsigned count)
{
    uint64_t refused = 0;

    for (unsigned i = 0; i < count; i++)
        refused += !shs__log_queue_push(q, many_line, strlen(many_line));
    return refused;
}

/*
 * Nobody reads: pushing does not wait, what does not fit is counted, stopping keeps its deadline.
 */
static void check_stopped_reader(int write_fd)
{
    struct shs_log_queue *q;
    uint64_t refused, lost = 0;

    assert_int_equal(shs__log_queue_new(&q, write_fd, SHS_LOG_LINE_MAX, NULL), SHS_OK);
    stopwatch_start();
    refused = push_many(q, 100000); /* 6.5 MB */
    assert_true(refused > 0);
    assert_true(stopwatch_between(0, patience_ms())); /* of each a millisecond would be 100 s */
    stopwatch_start();
    assert_int_equal(shs__log_queue_stop(q, 200, &lost), SHS_TIMEOUT);
    assert_true(stopwatch_between(200, 200 + 1000));
    stopwatch_stop();
    assert_true(lost >= refused);
    shs__log_queue_free(q);
}

static void test_stopped_reader_pipe(void **state)
{
    int fds[2];

    SHS_UNUSED(state);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_true(fcntl(fds[1], F_SETPIPE_SZ, 4096) > 0); /* less than the queue holds */
    check_stopped_reader(fds[1]);
    close(fds[0]);
    close(fds[1]);
}

static void test_stopped_reader_socket(void **state)
{
    int fds[2], small = 4096;

    SHS_UNUSED(state);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    check_stopped_reader(fds[1]);
    close(fds[0]);
    close(fds[1]);
}

/* A reader that comes back finds a line that says how many are missing, and then new ones. */
static void test_drops_are_said(void **state)
{
    struct shs_log_queue *q;
    struct account account = {.line = many_line};
    uint64_t refused, lost = 0;
    char *more;
    int fds[2];
    size_t len;

    SHS_UNUSED(state);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(shs__log_queue_new(&q, fds[1], SHS_LOG_LINE_MAX, NULL), SHS_OK);
    refused = push_many(q, 20000);
    assert_true(refused > 0);
    read_account(fds[0], &account, 20000);
    assert_int_equal(account.said, refused);
    assert_int_equal(account.came, 20000 - refused);
    assert_true(push(q, "afterwards"));
    assert_int_equal(shs__log_queue_stop(q, STOP_MS, &lost), SHS_OK);
    assert_int_equal(lost, refused);
    shs__log_queue_free(q);
    more = read_all(fds[0], &len);
    assert_string_equal(more, "afterwards\n");
    shs__free(more);
    close(fds[0]);
    close(fds[1]);
}

/* The reader went away: no SIGPIPE, which would end this test, and everything counted. */
static void test_reader_gone(void **state)
{
    struct shs_log_queue *q;
    uint64_t lost = 0;
    int fds[2];

    SHS_UNUSED(state);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    assert_int_equal(shs__log_queue_new(&q, fds[1], 0, NULL), SHS_OK);
    for (int i = 0; i < 10; i++)
        push(q, "nobody hears this");
    assert_int_equal(shs__log_queue_stop(q, STOP_MS, &lost), SHS_IO);
    assert_int_equal(lost, 10);
    shs__log_queue_free(q);
    close(fds[1]);
}

/* Lines around PIPE_BUF and longer than any line may be. */
static void test_long_lines(void **state)
{
    static const size_t lengths[] = {
        0, 1, 4094, 4095, 4096, 4097, 9000, SHS_LOG_LINE_MAX - 1, SHS_LOG_LINE_MAX + 100};
    static char line[SHS_LOG_LINE_MAX + 100];
    struct shs_log_queue *q;
    char *text;
    size_t len, at = 0;
    int fds[2];

    SHS_UNUSED(state);
    memset(line, 'x', sizeof line);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_true(fcntl(fds[1], F_SETPIPE_SZ, 1 << 18) > 0);
    assert_int_equal(shs__log_queue_new(&q, fds[1], 1 << 18, NULL), SHS_OK);
    for (size_t i = 0; i < SHS_ARRAY_LEN(lengths); i++)
        assert_true(shs__log_queue_push(q, line, lengths[i]));
    assert_int_equal(shs__log_queue_stop(q, STOP_MS, NULL), SHS_OK);
    shs__log_queue_free(q);
    text = read_all(fds[0], &len);
    for (size_t i = 0; i < SHS_ARRAY_LEN(lengths); i++) {
        at += lengths[i] < SHS_LOG_LINE_MAX ? lengths[i] : SHS_LOG_LINE_MAX - 1;
        assert_true(at < len);
        assert_int_equal(text[at], '\n');
        at++;
    }
    assert_int_equal(at, len);
    shs__free(text);
    close(fds[0]);
    close(fds[1]);
}

static const char produced_line[] = "from one of several threads";

static void *produce(void *arg)
{
    struct shs_log_queue *q = arg;
    uint64_t refused = 0;

    for (int i = 0; i < LINES_EACH; i++)
        refused += !push(q, produced_line);
    return (void *)(uintptr_t)refused;
}

/* Several producers and a slow reader: what came out and what was refused is what went in. */
static void test_producers(void **state)
{
    struct shs_log_queue *q;
    pthread_t threads[PRODUCERS];
    struct account account = {.line = produced_line};
    uint64_t refused = 0, lost;
    int fds[2];

    SHS_UNUSED(state);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(shs__log_queue_new(&q, fds[1], SHS_LOG_LINE_MAX, NULL), SHS_OK);
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, produce, q), 0);
    read_account(fds[0], &account, PRODUCERS * LINES_EACH);
    for (int i = 0; i < PRODUCERS; i++) {
        void *result;

        pthread_join(threads[i], &result);
        refused += (uintptr_t)result;
    }
    assert_int_equal(shs__log_queue_stop(q, STOP_MS, &lost), SHS_OK);
    assert_int_equal(lost, refused);
    shs__log_queue_free(q);
    assert_int_equal(account.said, refused);
    assert_int_equal(account.came + refused, PRODUCERS * LINES_EACH);
    close(fds[0]);
    close(fds[1]);
}

static size_t own_words(char *buf, size_t cap, uint64_t dropped, const char *why)
{
    assert_string_equal(why, "the reader is too slow");
    return (size_t)snprintf(buf, cap, "{\"dropped_lines\":%" PRIu64 "}", dropped);
}

static void test_own_words(void **state)
{
    struct account account = {.line = many_line};
    struct shs_log_queue *q;
    int fds[2];

    SHS_UNUSED(state);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(shs__log_queue_new(&q, fds[1], 0, own_words), SHS_OK);
    assert_true(push_many(q, 20000) > 0);
    read_account(fds[0], &account, 20000);
    assert_true(account.said_in_own_words);
    shs__log_queue_free(q); /* stops by itself */
    close(fds[0]);
    close(fds[1]);
}

/* Has a thread other than this one met the end of its file? The signal stays with it. */
static bool has_met_the_limit(void)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *task;
    bool met = false;

    assert_non_null(tasks);
    while ((task = readdir(tasks)) != NULL) {
        char path[300], line[128];
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        file = task->d_name[0] == '.' ? NULL : fopen(path, "re");
        while (file != NULL && fgets(line, sizeof line, file) != NULL) {
            if (strncmp(line, "SigPnd:", 7) == 0)
                met = met || (strtoull(line + 7, NULL, 16) >> (SIGXFSZ - 1) & 1) != 0;
        }
        if (file != NULL)
            fclose(file);
    }
    closedir(tasks);
    return met;
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/*
 * A disk that is full within a line, and has room again: the piece is a line of its own, and
 * another says how many are missing. `kept`: how long the file may get; 10 bytes a line.
 */
static void check_full(rlim_t kept, size_t whole, const char *piece)
{
    char name[] = "/tmp/shs-log-queue-XXXXXX", line[32], wanted[512], *text;
    int fd = mkostemp(name, O_CLOEXEC | O_APPEND);
    struct shs_log_queue *q;
    int64_t until = shs_now_ns() + (int64_t)patience_ms() * SHS_NS_PER_MS;
    struct rlimit before;
    uint64_t lost = 77;
    size_t len, used = 0;

    assert_true(fd >= 0);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit_files(kept);
    assert_int_equal(shs__log_queue_new(&q, fd, 1 << 20, NULL), SHS_OK);
    for (int i = 100; i < 110; i++) {
        snprintf(line, sizeof line, "line %d.", i);
        assert_true(push(q, line));
    }
    while (!has_met_the_limit()) {
        assert_true(shs_now_ns() < until);
        nanosleep(&(struct timespec){.tv_nsec = SHS_NS_PER_MS}, NULL);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(push(q, "after"));
    assert_true(push(q, "the end"));
    assert_int_equal(shs__log_queue_stop(q, STOP_MS, &lost), SHS_IO);
    shs__log_queue_free(q);
    for (size_t i = 0; i < whole; i++)
        used += (size_t)snprintf(wanted + used, sizeof wanted - used, "line %zu.\n", 100 + i);
    used += (size_t)snprintf(wanted + used, sizeof wanted - used,
                             "%s%" PRIu64 " log lines dropped: File too large\n", piece, lost);
    /* Some may have waited until there was room again. */
    assert_true(lost > 0 && lost <= 10 - whole);
    for (size_t i = whole + lost; i < 10; i++)
        used += (size_t)snprintf(wanted + used, sizeof wanted - used, "line %zu.\n", 100 + i);
    snprintf(wanted + used, sizeof wanted - used, "after\nthe end\n");
    lseek(fd, 0, SEEK_SET);
    text = read_all(fd, &len);
    assert_string_equal(text, wanted);
    shs__free(text);
    close(fd);
}

static void test_full(void **state)
{
    SHS_UNUSED(state);
    check_full(46, 4, "line 1\n");
    check_full(49, 4, "line 104.\n");
    check_full(50, 5, "");
    check_full(0, 0, "");
}

/* What becomes of a full file before there is room again. */
enum fate { STAYS, OPENED_ANEW, EMPTIED };

static void meet(enum fate fate, int fd)
{
    char name[] = "/tmp/shs-log-queue-XXXXXX";
    int fresh;

    if (fate == EMPTIED)
        assert_int_equal(ftruncate(fd, 0), 0);
    if (fate != OPENED_ANEW)
        return;
    fresh = mkostemp(name, O_CLOEXEC | O_APPEND);
    assert_true(fresh >= 0);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(dup3(fresh, fd, O_CLOEXEC), fd);
    close(fresh);
}

/* One line, which does not fit: when it has met the limit, no other waits to be written. */
static void check_fate(enum fate fate, const char *wanted)
{
    char name[] = "/tmp/shs-log-queue-XXXXXX", *text;
    int fd = mkostemp(name, O_CLOEXEC | O_APPEND);
    struct shs_log_queue *q;
    int64_t until = shs_now_ns() + (int64_t)patience_ms() * SHS_NS_PER_MS;
    struct rlimit before;
    uint64_t lost = 77;
    size_t len;

    assert_true(fd >= 0);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit_files(6);
    assert_int_equal(shs__log_queue_new(&q, fd, 1 << 20, NULL), SHS_OK);
    assert_true(push(q, "line 100."));
    while (!has_met_the_limit()) {
        assert_true(shs_now_ns() < until);
        nanosleep(&(struct timespec){.tv_nsec = SHS_NS_PER_MS}, NULL);
    }
    meet(fate, fd);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(push(q, "after"));
    assert_int_equal(shs__log_queue_stop(q, STOP_MS, &lost), SHS_IO);
    shs__log_queue_free(q);
    assert_int_equal(lost, 1);
    lseek(fd, 0, SEEK_SET);
    text = read_all(fd, &len);
    assert_string_equal(text, wanted);
    shs__free(text);
    close(fd);
}

/* The piece is in the old file: a new one does not begin with an empty line. */
static void test_full_and_then_another_file(void **state)
{
    SHS_UNUSED(state);
    check_fate(STAYS, "line 1\n1 log lines dropped: File too large\nafter\n");
    check_fate(OPENED_ANEW, "1 log lines dropped: File too large\nafter\n");
    check_fate(EMPTIED, "1 log lines dropped: File too large\nafter\n");
}

/* A child has no writer: it writes its line itself, and leaves the parent's alone. */
static void test_child(void **state)
{
    struct shs_log_queue *q;
    int fds[2], status;
    uint64_t lost = 77;
    size_t len;
    char *text;
    pid_t pid;

    SHS_UNUSED(state);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(shs__log_queue_new(&q, fds[1], 1 << 20, NULL), SHS_OK);
    assert_true(push(q, "before"));
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(push(q, "child") ? 0 : 1); /* without its writing here, nobody would */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(push(q, "after"));
    assert_int_equal(shs__log_queue_stop(q, STOP_MS, &lost), SHS_OK);
    assert_int_equal(lost, 0);
    shs__log_queue_free(q);
    text = read_all(fds[0], &len);
    assert_non_null(strstr(text, "child\n"));
    assert_non_null(strstr(text, "before\n"));
    assert_non_null(strstr(text, "after\n"));
    assert_int_equal(len, strlen("before\nchild\nafter\n"));
    shs__free(text);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_socket),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_prompt),
        cmocka_unit_test(test_stopped_reader_pipe),
        cmocka_unit_test(test_stopped_reader_socket),
        cmocka_unit_test(test_drops_are_said),
        cmocka_unit_test(test_reader_gone),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_producers),
        cmocka_unit_test(test_own_words),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_full_and_then_another_file),
        cmocka_unit_test(test_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
