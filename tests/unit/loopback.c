#include "loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <shs/server.h>

#include "patience.h"

void *loopback_serve(void *server)
{
    return (void *)(intptr_t)shs_serve_forever(server);
}

void loopback_connect(int fd, unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
}

int loopback_dial(unsigned port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    loopback_connect(fd, port);
    return fd;
}

void loopback_say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

void loopback_ask(int fd, const char *path)
{
    char text[128];
    int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);

    assert_in_range(len, 1, sizeof text - 1);
    loopback_say(fd, text);
}

const char *loopback_hear(int fd)
{
    static char buf[4096];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;

    assert_int_equal(poll(&p, 1, patience_ms()), 1);
    n = recv(fd, buf, sizeof buf - 1, 0);
    buf[n < 0 ? 0 : n] = '\0';
    return n < 0 ? "(reset)" : buf;
}

bool loopback_hears(int fd, const char *text)
{
    return strstr(loopback_hear(fd), text) != NULL;
}
