/* test_unix_paths.c - the path of a Unix server: who may take it, and who removes it. */
#include "socketserver_support.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loopback.h"

static void defaults(struct shs_options *opt, const char *path)
{
    shs_options_init(opt);
    opt->path = path;
    opt->close_ms = 200;
    opt->unlink_on_bind = true;
}

/* A socket at the path that nobody serves any more. */
static void leave_stale(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static bool answers(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool there;

    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    there = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return there;
}

#define STARTERS 3
#define TURNS 100

/* Several start at the same moment beside a stale socket: one has it, and keeps it. */
static void test_one_of_several_starters_wins(void **state)
{
    struct sst_dir dir;
    const char *path;

    (void)state;
    sst_dir_make(&dir);
    path = sst_in_dir(&dir, "s");
    for (int turn = 0; turn < TURNS; turn++) {
        pid_t children[STARTERS];
        int go[2], done[2], hold[2], winners = 0;
        char byte;

        leave_stale(path);
        assert_int_equal(pipe(go), 0);
        assert_int_equal(pipe(done), 0);
        assert_int_equal(pipe(hold), 0);
        for (int i = 0; i < STARTERS; i++) {
            children[i] = fork();
            assert_true(children[i] >= 0);
            if (children[i] == 0) {
                struct shs_server *server = NULL;
                struct shs_options opt;
                int rc;

                alarm((unsigned)(4 * patience_ms() / 1000));
                defaults(&opt, path);
                close(go[1]);
                close(hold[1]);
                (void)!read(go[0], &byte, 1); /* until all are there */
                rc = shs_unix_stream_server_new(&server, &opt, &sst_echo, NULL);
                (void)!write(done[1], rc == SHS_OK ? "y" : "n", 1);
                (void)!read(hold[0], &byte, 1); /* the winner stays until it is looked at */
                _exit(rc == SHS_OK || rc == SHS_IO ? 0 : 1);
            }
        }
        close(go[0]);
        close(go[1]);
        for (int i = 0; i < STARTERS; i++) {
            assert_int_equal(read(done[0], &byte, 1), 1);
            winners += byte == 'y';
        }
        assert_int_equal(winners, 1);
        assert_true(answers(path));
        close(hold[0]);
        close(hold[1]);
        for (int i = 0; i < STARTERS; i++) {
            int status = -1;

            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_int_equal(status, 0);
        }
        close(done[0]);
        close(done[1]);
        assert_int_equal(unlink(path), 0);
    }
    sst_dir_remove(&dir);
}

/* Bound, and its owner has not come to listen: nobody takes it for stale. */
static void test_a_bound_socket_is_not_stolen(void **state)
{
    struct shs_server *first = NULL, *second = NULL;
    struct shs_options opt;
    struct shs_error err;
    struct sst_dir dir;
    const char *path;

    (void)state;
    sst_dir_make(&dir);
    path = sst_in_dir(&dir, "s");
    defaults(&opt, path);
    opt.bind_and_activate = false;
    assert_int_equal(shs_unix_stream_server_new(&first, &opt, &sst_echo, &err), SHS_OK);
    assert_int_equal(shs_server_bind(first), SHS_OK);
    opt.bind_and_activate = true;
    assert_int_equal(shs_unix_stream_server_new(&second, &opt, &sst_echo, &err), SHS_IO);
    assert_int_equal(err.sys_errno, EADDRINUSE);
    assert_true(answers(path));
    shs_server_free(first);
    assert_int_equal(unlink(path), 0);
    sst_dir_remove(&dir);
}

/* A relative path is the one that it was when it was bound. */
static void test_a_relative_path_and_chdir(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct sst_dir dir;
    char here[4096], inner[128], path[128];
    struct stat st;

    (void)state;
    assert_non_null(getcwd(here, sizeof here));
    sst_dir_make(&dir);
    snprintf(inner, sizeof inner, "%s/inner", dir.path);
    snprintf(path, sizeof path, "%s/inner/s", dir.path);
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_int_equal(chdir(dir.path), 0);
    defaults(&opt, "inner/s");
    opt.unlink_on_close = true;
    assert_int_equal(shs_unix_stream_server_new(&server, &opt, &sst_echo, NULL), SHS_OK);
    assert_string_equal(shs_server_host(server), "inner/s");
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(shs_server_close(server), SHS_OK);
    assert_int_equal(stat(path, &st), -1); /* and not "/inner/s" was looked for */
    shs_server_free(server);

    /* Somebody else's by now: it stays. */
    assert_int_equal(chdir(inner), 0);
    defaults(&opt, "s");
    opt.unlink_on_close = true;
    assert_int_equal(shs_unix_stream_server_new(&server, &opt, &sst_echo, NULL), SHS_OK);
    assert_int_equal(unlink("s"), 0);
    leave_stale("s");
    shs_server_free(server);
    assert_int_equal(unlink("s"), 0);

    assert_int_equal(chdir(here), 0);
    assert_int_equal(rmdir(inner), 0);
    sst_dir_remove(&dir);
}

/* Without the lock nothing is replaced; who replaces nothing needs none. */
static void test_a_directory_that_cannot_be_locked(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;
    struct sst_dir dir;

    (void)state;
    if (geteuid() == 0) /* root may read any directory */
        skip();
    sst_dir_make(&dir);
    assert_int_equal(chmod(dir.path, 0300), 0);
    defaults(&opt, sst_in_dir(&dir, "s"));
    assert_int_equal(shs_unix_stream_server_new(&server, &opt, &sst_echo, &err), SHS_IO);
    assert_int_equal(err.sys_errno, EACCES);
    opt.unlink_on_bind = false; /* then there is nothing to lock it for */
    assert_int_equal(shs_unix_stream_server_new(&server, &opt, &sst_echo, &err), SHS_OK);
    shs_server_free(server);
    assert_int_equal(chmod(dir.path, 0700), 0);
    assert_int_equal(unlink(sst_in_dir(&dir, "s")), 0);
    sst_dir_remove(&dir);
}

/* Its mode and group are those of the options, whatever the umask is. */
static void test_mode_and_group(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;
    struct sst_dir dir;
    char group[24];
    struct stat st;

    (void)state;
    sst_dir_make(&dir);
    defaults(&opt, sst_in_dir(&dir, "s"));
    opt.unlink_on_close = true;
    for (unsigned mode = 0600; mode <= 0666; mode += 033) {
        opt.path_mode = mode;
        snprintf(group, sizeof group, "%u", (unsigned)getegid());
        opt.path_group = mode == 0600 ? NULL : group;
        assert_int_equal(shs_unix_stream_server_new(&server, &opt, &sst_echo, &err), SHS_OK);
        assert_int_equal(stat(opt.path, &st), 0);
        assert_int_equal(st.st_mode & 0777, mode);
        assert_int_equal(st.st_gid, getegid());
        shs_server_free(server);
    }
    opt.path_group = "no-such-group";
    assert_int_equal(shs_unix_stream_server_new(&server, &opt, &sst_echo, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "there is no group 'no-such-group'"));
    assert_int_equal(stat(opt.path, &st), -1); /* nothing is left there */
    opt.path_group = "12x";
    assert_int_equal(shs_unix_stream_server_new(&server, &opt, &sst_echo, &err), SHS_USAGE);
    opt.path_group = NULL;
    opt.path_mode = 010000;
    assert_int_equal(shs_unix_stream_server_new(&server, &opt, &sst_echo, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "path_mode"));
    sst_dir_remove(&dir);
}

/* What is there and no socket is left alone, and not taken for a server's. */
static void test_what_is_no_socket(void **state)
{
    struct sst_dir dir;
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;

    (void)state;
    sst_dir_make(&dir);
    defaults(&opt, dir.path);
    for (int removes = 0; removes < 2; removes++) {
        opt.unlink_on_bind = removes == 1;
        assert_int_equal(shs_unix_stream_server_new(&server, &opt, &sst_echo, &err), SHS_IO);
        assert_non_null(strstr(err.text, "what is there is not a socket"));
    }
    sst_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_several_starters_wins),
        cmocka_unit_test(test_a_bound_socket_is_not_stolen),
        cmocka_unit_test(test_a_relative_path_and_chdir),
        cmocka_unit_test(test_a_directory_that_cannot_be_locked),
        cmocka_unit_test(test_mode_and_group),
        cmocka_unit_test(test_what_is_no_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
