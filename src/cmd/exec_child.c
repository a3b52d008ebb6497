#include "cmd/exec_child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"

/* What is left of a command is looked for so often; and for so long after it was killed. */
#define LOOK_MS 10
#define GRACE_AFTER_KILL_MS 1000
#define CHILDREN_MAX 256

static sigset_t signals; /* that are taken from the queue */
static sigset_t before;  /* what the command gets ... */
static struct sigaction pipe_before;

void exec_child_adopt(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void exec_child_prepare(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGQUIT);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, &before);
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, &pipe_before); /* a reader of our errors that has gone is no end */
    exec_child_adopt();
}

/* -- starting it ------------------------------------------------------------------------------- */

/* In the child: nothing but async-signal-safe calls. Never returns. */
static void become(char *const *argv, char *const *envp, int report, pid_t parent)
{
    int failed;

    sigprocmask(SIG_SETMASK, &before, NULL);
    sigaction(SIGPIPE, &pipe_before, NULL);
    /* When we are killed, nobody else ends it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXEC_NOT_STARTED);
    execvpe(argv[0], argv, envp);
    failed = errno;
    (void)!write(report, &failed, sizeof failed);
    _exit(EXEC_NOT_STARTED);
}

static int cannot_start(const char *name, int failed)
{
    char why[96];

    return cmd_fail(failed == ENOENT ? EXEC_NOT_FOUND : EXEC_NOT_STARTED, "cannot start '%s': %s",
                    name, shs__strerror(failed, why, sizeof why));
}

/* CMD_OK with *pid once it runs; else what to exit with, and it has been said. */
static int start(char *const *argv, char *const *envp, pid_t *pid)
{
    int report[2], failed = 0;
    pid_t parent = getpid();
    ssize_t n;

    if (pipe2(report, O_CLOEXEC) != 0)
        return cannot_start(argv[0], errno);
    *pid = fork();
    if (*pid == 0)
        become(argv, envp, report[1], parent);
    failed = *pid < 0 ? errno : 0;
    close(report[1]);
    do {
        n = *pid < 0 ? 0 : read(report[0], &failed, sizeof failed);
    } while (n < 0 && errno == EINTR);
    close(report[0]);
    if (failed == 0)
        return CMD_OK;
    if (*pid > 0)
        (void)waitpid(*pid, NULL, 0);
    return cannot_start(argv[0], failed);
}

/* -- what it has left behind ------------------------------------------------------------------- */

static size_t read_children(const char *task, pid_t *pids, size_t count)
{
    char path[300];
    FILE *file;
    int pid;

    snprintf(path, sizeof path, "/proc/self/task/%s/children", task);
    file = fopen(path, "re");
    while (file != NULL && count < CHILDREN_MAX && fscanf(file, "%d", &pid) == 1)
        pids[count++] = pid;
    if (file != NULL)
        fclose(file);
    return count;
}

/* All that are children of any thread of ours. */
static size_t find_children(pid_t *pids)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *task;
    size_t count = 0;

    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        if (task->d_name[0] != '.')
            count = read_children(task->d_name, pids, count);
    }
    if (tasks != NULL)
        closedir(tasks);
    return count;
}

static void nap(void)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * SHS_NS_PER_MS};

    nanosleep(&look, NULL);
}

static bool has_pid(const pid_t *pids, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++) {
        if (pids[i] == pid)
            return true;
    }
    return false;
}

/* The children of one that has ended are ours from then on, and are told when they show up. */
void exec_child_end_the_rest(unsigned grace_ms)
{
    int64_t deadline = shs__deadline_after(shs_now_ns(), grace_ms);
    int64_t give_up = shs__deadline_after(deadline, GRACE_AFTER_KILL_MS);
    pid_t pids[2][CHILDREN_MAX];
    size_t count, before_count = 0;

    for (unsigned turn = 0;; turn ^= 1) {
        const pid_t *last = pids[turn ^ 1];

        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
        count = find_children(pids[turn]);
        if (count == 0 || shs_now_ns() >= give_up)
            return;
        for (size_t i = 0; i < count; i++) {
            if (shs_now_ns() >= deadline)
                (void)kill(pids[turn][i], SIGKILL);
            else if (!has_pid(last, before_count, pids[turn][i]))
                (void)kill(pids[turn][i], SIGTERM);
        }
        before_count = count;
        nap();
    }
}

/* -- to its end -------------------------------------------------------------------------------- */

struct running {
    pid_t pid;
    int64_t timeout_ns; /* INT64_MAX: none */
    int64_t kill_ns;    /* INT64_MAX: nobody has told it to end */
    unsigned grace_ms;
    bool timed_out;
};

static void tell(struct running *self, int number)
{
    (void)kill(self->pid, number);
    if (self->kill_ns == INT64_MAX)
        self->kill_ns = shs__deadline_after(shs_now_ns(), self->grace_ms);
}

static void look_at_the_clock(struct running *self)
{
    int64_t now = shs_now_ns();

    if (now >= self->kill_ns) {
        (void)kill(self->pid, SIGKILL);
        self->kill_ns = shs__deadline_after(now, self->grace_ms);
    } else if (now >= self->timeout_ns) {
        self->timed_out = true;
        self->timeout_ns = INT64_MAX;
        tell(self, SIGTERM);
    }
}

/* The next signal, or none by the next moment at which something is due. */
static void wait_for_signal(struct running *self)
{
    int64_t due = self->kill_ns < self->timeout_ns ? self->kill_ns : self->timeout_ns;
    int64_t left = due - shs_now_ns();
    struct timespec limit = {.tv_sec = 3600};
    siginfo_t info;
    int number;

    if (due != INT64_MAX && left < 3600 * (int64_t)SHS_NS_PER_S) {
        left = left > 0 ? left : 0;
        limit.tv_sec = left / SHS_NS_PER_S;
        limit.tv_nsec = left % SHS_NS_PER_S;
    }
    number = sigtimedwait(&signals, &info, &limit);
    if (number < 0) {
        look_at_the_clock(self);
        return;
    }
    if (number == SIGCHLD)
        return;
    /* A key that was pressed at the terminal has reached the command as well. */
    if (info.si_code == SI_KERNEL)
        self->kill_ns = self->kill_ns != INT64_MAX
                            ? self->kill_ns
                            : shs__deadline_after(shs_now_ns(), self->grace_ms);
    else
        tell(self, number);
}

/* Its status, once it has ended; children of its own that have ended are taken as well. */
static bool has_ended(const struct running *self, int *status)
{
    bool ended = false;
    int one;
    pid_t pid;

    while ((pid = waitpid(-1, &one, WNOHANG)) > 0) {
        if (pid != self->pid)
            continue;
        *status = one;
        ended = true;
    }
    return ended;
}

int exec_child_run(char *const *argv, char *const *envp, unsigned timeout_ms, unsigned grace_ms)
{
    struct running running = {.grace_ms = grace_ms, .kill_ns = INT64_MAX, .timeout_ns = INT64_MAX};
    int status = 0, code = start(argv, envp, &running.pid);

    if (code != CMD_OK)
        return code;
    if (timeout_ms > 0)
        running.timeout_ns = shs__deadline_after(shs_now_ns(), timeout_ms);
    while (!has_ended(&running, &status))
        wait_for_signal(&running);
    exec_child_end_the_rest(grace_ms);
    if (running.timed_out)
        return cmd_fail(EXEC_TIMED_OUT, "'%s' was ended: it ran longer than --timeout", argv[0]);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
