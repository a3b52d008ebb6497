/*
 * cores.c - how many cores this process may use: fewer than there are, in a container.
 *
 * Two things bound it: the set of cores (affinity, cpusets), which is a number; and the quota of
 * its control groups, processor time per period, which is a number after a division. A quota of
 * one and a half cores is two: a worker too many waits, one too few leaves time unused.
 * Control groups are read as the kernel's documentation has them, version 2
 * (admin-guide/cgroup-v2.rst, cpu.max) and 1 (scheduler/sched-bwc.rst).
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/server.h"

#define FILE_MOST 65536u
/* Control groups within one another, from ours up. */
#define DEPTH_MOST 64
#define PATH_MOST 1024

/* The first `cap` - 1 bytes; false: there is no such file. */
static bool read_file(const char *path, char *text, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;

    if (fd < 0)
        return false;
    while (len < cap - 1 && (n = read(fd, text + len, cap - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    text[len] = '\0';
    return n >= 0;
}

/* Is `word` one of the words of `list`, which ends with its line or a blank? */
static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = list;; at++) {
        if (strncmp(at, word, len) == 0 && strchr(", \n", at[len]) != NULL)
            return true;
        at += strcspn(at, ", \n");
        if (*at != ',')
            return false;
    }
}

/* /proc/self/cgroup: "4:cpu,cpuacct:/path", and "0::/path" for version 2. */
static bool find_group(const char *text, bool v2, char *path, size_t cap)
{
    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *names = strchr(line, ':'), *at = names == NULL ? NULL : strchr(names + 1, ':');
        size_t len;

        if (at == NULL)
            return false;
        len = strcspn(at + 1, "\n");
        if (v2 ? strncmp(line, "0::", 3) == 0
               : at > names + 1 && names[1] != ':' && strncmp(names + 1, "name=", 5) != 0) {
            char list[256];

            snprintf(list, sizeof list, "%.*s ", (int)(at - names - 1), names + 1);
            if (v2 || has_word(list, "cpu"))
                return snprintf(path, cap, "%.*s", (int)len, at + 1) < (int)cap;
        }
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return false;
}

/* The n-th field of a line, from 0; "" if there are not so many. */
static const char *field(const char *line, int n)
{
    for (; n > 0; n--) {
        line += strcspn(line, " \n");
        if (*line != ' ')
            return "";
        line++;
    }
    return line;
}

static bool copy_field(const char *from, char *to, size_t cap)
{
    return snprintf(to, cap, "%.*s", (int)strcspn(from, " \n"), from) < (int)cap;
}

/*
 * /proc/self/mountinfo: where the hierarchy is mounted, and what of it.
 * "36 25 0:31 ROOT PLACE rw,... shared:1 - cgroup2 cgroup2 rw"
 */
static bool find_mount(const char *text, bool v2, char *root, char *place, size_t cap)
{
    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n'), *dash = strstr(line, " - ");

        if (dash != NULL && (end == NULL || dash < end)) {
            const char *type = dash + 3;
            bool is_v2 = strncmp(type, "cgroup2 ", 8) == 0;
            bool is_v1 = strncmp(type, "cgroup ", 7) == 0 && has_word(field(type, 2), "cpu");

            if ((v2 ? is_v2 : is_v1) && copy_field(field(line, 3), root, cap) &&
                copy_field(field(line, 4), place, cap))
                return true;
        }
        line = end == NULL ? NULL : end + 1;
    }
    return false;
}

/* Cores, rounded up, of a quota of one directory; UINT_MAX: it has none. */
static unsigned quota_of(const char *dir, bool v2)
{
    char path[3 * PATH_MOST + 32], text[64];
    long long quota, period;
    char *end;

    snprintf(path, sizeof path, "%s/%s", dir, v2 ? "cpu.max" : "cpu.cfs_quota_us");
    if (!read_file(path, text, sizeof text))
        return UINT_MAX;
    quota = strtoll(text, &end, 10);
    if (end == text || quota <= 0) /* "max 100000", -1 */
        return UINT_MAX;
    if (!v2) {
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir);
        if (!read_file(path, text, sizeof text))
            return UINT_MAX;
        end = text;
    }
    period = strtoll(end, NULL, 10);
    if (period <= 0 || quota / period >= UINT_MAX - 1)
        return UINT_MAX;
    return (unsigned)(quota / period) + (quota % period != 0);
}

/* The smallest quota from this directory up to where the hierarchy is mounted. */
static unsigned least_quota(char *dir, size_t mount_len, bool v2)
{
    unsigned least = UINT_MAX;

    for (int i = 0; i < DEPTH_MOST; i++) {
        unsigned quota = quota_of(dir, v2);
        char *slash = strrchr(dir, '/');

        if (quota < least)
            least = quota;
        if (strlen(dir) <= mount_len || slash == NULL)
            break;
        *slash = '\0';
    }
    return least;
}

/* What of our group's path is below the mount: without a namespace of control groups, a container
   sees its own group mounted, and is told its path from the top. */
static const char *below(const char *path, const char *root)
{
    size_t len = strlen(root);

    if (strcmp(root, "/") == 0)
        return path;
    if (strncmp(path, root, len) == 0 && (path[len] == '/' || path[len] == '\0'))
        return path + len;
    return "";
}

static unsigned quota_in(const char *prefix, const char *groups, const char *mounts, bool v2)
{
    char path[PATH_MOST], root[PATH_MOST], place[PATH_MOST], dir[3 * PATH_MOST];
    int mount_len;

    if (!find_group(groups, v2, path, sizeof path) ||
        !find_mount(mounts, v2, root, place, sizeof root))
        return UINT_MAX;
    mount_len = snprintf(dir, sizeof dir, "%s%s", prefix, place);
    if (strstr(path, "..") == NULL) /* else it is beside what we see */
        snprintf(dir + mount_len, sizeof dir - (size_t)mount_len, "%s", below(path, root));
    return least_quota(dir, (size_t)mount_len, v2);
}

unsigned shs__quota_cores(const char *prefix)
{
    char path[PATH_MOST], *groups = shs__malloc(2 * FILE_MOST), *mounts;
    unsigned least = UINT_MAX;

    if (groups == NULL)
        return UINT_MAX;
    mounts = groups + FILE_MOST;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", prefix);
    if (read_file(path, groups, FILE_MOST)) {
        snprintf(path, sizeof path, "%s/proc/self/mountinfo", prefix);
        if (read_file(path, mounts, FILE_MOST)) {
            unsigned v2 = quota_in(prefix, groups, mounts, true);
            unsigned v1 = quota_in(prefix, groups, mounts, false);

            least = v1 < v2 ? v1 : v2;
        }
    }
    shs__free(groups);
    return least;
}

unsigned shs__usable_cores(void)
{
    unsigned cores = 1, quota = shs__quota_cores("");
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        cores = (unsigned)CPU_COUNT(&set);
    return quota < cores ? quota : cores;
}
