#include "cmd/lab_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/exec_child.h"
#include "cmd/stop_signals.h"

/* A look at signals and clocks at least so often. */
#define LOOK_MS 50
/* A child that has ended may have left one that holds its output: so long is waited for the rest.
 */
#define REST_MS 200
/* Of a longer output: what it begins with; the rest of the room has its end. */
#define OUTPUT_HEAD (POOL_OUTPUT_MAX / 2)
#define PIECE_MAX 4096
/* What one turn takes: who writes faster than we read has a limit too. */
#define PIECES_MAX 64

struct job {
    pid_t pid; /* 0: the place is free */
    size_t index;
    int fd; /* -1: at its end */
    int status;
    bool ended, timed_out;
    int64_t began_ns, deadline_ns, rest_ns;
    size_t len;
    char output[POOL_OUTPUT_MAX + 1];
};

struct pool {
    const struct pool_caller *caller;
    char *const *envp;
    unsigned limit_ms, jobs, running;
    bool no_more;
    struct job *places;
};

/* -- starting one ------------------------------------------------------------------------------ */

static int spawn(pid_t *pid, char *const *words, char *const *envp, int out)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, usual;
    int rc;

    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigdefault(&attr, &usual);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, out, 2);
    rc = posix_spawnp(pid, words[0], &actions, &attr, words, envp);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return rc;
}

static void report_failure(const struct pool *self, size_t index, int failed)
{
    const struct pool_result result = {.status = failed, .output = ""};

    self->caller->done(self->caller->ctx, index, &result);
}

static void start_one(struct pool *self, struct job *job)
{
    char *const *words = self->caller->next(self->caller->ctx, &job->index);
    int ends[2], failed;

    if (words == NULL) {
        self->no_more = true;
        return;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        report_failure(self, job->index, errno);
        return;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    /* Before it begins: one that waits out the limit by itself must not seem sooner than that. */
    job->began_ns = shs_now_ns();
    failed = spawn(&job->pid, words, self->envp, ends[1]);
    close(ends[1]);
    if (failed != 0) {
        close(ends[0]);
        job->pid = 0;
        report_failure(self, job->index, failed);
        return;
    }
    job->fd = ends[0];
    job->ended = job->timed_out = false;
    job->len = 0;
    job->deadline_ns = shs__deadline_after(shs_now_ns(), self->limit_ms);
    self->running++;
}

/* -- to their ends ----------------------------------------------------------------------------- */

/* Clients say first who they are and last what came of it: where it is too long, its middle goes.
 */
static void keep_output(struct job *job, const char *piece, size_t len)
{
    size_t room = POOL_OUTPUT_MAX - job->len;
    char *rest = job->output + OUTPUT_HEAD;

    if (len > room) {
        job->len -= len - room;
        memmove(rest, rest + (len - room), job->len - OUTPUT_HEAD);
        rest[0] = '\n';
    }
    for (size_t i = 0; i < len; i++)
        job->output[job->len++] = (char)(piece[i] == '\0' ? '\n' : piece[i]);
}

static void read_output(struct job *job)
{
    char piece[PIECE_MAX];
    ssize_t n;

    _Static_assert(POOL_OUTPUT_MAX - OUTPUT_HEAD > 2 * PIECE_MAX - 1, "a piece fits in the end");
    for (unsigned i = 0; i < PIECES_MAX && job->fd >= 0; i++) {
        n = read(job->fd, piece, sizeof piece);
        if (n < 0 && errno != EINTR)
            return;
        if (n > 0)
            keep_output(job, piece, (size_t)n);
        if (n == 0) {
            close(job->fd);
            job->fd = -1;
        }
    }
}

/* By a signal; a shell says so of its child with 128 and the number. */
static bool has_crashed(int status)
{
    static const int faults[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV};

    for (size_t i = 0; i < SHS_ARRAY_LEN(faults); i++) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == 128 + faults[i])
            return true;
    }
    return WIFSIGNALED(status);
}

static void finish(struct pool *self, struct job *job)
{
    struct pool_result result = {.started = true, .timed_out = job->timed_out};

    (void)kill(-job->pid, SIGKILL); /* what it has left behind */
    if (job->fd >= 0)
        close(job->fd);
    job->output[job->len] = '\0';
    result.status =
        WIFSIGNALED(job->status) ? 128 + WTERMSIG(job->status) : WEXITSTATUS(job->status);
    result.crashed = !job->timed_out && has_crashed(job->status);
    result.seconds = (double)(shs_now_ns() - job->began_ns) / SHS_NS_PER_S;
    result.output = job->output;
    result.output_len = job->len;
    job->pid = 0;
    self->running--;
    self->caller->done(self->caller->ctx, job->index, &result);
}

static void look_at(struct pool *self, struct job *job)
{
    int64_t now = shs_now_ns();

    read_output(job);
    if (!job->ended && waitpid(job->pid, &job->status, WNOHANG) == job->pid) {
        job->ended = true;
        job->rest_ns = shs__deadline_after(now, REST_MS);
        read_output(job);
    }
    if (job->ended && (job->fd < 0 || now >= job->rest_ns)) {
        finish(self, job);
    } else if (!job->ended && now >= job->deadline_ns && !job->timed_out) {
        job->timed_out = true;
        (void)kill(-job->pid, SIGKILL);
    }
}

static void wait_a_moment(const struct pool *self)
{
    struct pollfd fds[POOL_JOBS_MAX];
    nfds_t count = 0;

    for (unsigned i = 0; i < self->jobs; i++) {
        if (self->places[i].pid != 0 && self->places[i].fd >= 0)
            fds[count++] = (struct pollfd){.fd = self->places[i].fd, .events = POLLIN};
    }
    /* A child that has closed its output is on its way out, and is not told by poll. */
    (void)poll(fds, count, count < self->running ? 1 : LOOK_MS);
}

static int signal_that_came(const sigset_t *set)
{
    const struct timespec now = {.tv_sec = 0};
    int number = sigtimedwait(set, NULL, &now);

    return number > 0 ? number : 0;
}

static void end_all(struct pool *self)
{
    for (unsigned i = 0; i < self->jobs; i++) {
        struct job *job = &self->places[i];

        if (job->pid == 0)
            continue;
        (void)kill(-job->pid, SIGKILL);
        if (!job->ended)
            (void)waitpid(job->pid, NULL, 0);
        if (job->fd >= 0)
            close(job->fd);
    }
}

static int run(struct pool *self, const sigset_t *set)
{
    while (!self->no_more || self->running > 0) {
        int number = signal_that_came(set);

        if (number != 0) {
            end_all(self);
            return 128 + number;
        }
        for (unsigned i = 0; i < self->jobs; i++) {
            if (self->places[i].pid == 0 && !self->no_more)
                start_one(self, &self->places[i]);
        }
        if (self->running > 0)
            wait_a_moment(self);
        for (unsigned i = 0; i < self->jobs; i++) {
            if (self->places[i].pid != 0)
                look_at(self, &self->places[i]);
        }
    }
    return CMD_OK;
}

static void signals_of(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGQUIT);
}

void pool_prepare(void)
{
    sigset_t set;

    signals_of(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    stop_signals_ignore_pipe();
    exec_child_adopt();
}

int pool_run(const struct pool_caller *caller, char *const *envp, unsigned jobs, unsigned limit_ms)
{
    struct pool self = {.caller = caller, .envp = envp, .limit_ms = limit_ms};
    sigset_t set;
    int code;

    self.jobs = jobs < 1 ? 1 : jobs > POOL_JOBS_MAX ? POOL_JOBS_MAX : jobs;
    self.places = shs__calloc(self.jobs, sizeof *self.places);
    if (self.places == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    signals_of(&set);
    code = run(&self, &set);
    exec_child_end_the_rest(REST_MS);
    shs__free(self.places);
    return code;
}
