#include "cmd/serve_open.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "cmd/cmd.h"

#define OPENER "xdg-open"
#define URL_MAX 1024

static int opener = -1;
static const char *no_opener; /* why there is none; a sentence's end */

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);

    return value != NULL && value[0] != '\0';
}

/* The first of that name in PATH; absolute directories only, for "" and "." are what is served. */
static bool find_program(char *out, size_t cap)
{
    const char *at = getenv("PATH");

    while (at != NULL && *at != '\0') {
        size_t len = strcspn(at, ":");
        int n = snprintf(out, cap, "%.*s/" OPENER, (int)len, at);

        if (at[0] == '/' && n > 0 && (size_t)n < cap && access(out, X_OK) == 0)
            return true;
        at += len + (at[len] == ':');
    }
    return false;
}

/* -- the one that waits ------------------------------------------------------------------------ */

static void set_signals(void (*handler)(int))
{
    static const int ours[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGCHLD};
    struct sigaction action = {.sa_handler = handler};
    sigset_t none;

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < SHS_ARRAY_LEN(ours); i++)
        sigaction(ours[i], &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Nothing of ours stays open in a browser: neither what is passed on by us, nor the terminal, which
   others may wait to be closed. */
static int keep_only(int fd)
{
    int null = open("/dev/null", O_RDWR);

    fd = fcntl(fd, F_DUPFD_CLOEXEC, 4); /* it is below 3 where those were closed */
    for (int i = 0; i < 3 && null >= 0; i++)
        (void)dup2(null, i);
    fd = dup3(fd, 3, O_CLOEXEC);
    (void)close_range(4, ~0u, 0);
    return fd;
}

static void wait_for_url(int fd, const char *program)
{
    char url[URL_MAX];
    size_t len = 0;
    ssize_t n;

    set_signals(SIG_IGN);
    (void)setsid();
    fd = keep_only(fd);
    do {
        n = read(fd, url + len, sizeof url - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    } while ((n > 0 && len < sizeof url - 1) || (n < 0 && errno == EINTR));
    (void)close(fd);
    if (len == 0)
        return;
    url[len] = '\0';
    set_signals(SIG_DFL);
    execl(program, OPENER, url, (char *)NULL);
}

/* Twice, so that it is nobody's child here, and leaves nothing to wait for. */
static int start(int fd, const char *program)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        pid = fork();
        if (pid == 0)
            wait_for_url(fd, program);
        _exit(pid < 0);
    }
    if (pid < 0)
        return errno;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return errno;
    }
    return status == 0 ? 0 : EAGAIN;
}

/* -- the server -------------------------------------------------------------------------------- */

int serve_open_prepare(void)
{
    static char program[4096];
    char text[64];
    int ends[2], error;

    if (!is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY")) {
        no_opener = "there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set)";
        return CMD_OK;
    }
    if (!find_program(program, sizeof program)) {
        no_opener = "there is no " OPENER " in PATH (Debian: xdg-utils)";
        return CMD_OK;
    }
    if (pipe2(ends, O_CLOEXEC) != 0)
        return cmd_fail(CMD_FAILED, "--open: %s", shs__strerror(errno, text, sizeof text));
    error = start(ends[0], program);
    (void)close(ends[0]);
    opener = ends[1];
    if (error == 0)
        return CMD_OK;
    return cmd_fail(CMD_FAILED, "--open: no process can be started: %s",
                    shs__strerror(error, text, sizeof text));
}

void serve_open_url(const char *url)
{
    size_t len = url == NULL ? 0 : strlen(url);

    if (len == 0 || len >= URL_MAX)
        cmd_warn("--open: it listens at a Unix socket, which a browser cannot open");
    else if (no_opener != NULL)
        cmd_warn("--open: %s: open %s yourself", no_opener, url);
    else if (write(opener, url, len) != (ssize_t)len)
        cmd_warn("--open: " OPENER " has ended: open %s yourself", url);
    if (opener >= 0)
        (void)close(opener);
    opener = -1;
}
