/* test_cores.c - how many cores are for us: the affinity, and the quotas of control groups. */
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/server.h"
#include "socketserver_support.h"

#define V2_MOUNT "36 25 0:31 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT                                                                                   \
    "30 25 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"                            \
    "31 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"

struct file {
    const char *path, *text;
};

struct row {
    const char *name;
    const char *groups, *mounts; /* NULL: there is no such file */
    struct file files[4];
    unsigned cores;
};

static const struct row rows[] = {
    {.name = "nothing to read", .cores = UINT_MAX},
    {.name = "no mounts", .groups = "0::/a\n", .cores = UINT_MAX},
    {.name = "version 2, no quota",
     .groups = "0::/a\n",
     .mounts = V2_MOUNT,
     .files = {{"/sys/fs/cgroup/a/cpu.max", "max 100000\n"}},
     .cores = UINT_MAX},
    {.name = "version 2",
     .groups = "0::/a\n",
     .mounts = "22 25 0:5 / /proc rw - proc proc rw\n" V2_MOUNT,
     .files = {{"/sys/fs/cgroup/a/cpu.max", "300000 100000\n"}},
     .cores = 3},
    {.name = "a part of a core is a worker",
     .groups = "0::/a\n",
     .mounts = V2_MOUNT,
     .files = {{"/sys/fs/cgroup/a/cpu.max", "150000 100000\n"}},
     .cores = 2},
    {.name = "and so is less than one",
     .groups = "0::/a\n",
     .mounts = V2_MOUNT,
     .files = {{"/sys/fs/cgroup/a/cpu.max", "1000 100000\n"}},
     .cores = 1},
    {.name = "the group around it has less",
     .groups = "0::/a/b/c\n",
     .mounts = V2_MOUNT,
     .files = {{"/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n"},
               {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
               {"/sys/fs/cgroup/a/cpu.max", "200000 50000\n"}},
     .cores = 4},
    {.name = "a namespace of its own: the quota is at the top",
     .groups = "0::/\n",
     .mounts = V2_MOUNT,
     .files = {{"/sys/fs/cgroup/cpu.max", "200000 100000\n"}},
     .cores = 2},
    {.name = "a container without one: its group is what is mounted",
     .groups = "0::/docker/x/y\n",
     .mounts = "36 25 0:31 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n",
     .files = {{"/sys/fs/cgroup/y/cpu.max", "max 100000\n"},
               {"/sys/fs/cgroup/cpu.max", "250000 100000\n"},
               {"/sys/fs/cgroup/docker/x/y/cpu.max", "100000 100000\n"}},
     .cores = 3},
    {.name = "a group that is not below the mount",
     .groups = "0::/docker/xy\n",
     .mounts = "36 25 0:31 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n",
     .files = {{"/sys/fs/cgroup/cpu.max", "400000 100000\n"},
               {"/sys/fs/cgroup/y/cpu.max", "100000 100000\n"}},
     .cores = 4},
    {.name = "a group beside the namespace",
     .groups = "0::/../../etc\n",
     .mounts = V2_MOUNT,
     .files = {{"/sys/fs/cgroup/cpu.max", "400000 100000\n"}},
     .cores = 4},
    {.name = "version 1",
     .groups = "5:cpuset:/b\n4:cpu,cpuacct:/a\n1:name=cpu:/c\n0::/\n",
     .mounts = V1_MOUNT,
     .files = {{"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "350000\n"},
               {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
     .cores = 4},
    {.name = "version 1, no quota",
     .groups = "4:cpuacct,cpu:/a\n",
     .mounts = V1_MOUNT,
     .files = {{"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n"},
               {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
     .cores = UINT_MAX},
    {.name = "a cpuset is not a quota",
     .groups = "4:cpuset:/a\n",
     .mounts = V1_MOUNT,
     .files = {{"/sys/fs/cgroup/cpuset/a/cpu.cfs_quota_us", "100000\n"},
               {"/sys/fs/cgroup/cpuset/a/cpu.cfs_period_us", "100000\n"}},
     .cores = UINT_MAX},
    {.name = "both versions",
     .groups = "4:cpu,cpuacct:/a\n0::/a\n",
     .mounts = V1_MOUNT V2_MOUNT,
     .files = {{"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "200000\n"},
               {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"},
               {"/sys/fs/cgroup/a/cpu.max", "300000 100000\n"}},
     .cores = 2},
    {.name = "nonsense",
     .groups = "0::/a\n",
     .mounts = V2_MOUNT,
     .files = {{"/sys/fs/cgroup/a/cpu.max", "100000 0\n"}, {"/sys/fs/cgroup/cpu.max", "-5 -5\n"}},
     .cores = UINT_MAX},
    {.name = "nonsense in the kernel's own files",
     .groups = "0::\n::\n:\nx",
     .mounts = "36\n36 25 - cgroup2\n - cgroup2 \n36 25 0:31 / - cgroup2 x",
     .cores = UINT_MAX},
};

static void write_file(const char *prefix, const char *path, const char *text)
{
    char full[512];
    FILE *f;

    snprintf(full, sizeof full, "%s%s", prefix, path);
    for (char *at = full + strlen(prefix) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(full, 0700); /* it may be there */
        *at = '/';
    }
    f = fopen(full, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void remove_tree(const char *path)
{
    char command[512];

    snprintf(command, sizeof command, "rm -r '%s'", path);
    assert_int_equal(system(command), 0);
}

static void test_quotas(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        char dir[] = "/tmp/shs-cores-XXXXXX";
        unsigned cores;

        assert_non_null(mkdtemp(dir));
        if (row->groups != NULL)
            write_file(dir, "/proc/self/cgroup", row->groups);
        if (row->mounts != NULL)
            write_file(dir, "/proc/self/mountinfo", row->mounts);
        for (size_t f = 0; f < SHS_ARRAY_LEN(row->files) && row->files[f].path != NULL; f++)
            write_file(dir, row->files[f].path, row->files[f].text);
        cores = shs__quota_cores(dir);
        remove_tree(dir);
        if (cores != row->cores)
            fail_msg("%s: %u cores instead of %u", row->name, cores, row->cores);
    }
}

static void test_one_core_by_affinity(void **state)
{
    cpu_set_t all, one;
    int first = 0;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_in_range(shs__usable_cores(), 1, (unsigned)CPU_COUNT(&all));
    while (!CPU_ISSET((size_t)first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET((size_t)first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(shs__usable_cores(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quotas),
        cmocka_unit_test(test_one_core_by_affinity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
