#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "handler/store.h"

struct place {
    char path[32];
    int fd;
};

static int make_place(void **state)
{
    static struct place place;

    memcpy(place.path, "/tmp/shs-test-XXXXXX", 21);
    if (mkdtemp(place.path) == NULL)
        return -1;
    place.fd = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = &place;
    return place.fd < 0 ? -1 : 0;
}

/* How many names there are, hidden ones too. */
static size_t count_names(const struct place *place)
{
    DIR *dir = opendir(place->path);
    const struct dirent *item;
    size_t count = 0;

    assert_non_null(dir);
    while ((item = readdir(dir)) != NULL)
        count += strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static int remove_place(void **state)
{
    struct place *place = *state;

    (void)unlinkat(place->fd, "a", 0);
    close(place->fd);
    return rmdir(place->path);
}

static void check_content(const struct place *place, const char *wanted)
{
    int fd = openat(place->fd, "a", O_RDONLY | O_CLOEXEC);
    char data[16] = "";

    assert_true(fd >= 0);
    assert_int_equal(read(fd, data, sizeof data - 1), (ssize_t)strlen(wanted));
    assert_string_equal(data, wanted);
    close(fd);
}

static void test_store(void **state)
{
    struct place *place = *state;
    struct shs_store store;

    assert_int_equal(shs__store_begin(&store, place->fd), SHS_OK);
    assert_int_equal(write(store.fd, "one", 3), 3);
    shs__store_drop(&store);
    assert_int_equal(count_names(place), 0); /* not published: never there */

    assert_int_equal(shs__store_begin(&store, place->fd), SHS_OK);
    assert_int_equal(write(store.fd, "one", 3), 3);
    assert_int_equal(shs__store_sync(&store), SHS_OK);
    assert_int_equal(shs__store_publish(&store, "a", false), SHS_OK);
    shs__store_drop(&store);
    assert_int_equal(shs__store_sync_directory(place->fd), SHS_OK);
    check_content(place, "one");
    assert_int_equal(count_names(place), 1);

    assert_int_equal(shs__store_begin(&store, place->fd), SHS_OK);
    assert_int_equal(write(store.fd, "second", 6), 6);
    assert_int_equal(shs__store_publish(&store, "a", false), SHS_IO);
    assert_int_equal(errno, EEXIST);
    check_content(place, "one");
    assert_int_equal(shs__store_publish(&store, "a", true), SHS_OK);
    shs__store_drop(&store);
    check_content(place, "second");
    assert_int_equal(count_names(place), 1);
}

/* A name that cannot be had: what was written leaves nothing behind. */
static void test_failure(void **state)
{
    struct place *place = *state;
    struct shs_store store;

    assert_int_equal(mkdirat(place->fd, "d", 0755), 0);
    assert_int_equal(shs__store_begin(&store, place->fd), SHS_OK);
    assert_int_equal(shs__store_publish(&store, "d", true), SHS_IO);
    assert_int_equal(errno, EISDIR);
    shs__store_drop(&store);
    assert_int_equal(unlinkat(place->fd, "d", AT_REMOVEDIR), 0);
    assert_int_equal(count_names(place), 0);
    assert_int_equal(shs__store_begin(&store, -1), SHS_IO);
    shs__store_drop(&store);
}

/* Where there are no files without a name (/proc is one such place): a hidden one. */
static void test_no_tmpfile(void **state)
{
    struct shs_store store;
    int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    SHS_UNUSED(state);
    assert_true(fd >= 0);
    assert_int_equal(shs__store_begin(&store, fd), SHS_IO);
    assert_int_equal(store.fd, -1);
    shs__store_drop(&store);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_store, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_failure, make_place, remove_place),
        cmocka_unit_test(test_no_tmpfile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
