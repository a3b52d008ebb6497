/*
 * threads.c - what each thread of the process does: as the kernel sees it, and which connection it
 * has.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/admin.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <shs/json.h>

#define ROWS_AT_A_TIME 64
#define TASKS "/proc/self/task"

struct dump {
    struct shs_admin *admin;
    json_t *by_tid; /* a thread's number as text: what it is at */
    int64_t now_ns;
};

/* -- connections that a thread has ------------------------------------------------------------- */

static json_t *work_of(const struct dump *self, const struct shs_admin_row *row, const char *server)
{
    int64_t age_ns = self->now_ns - row->request_ns;
    bool at_it = row->request[0] != '\0';

    return json_pack(
        "{s:o, s:I, s:o, s:o, s:b}", "server", shs__admin_text(server), "connection",
        (json_int_t)row->id, "request", at_it ? shs__admin_text(row->request) : json_null(),
        "age_s", at_it ? json_real((double)(age_ns / SHS_NS_PER_MS) / 1000) : json_null(), "stuck",
        (int)(at_it && age_ns >= (int64_t)self->admin->opt.stuck_ms * SHS_NS_PER_MS));
}

static bool add_work(void *dump, struct shs_admin_watch *watch, bool own)
{
    struct shs_admin_row rows[ROWS_AT_A_TIME];
    struct dump *self = dump;
    uint64_t after = 0;
    char tid[16];
    size_t count;

    SHS_UNUSED(own);
    do {
        count = shs__admin_watch_rows(watch, after, rows, SHS_ARRAY_LEN(rows));
        for (size_t i = 0; i < count; i++) {
            after = rows[i].id;
            snprintf(tid, sizeof tid, "%d", (int)rows[i].tid);
            if (rows[i].tid != 0)
                (void)json_object_set_new(self->by_tid, tid,
                                          work_of(self, &rows[i], shs__admin_watch_name(watch)));
            shs__admin_row_free(&rows[i]);
        }
    } while (count == SHS_ARRAY_LEN(rows));
    return true;
}

/* -- threads, as the kernel has them ----------------------------------------------------------- */

/* The first line of /proc/self/task/TID/NAME; "" when it is not to be had. */
static void read_line(const char *tid, const char *name, char *line, size_t cap)
{
    char path[64];
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof path, TASKS "/%.12s/%s", tid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, line, cap - 1);
        close(fd);
    }
    line[n > 0 ? n : 0] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

/* Of "TID (NAME) STATE ... utime stime ...": the state, and seconds of a processor. */
static char state_of(const char *stat, double *cpu_s)
{
    const char *at = strrchr(stat, ')');
    unsigned long long user, system;
    char state = '?';

    *cpu_s = 0;
    if (at == NULL || at[1] == '\0')
        return state;
    state = at[2];
    at += 2;
    for (int field = 0; at != NULL && field < 11; field++) {
        at = strchr(at, ' ');
        at = at == NULL ? NULL : at + 1;
    }
    if (at != NULL && sscanf(at, "%llu %llu", &user, &system) == 2)
        *cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    return state;
}

static const char *state_name(char state)
{
    switch (state) {
    case 'R':
        return "running";
    case 'S':
        return "sleeping";
    case 'D':
        return "disk";
    case 'T':
    case 't':
        return "stopped";
    default:
        return "other";
    }
}

static json_t *thread_of(const struct dump *self, const char *tid)
{
    json_t *work = json_object_get(self->by_tid, tid);
    char name[64], stat[512];
    double cpu_s;
    char state;

    read_line(tid, "comm", name, sizeof name);
    read_line(tid, "stat", stat, sizeof stat);
    state = state_of(stat, &cpu_s);
    return json_pack("{s:i, s:o, s:s, s:f, s:b, s:o}", "thread", (int)strtol(tid, NULL, 10), "name",
                     shs__admin_text(name), "state", state_name(state), "cpu_s", cpu_s, "stuck",
                     (int)(work != NULL && json_is_true(json_object_get(work, "stuck"))), "work",
                     work == NULL ? json_null() : json_incref(work));
}

int shs__admin_get_threads(struct shs_request *req, struct shs_response *res)
{
    struct dump self = {.admin = shs_request_ctx(req), .now_ns = shs_now_ns()};
    DIR *tasks = opendir(TASKS);
    json_t *list = json_array();
    struct dirent *entry;

    if (tasks == NULL) {
        json_decref(list);
        return shs__admin_refuse(res, 501, "there is no " TASKS " on this system", NULL);
    }
    self.by_tid = json_object();
    shs__admin_each(self.admin, add_work, &self);
    while ((entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] != '.')
            (void)json_array_append_new(list, thread_of(&self, entry->d_name));
    }
    closedir(tasks);
    json_decref(self.by_tid);
    return shs_send_json(res, 200, list);
}

#endif
