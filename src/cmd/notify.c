#include "cmd/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"

#define MESSAGE_MAX 1024

/* Set before there are threads. */
static int manager = -1;
static unsigned watchdog_ms;
static char manager_path[sizeof((struct sockaddr_un *)NULL)->sun_path + 1];

/* "/run/systemd/notify", or "@name" in the abstract namespace. */
static bool address_of(const char *path, struct sockaddr_un *to, socklen_t *len)
{
    size_t n = strlen(path);

    if ((path[0] != '/' && path[0] != '@') || n < 2 || n >= sizeof to->sun_path)
        return false;
    memset(to, 0, sizeof *to);
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, path, n);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (path[0] == '@')
        to->sun_path[0] = '\0';
    else
        *len += 1;
    return true;
}

static void read_watchdog(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    unsigned long long value = usec == NULL ? 0 : strtoull(usec, NULL, 10);

    if (pid != NULL && strtoull(pid, NULL, 10) != (unsigned long long)getpid())
        return;
    if (value / 1000 <= UINT32_MAX)
        watchdog_ms = (unsigned)(value / 1000);
}

int notify_open(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to;
    socklen_t len = 0;
    char text[64];

    if (path == NULL || path[0] == '\0')
        return CMD_OK;
    if (!address_of(path, &to, &len))
        return cmd_fail(CMD_FAILED, "NOTIFY_SOCKET is not a path and not @NAME: %s", path);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Connected now: a sandbox that is closed later need not allow it. */
    if (manager < 0 || connect(manager, (struct sockaddr *)&to, len) != 0)
        return cmd_fail(CMD_FAILED, "cannot reach the service manager at %s (NOTIFY_SOCKET): %s",
                        path, shs__strerror(errno, text, sizeof text));
    read_watchdog();
    snprintf(manager_path, sizeof manager_path, "%s", path);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return CMD_OK;
}

void notify_restore_environment(void)
{
    char usec[32];

    if (manager < 0)
        return;
    setenv("NOTIFY_SOCKET", manager_path, 1);
    if (watchdog_ms == 0)
        return;
    snprintf(usec, sizeof usec, "%llu", (unsigned long long)watchdog_ms * 1000);
    setenv("WATCHDOG_USEC", usec, 1);
}

bool notify_is_open(void)
{
    return manager >= 0;
}

unsigned notify_watchdog_ms(void)
{
    return watchdog_ms;
}

bool notify_send(const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    va_list ap;
    ssize_t n;
    int len;

    if (manager < 0)
        return false;
    va_start(ap, fmt);
    len = vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (len < 0)
        return false;
    if ((size_t)len >= sizeof message)
        len = (int)sizeof message - 1;
    do
        n = send(manager, message, (size_t)len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == len;
}

void notify_reloading(const char *status)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    (void)notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=%s",
                      (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, status);
}
