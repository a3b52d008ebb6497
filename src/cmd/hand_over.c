#include "cmd/hand_over.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/listen_fds.h"
#include "cmd/notify.h"
#include "cmd/serve_fds.h"

#define FDS_MAX (HAND_OVER_FDS_MAX + 1)
#define NAMES_MAX (FDS_MAX * LISTEN_FD_NAME_MAX)
#define ANSWER_MS 10000

/* To the one that waits; "name:name" follows. */
struct order {
    uint32_t count;
    char names[NAMES_MAX];
};

struct answer {
    int32_t pid; /* < 0: a negative errno */
};

static int starter = -1;

/* -- the one that waits ------------------------------------------------------------------------ */

static const int ours[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGCHLD};

static void set_signals(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < SHS_ARRAY_LEN(ours); i++)
        sigaction(ours[i], &action, NULL);
}

/* To 3, 4, 5 ...; first out of the way of these numbers. */
static bool place_fds(const int *fds, size_t count)
{
    int moved[FDS_MAX];

    for (size_t i = 0; i < count; i++) {
        moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, LISTEN_FDS_FIRST + FDS_MAX);
        if (moved[i] < 0)
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (dup2(moved[i], LISTEN_FDS_FIRST + (int)i) < 0) /* and not closed on exec */
            return false;
    }
    return true;
}

static void start_program(char **argv, const struct order *order, const int *fds)
{
    char number[24];
    sigset_t none;

    set_signals(SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!place_fds(fds, order->count))
        _exit(127);
    snprintf(number, sizeof number, "%ld", (long)getpid());
    setenv("LISTEN_PID", number, 1);
    snprintf(number, sizeof number, "%u", (unsigned)order->count);
    setenv("LISTEN_FDS", number, 1);
    setenv("LISTEN_FDNAMES", order->names, 1);
    execv(argv[0], argv);
    (void)cmd_fail(CMD_FAILED, "hand-over: cannot start %s", argv[0]);
    _exit(127);
}

/* True: an order has come, with its sockets. */
static bool receive(int fd, struct order *order, int *fds)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * FDS_MAX)];
    } control;
    struct iovec io = {.iov_base = order, .iov_len = sizeof *order};
    struct msghdr msg = {
        .msg_iov = &io,
        .msg_iovlen = 1,
        .msg_control = control.room,
        .msg_controllen = sizeof control.room,
    };
    struct cmsghdr *part;
    ssize_t n;

    do
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    part = n <= 0 ? NULL : CMSG_FIRSTHDR(&msg);
    if (part == NULL || order->count > FDS_MAX ||
        part->cmsg_len != CMSG_LEN(sizeof(int) * order->count))
        return false;
    memcpy(fds, CMSG_DATA(part), sizeof(int) * order->count);
    order->names[NAMES_MAX - 1] = '\0';
    return true;
}

static void wait_for_orders(int fd, char **argv)
{
    static struct order order;
    int fds[FDS_MAX];

    while (receive(fd, &order, fds)) {
        struct answer answer;
        pid_t pid = fork();

        if (pid == 0)
            start_program(argv, &order, fds);
        answer.pid = pid < 0 ? -errno : (int32_t)pid;
        for (uint32_t i = 0; i < order.count; i++)
            (void)close(fds[i]);
        (void)!send(fd, &answer, sizeof answer, MSG_NOSIGNAL);
    }
}

static void close_all_but(int fd)
{
    if (fd > 3)
        (void)close_range(3, (unsigned)fd - 1, 0);
    (void)close_range((unsigned)fd + 1, ~0u, 0);
}

int hand_over_open(int argc, char **argv)
{
    static char path[4096];
    char **whole = shs__calloc((size_t)argc + 2, sizeof *whole), text[64];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    int ends[2];
    pid_t pid;

    if (whole == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    if (len <= 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        shs__free(whole);
        return cmd_fail(CMD_FAILED, "--hand-over: %s", shs__strerror(errno, text, sizeof text));
    }
    /* By its name, not by what is open: an upgrade puts a new file there. */
    whole[0] = path;
    memcpy(whole + 1, argv, (size_t)argc * sizeof *argv);
    pid = fork();
    if (pid == 0) {
        set_signals(SIG_IGN); /* SIGCHLD too: who has been started is nobody's to wait for */
        close_all_but(ends[1]);
        notify_restore_environment();
        wait_for_orders(ends[1], whole);
        _exit(0);
    }
    shs__free(whole);
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return cmd_fail(CMD_FAILED, "--hand-over: %s", shs__strerror(errno, text, sizeof text));
    }
    starter = ends[0];
    return CMD_OK;
}

bool hand_over_is_open(void)
{
    return starter >= 0;
}

/* -- the process that goes --------------------------------------------------------------------- */

static bool wait_readable(int fd, unsigned ms)
{
    int64_t deadline = shs__deadline_after(shs_now_ns(), ms);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    do
        n = poll(&p, 1, shs__poll_ms(deadline, shs_now_ns()));
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static bool send_order(const struct hand_over_fd *fds, size_t count, int ready)
{
    static struct order order; /* one thread hands over */
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * FDS_MAX)];
    } control = {.room = ""};
    struct iovec io = {.iov_base = &order, .iov_len = sizeof order};
    struct msghdr msg = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control.room};
    struct cmsghdr *part;
    int numbers[FDS_MAX];
    size_t used;

    used = (size_t)snprintf(order.names, sizeof order.names, "%s", LISTEN_FDS_READY);
    numbers[0] = ready;
    for (size_t i = 0; i < count; i++) {
        numbers[i + 1] = fds[i].fd;
        used += (size_t)snprintf(order.names + used, sizeof order.names - used, ":%s", fds[i].name);
    }
    order.count = (uint32_t)count + 1;
    msg.msg_controllen = CMSG_SPACE(sizeof(int) * order.count);
    part = CMSG_FIRSTHDR(&msg);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * order.count);
    memcpy(CMSG_DATA(part), numbers, sizeof(int) * order.count);
    return sendmsg(starter, &msg, MSG_NOSIGNAL) == (ssize_t)sizeof order;
}

int hand_over_begin(const struct hand_over_fd *fds, size_t count, int *pid, const char **why)
{
    struct answer answer = {.pid = -ETIMEDOUT};
    int ends[2];

    if (count > HAND_OVER_FDS_MAX) {
        *why = "there are too many sockets";
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        *why = "no socket to talk to the new process by";
        return -1;
    }
    if (!send_order(fds, count, ends[1]) || !wait_readable(starter, ANSWER_MS) ||
        recv(starter, &answer, sizeof answer, 0) != (ssize_t)sizeof answer || answer.pid < 0) {
        (void)close(ends[0]);
        (void)close(ends[1]);
        *why = "the process that starts it is gone, or could not";
        return -1;
    }
    (void)close(ends[1]);
    *pid = answer.pid;
    return ends[0];
}

bool hand_over_wait(int ready_fd, unsigned ms)
{
    char byte;

    return wait_readable(ready_fd, ms) && recv(ready_fd, &byte, 1, 0) == 1;
}

void hand_over_end(int ready_fd, bool taken)
{
    if (taken)
        (void)!send(ready_fd, "!", 1, MSG_NOSIGNAL);
    (void)close(ready_fd);
}

/* -- the process that comes -------------------------------------------------------------------- */

bool hand_over_take(int ready_fd, unsigned ms)
{
    char byte;
    bool taken = send(ready_fd, "!", 1, MSG_NOSIGNAL) == 1 && wait_readable(ready_fd, ms) &&
                 recv(ready_fd, &byte, 1, 0) == 1;

    (void)close(ready_fd);
    return taken;
}
