#include "stream/stream.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* shs_socket_stream.cut */
#define CUT_READING 1u
#define CUT_WRITING 2u
#define CUT_AFTER_END 4u /* the peer's data had ended before */

#define SOCKET(s) SHS_CONTAINER_OF(s, struct shs_socket_stream, base)

int shs__stream_describe(const struct shs_stream *s, int code, struct shs_error *err)
{
    char buf[96];

    if (s->cls->describe != NULL) {
        s->cls->describe(s, err);
        err->code = (enum shs_err)code;
        return code;
    }
    if (s->sys_errno == 0)
        return shs_error_set(err, code, 0, "%s", shs_err_text(code));
    return shs_error_set(err, code, s->sys_errno, "%s: %s", s->cls->name,
                         shs__strerror(s->sys_errno, buf, sizeof buf));
}

int shs__stream_ready(struct shs_stream *s)
{
    while (s->cls->ready == NULL) {
        if (s->lower == NULL || shs__stream_pending(s))
            return SHS_OK;
        s = s->lower;
    }
    return s->cls->ready(s);
}

uint64_t shs__stream_delivered(const struct shs_stream *s)
{
    while (s->cls->delivered == NULL && s->lower != NULL)
        s = s->lower;
    return s->cls->delivered == NULL ? 0 : s->cls->delivered(s);
}

bool shs__stream_all_taken(const struct shs_stream *s)
{
    while (s->cls->all_taken == NULL && s->lower != NULL)
        s = s->lower;
    return s->cls->all_taken != NULL && s->cls->all_taken(s);
}

void shs__stream_acknowledge(struct shs_stream *s)
{
    while (s->cls->acknowledge == NULL && s->lower != NULL)
        s = s->lower;
    if (s->cls->acknowledge != NULL)
        s->cls->acknowledge(s);
}

/* What a failed transfer means to the conversation. */
static int socket_error(struct shs_socket_stream *self, int sys_errno, int wait)
{
    switch (sys_errno) {
    case EAGAIN:
#if EAGAIN != EWOULDBLOCK
    case EWOULDBLOCK:
#endif
        return wait;
    case ECONNRESET:
        self->reset = true;
        self->base.sys_errno = sys_errno;
        return SHS_RESET;
    case EPIPE:
        self->base.sys_errno = sys_errno;
        return SHS_RESET;
    default:
        self->base.sys_errno = sys_errno;
        return SHS_IO;
    }
}

/* recv has said "no more": whose doing was that? */
static int which_end(struct shs_socket_stream *self)
{
    unsigned cut;

    /* The kernel tells of a reset once, to a write perhaps; after that it is an end like any. */
    if (self->reset) {
        self->base.sys_errno = ECONNRESET;
        return SHS_RESET;
    }
    self->base.sys_errno = 0;
    cut = atomic_load(&self->cut);
    return cut != 0 && (cut & CUT_AFTER_END) == 0 ? SHS_STOPPED : SHS_CLOSED;
}

/* recv has given nothing: 0, or -1 with errno. */
static int nothing_came(struct shs_socket_stream *self, ssize_t n)
{
    int rc = n == 0 ? which_end(self) : socket_error(self, errno, SHS_WAIT_READ);

    if (rc != SHS_WAIT_READ && rc != SHS_IO)
        self->ended = (int8_t)rc;
    return rc;
}

int shs__socket_stream_peek(struct shs_socket_stream *self, void *buf, size_t cap, size_t *got)
{
    ssize_t n;

    if (self->ended != SHS_OK)
        return self->ended;
    do {
        n = recv(self->fd, buf, cap, MSG_PEEK);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        self->drained = !self->hung_up;
        return nothing_came(self, n);
    }
    *got = (size_t)n;
    return SHS_OK;
}

/*
 * recv, and whether there may be more behind what it gave although that is less than `cap`. Of a
 * Unix socket the kernel gives no more in one read than one message with descriptors (which nobody
 * here takes: it says MSG_CTRUNC, and closes them) and what came before it.
 */
static ssize_t receive(const struct shs_socket_stream *self, void *buf, size_t cap, bool *more)
{
    struct iovec iov = {.iov_base = buf, .iov_len = cap};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n = self->is_unix ? recvmsg(self->fd, &msg, 0) : recv(self->fd, buf, cap, 0);

    *more = n > 0 && (self->urgent || (msg.msg_flags & MSG_CTRUNC) != 0);
    return n;
}

static int socket_read(struct shs_stream *s, void *buf, size_t cap, size_t *got)
{
    struct shs_socket_stream *self = SOCKET(s);
    bool more = false;
    ssize_t n;

    if (self->ended != SHS_OK)
        return self->ended;
    do {
        n = receive(self, buf, cap, &more);
    } while (n < 0 && errno == EINTR);
    self->drained = n < (ssize_t)cap && !more && !self->hung_up;
    self->there_ns = self->told_ns;
    self->told_ns = 0;
    if (n > 0) {
        self->bytes_in += (uint64_t)n;
        *got = (size_t)n;
        return SHS_OK;
    }
    return nothing_came(self, n);
}

/* What epoll has told is looked at as well: another thread may have read it before the one that was
   told had its turn. */
static int socket_ready(struct shs_stream *s)
{
    size_t got = 0;
    char byte;
    int rc = shs__socket_stream_peek(SOCKET(s), &byte, 1, &got);

    return rc == SHS_WAIT_READ ? rc : SHS_OK;
}

static int socket_write(struct shs_stream *s, const void *buf, size_t len, size_t *put)
{
    struct shs_socket_stream *self = SOCKET(s);
    ssize_t n;

    do {
        n = send(self->fd, buf, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    self->filled = n < 0 && errno == EAGAIN;
    if (n >= 0) {
        self->bytes_out += (uint64_t)n;
        *put = (size_t)n;
        return SHS_OK;
    }
    if (errno == EPIPE && !self->reset &&
        (self->shut || (atomic_load(&self->cut) & CUT_WRITING) != 0)) {
        self->base.sys_errno = EPIPE;
        return self->shut ? SHS_CLOSED : SHS_STOPPED;
    }
    return socket_error(self, errno, SHS_WAIT_WRITE);
}

static int socket_flush(struct shs_stream *s)
{
    SHS_UNUSED(s);
    return SHS_OK;
}

static int socket_shutdown(struct shs_stream *s)
{
    struct shs_socket_stream *self = SOCKET(s);

    /* A peer that is gone already (ENOTCONN) needs no FIN: Python ignores the error as well. */
    if (!self->shut)
        shutdown(self->fd, SHUT_WR);
    self->shut = true;
    return SHS_OK;
}

/* Has the peer's FIN come? Of a Unix socket nobody can tell. */
static bool has_peers_fin(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof info;

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    return info.tcpi_state == TCP_CLOSE_WAIT || info.tcpi_state == TCP_LAST_ACK ||
           info.tcpi_state == TCP_CLOSING || info.tcpi_state == TCP_TIME_WAIT;
}

void shs__socket_stream_cut(struct shs_socket_stream *self, int how)
{
    unsigned bits = CUT_READING | (how == SHUT_RDWR ? CUT_WRITING : 0);

    atomic_fetch_or(&self->cut, (uint8_t)(bits | (has_peers_fin(self->fd) ? CUT_AFTER_END : 0)));
    shutdown(self->fd, how);
}

bool shs__socket_is_cut(const struct shs_socket_stream *self)
{
    return (atomic_load(&self->cut) & CUT_WRITING) != 0;
}

static bool socket_pending(const struct shs_stream *s)
{
    SHS_UNUSED(s);
    return false;
}

static void socket_nothing(struct shs_stream *s)
{
    SHS_UNUSED(s);
}

static size_t waiting_in(int fd)
{
    int waiting = 0;

    if (ioctl(fd, SIOCOUTQ, &waiting) != 0 || waiting < 0)
        return 0;
    return (size_t)waiting;
}

/* After a reset the kernel counts what it had not sent on and on, and never sends it. */
static bool is_over(int fd)
{
    struct tcp_info info = {.tcpi_state = TCP_ESTABLISHED};
    socklen_t len = sizeof info;

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_CLOSE;
}

size_t shs__socket_unsent(const struct shs_socket_stream *self)
{
    size_t waiting = waiting_in(self->fd);

    return waiting > 0 && is_over(self->fd) ? 0 : waiting;
}

unsigned shs__socket_silent_ms(const struct shs_socket_stream *self)
{
    struct tcp_info info = {.tcpi_last_data_recv = 0};
    socklen_t len = sizeof info;

    return getsockopt(self->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_last_data_recv
                                                                         : 0;
}

/* ioctl tells it as an int. */
#define WAITING_MAX ((uint64_t)INT_MAX)

static uint64_t socket_delivered(const struct shs_stream *s)
{
    const struct shs_socket_stream *self = SOCKET((struct shs_stream *)(uintptr_t)s);

    /* A Unix socket counts its own overhead as well: what waits there is more than was written. */
    return self->bytes_out + WAITING_MAX - waiting_in(self->fd);
}

static bool socket_all_taken(const struct shs_stream *s)
{
    return waiting_in(SOCKET((struct shs_stream *)(uintptr_t)s)->fd) == 0;
}

static void socket_acknowledge(struct shs_stream *s)
{
    int on = 1;

    /* On a Unix socket there is no such thing, and no need. */
    (void)setsockopt(SOCKET(s)->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

static const struct shs_stream_class socket_class = {
    .name = "socket",
    .read = socket_read,
    .write = socket_write,
    .flush = socket_flush,
    .shutdown = socket_shutdown,
    .pending = socket_pending,
    .idle = socket_nothing,
    .free = socket_nothing,
    .delivered = socket_delivered,
    .all_taken = socket_all_taken,
    .acknowledge = socket_acknowledge,
    .ready = socket_ready,
};

void shs__socket_stream_init(struct shs_socket_stream *self, int fd)
{
    memset(self, 0, sizeof *self);
    self->base.cls = &socket_class;
    self->fd = fd;
}
