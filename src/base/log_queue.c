#include "base/log_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"

#define LINGER_MS 10
#define NOTE_MAX 256u
#define TOO_SLOW "the reader is too slow"
#define CHILD_WAIT_MS 200 /* for a reader that has stopped, in a process of one client */
/* A writer that cannot be interrupted (see open_private) is waited for this much longer. */
#define STUCK_MS 100

/* How the descriptor is written to. */
enum sink {
    SINK_PLAIN,   /* a file: write(2) does not wait for anybody */
    SINK_PRIVATE, /* a pipe or terminal, opened again so that O_NONBLOCK is ours alone */
    SINK_SOCKET,  /* send(2), with MSG_DONTWAIT */
    SINK_POLLED   /* a pipe that cannot be opened again: PIPE_BUF bytes when poll(2) says so */
};

struct lines {
    char *data;
    size_t len;
    uint64_t count;
};

struct shs_log_queue {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* the writer waits: something to write, or the end */
    pthread_cond_t over; /* somebody waits for the writer: it has begun, or ended */
    pthread_t thread;
    pid_t owner;          /* the process that has the writer: not a child forked from it */
    unsigned char *there; /* 1 in the owner, 0 in a child; NULL: ask the kernel who we are */
    shs_log_dropped_fn *say_dropped;
    size_t cap;
    int fd, wake_fd;
    bool private_fd; /* fd is ours to close */
    enum sink sink;

    /* Under the lock. */
    struct lines front;   /* producers append here; the writer swaps it with its own */
    uint64_t dropped;     /* since the last line that said so */
    uint64_t lost;        /* in all */
    int64_t deadline_ns;  /* INT64_MAX until the stop */
    bool idle, lingering; /* what the writer waits for: any line, or half a buffer */
    bool closing, ended;
    int result;   /* of the last write that failed */
    bool stopped; /* nobody's thread runs; the owner's alone */

    /* The writer's own. */
    struct lines back;
    uint64_t noted;   /* that the line at its end speaks of */
    uint64_t missing; /* lines of writes that failed, and nothing has said so */
    int failed;       /* errno of the last of them; 0: nobody read it */
    bool torn;        /* what came out last is a piece of a line */
};

static size_t default_dropped(char *buf, size_t cap, uint64_t dropped, const char *why)
{
    int len = snprintf(buf, cap, "%" PRIu64 " log lines dropped: %s", dropped, why);

    return len < 0 ? 0 : (size_t)len;
}

/* -- writing, on the writer's thread ----------------------------------------------------------- */

/*
 * O_NONBLOCK belongs to the open file description, which a terminal's shell and the other writers
 * of a pipe share with us. /proc gives a description of our own for the same pipe or terminal.
 */
static void open_private(struct shs_log_queue *self)
{
    char path[32];
    struct stat st;
    int fd;

    self->sink = SINK_PLAIN;
    if (fstat(self->fd, &st) != 0 || S_ISREG(st.st_mode))
        return;
    if (S_ISSOCK(st.st_mode)) {
        self->sink = SINK_SOCKET;
        return;
    }
    if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", self->fd);
    fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    self->sink = fd < 0 ? SINK_POLLED : SINK_PRIVATE;
    if (fd >= 0) {
        self->fd = fd;
        self->private_fd = true;
    }
}

/* Waits until the descriptor takes something. False: the deadline passed, or it is broken. */
static bool wait_writable(struct shs_log_queue *self, int *rc)
{
    struct pollfd fds[2] = {{.fd = self->fd, .events = POLLOUT},
                            {.fd = self->wake_fd, .events = POLLIN}};
    int64_t deadline_ns, now_ns;
    bool closing;

    for (;;) {
        pthread_mutex_lock(&self->lock);
        deadline_ns = self->deadline_ns;
        closing = self->closing;
        pthread_mutex_unlock(&self->lock);
        now_ns = shs_now_ns();
        if (now_ns >= deadline_ns) {
            *rc = SHS_TIMEOUT;
            return false;
        }
        /* wake_fd stays readable once closing is set: it must not be polled then. */
        if (poll(fds, closing ? 1 : 2, closing ? shs__poll_ms(deadline_ns, now_ns) : -1) < 0 &&
            errno != EINTR) {
            self->failed = errno;
            *rc = SHS_IO;
            return false;
        }
        if (fds[0].revents != 0)
            return true;
    }
}

/* How much of the lines to hand over at once: whole lines, if it matters and one fits. */
static size_t portion(const struct shs_log_queue *self, const char *data, size_t len)
{
    const char *newline;

    if (self->sink == SINK_PLAIN || len <= PIPE_BUF)
        return len;
    if (self->sink == SINK_SOCKET)
        return len;
    newline = memrchr(data, '\n', PIPE_BUF);
    return newline == NULL ? PIPE_BUF : (size_t)(newline + 1 - data);
}

static ssize_t write_some(const struct shs_log_queue *self, const char *data, size_t len)
{
    if (self->sink == SINK_SOCKET)
        return send(self->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return write(self->fd, data, len);
}

/* Writes it all: SHS_OK, or SHS_TIMEOUT or SHS_IO with *done bytes written. */
static int write_all(struct shs_log_queue *self, const char *data, size_t len, size_t *done)
{
    int rc = SHS_OK;
    ssize_t n;

    *done = 0;
    while (*done < len) {
        if (self->sink == SINK_POLLED && !wait_writable(self, &rc))
            return rc;
        n = write_some(self, data + *done, portion(self, data + *done, len - *done));
        if (n >= 0) {
            *done += (size_t)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            self->failed = errno;
            return SHS_IO;
        }
        if (!wait_writable(self, &rc))
            return rc;
    }
    return SHS_OK;
}

/* As write_all, and keeps in mind whether it ends within a line. */
static int write_whole(struct shs_log_queue *self, const char *data, size_t len, size_t *done)
{
    int rc = write_all(self, data, len, done);

    if (*done > 0)
        self->torn = data[*done - 1] != '\n';
    return rc;
}

/* A file that was opened anew, or emptied, has no piece of a line: that is in the old one. */
static bool is_empty_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}

/* In front of the next lines: the end of the piece that has come out, and what is missing. */
static int write_gap(struct shs_log_queue *self)
{
    char note[NOTE_MAX + 1], why[96];
    size_t len = 0, done;
    int rc;

    if (self->torn && !is_empty_file(self->fd))
        note[len++] = '\n';
    if (self->missing > 0) {
        size_t said = self->say_dropped(
            note + len, NOTE_MAX - 1, self->missing,
            self->failed == 0 ? TOO_SLOW : shs__strerror(self->failed, why, sizeof why));

        len += said < NOTE_MAX - 1 ? said : NOTE_MAX - 1;
        note[len++] = '\n';
    }
    rc = write_whole(self, note, len, &done);
    if (rc == SHS_OK) {
        self->missing = 0;
        self->failed = 0;
    }
    return rc;
}

static int write_back(struct shs_log_queue *self, size_t *done)
{
    int rc = SHS_OK;

    *done = 0;
    if (self->torn || self->missing > 0)
        rc = write_gap(self);
    return rc != SHS_OK ? rc : write_whole(self, self->back.data, self->back.len, done);
}

/* How many producers' lines went out whole with the first `done` bytes: the note comes last. */
static uint64_t written_lines(const struct lines *lines, size_t done)
{
    uint64_t count = 0;

    for (size_t i = 0; i < done; i++)
        count += lines->data[i] == '\n';
    return count < lines->count ? count : lines->count;
}

/* Waits for something to write and takes it, with a line about what was dropped. False: the end. */
static bool take_lines(struct shs_log_queue *self)
{
    struct lines empty = self->back;
    uint64_t dropped;
    size_t len;

    pthread_mutex_lock(&self->lock);
    while (self->front.len == 0 && self->dropped == 0 && !self->closing) {
        self->idle = true;
        pthread_cond_wait(&self->wake, &self->lock);
    }
    self->idle = false;
    self->back = self->front;
    self->front = empty;
    self->noted = dropped = self->dropped;
    self->dropped = 0;
    pthread_mutex_unlock(&self->lock);
    if (dropped > 0) {
        /* What was dropped came after what is in the buffer. NOTE_MAX bytes are kept for it. */
        len = self->say_dropped(self->back.data + self->back.len, NOTE_MAX - 1, dropped, TOO_SLOW);
        self->back.len += len < NOTE_MAX - 1 ? len : NOTE_MAX - 1;
        self->back.data[self->back.len++] = '\n';
    }
    return self->back.len > 0;
}

/* Lets lines gather, unless they do so quickly or the end is near. */
static void linger(struct shs_log_queue *self)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LINGER_MS * SHS_NS_PER_MS;
    if (until.tv_nsec >= SHS_NS_PER_S) {
        until.tv_nsec -= SHS_NS_PER_S;
        until.tv_sec++;
    }
    pthread_mutex_lock(&self->lock);
    self->lingering = true;
    while (!self->closing && self->front.len < self->cap / 2) {
        if (pthread_cond_timedwait(&self->wake, &self->lock, &until) == ETIMEDOUT)
            break;
    }
    self->lingering = false;
    pthread_mutex_unlock(&self->lock);
}

static void *write_lines(void *arg)
{
    struct shs_log_queue *self = arg;
    uint64_t unwritten;
    int rc = SHS_OK;
    size_t done;

    while (take_lines(self)) {
        rc = write_back(self, &done);
        if (rc != SHS_OK) {
            unwritten = self->back.count - written_lines(&self->back, done);
            self->missing += unwritten + self->noted;
            pthread_mutex_lock(&self->lock);
            self->lost += unwritten;
            self->result = rc;
            pthread_mutex_unlock(&self->lock);
        }
        self->back.len = 0;
        self->back.count = 0;
        linger(self);
    }
    pthread_mutex_lock(&self->lock);
    self->ended = true;
    pthread_cond_signal(&self->over);
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* -- the producers' side ----------------------------------------------------------------------- */

/*
 * A forked child has the buffer but not the writer's thread, and perhaps a lock that thread held:
 * it writes its few lines itself. One call a line, so that those of several children do not mix.
 */
static bool write_from_child(struct shs_log_queue *self, const char *line, size_t len)
{
    struct iovec parts[2] = {{.iov_base = (void *)(uintptr_t)line, .iov_len = len},
                             {.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1}};
    struct pollfd sink = {.fd = self->fd, .events = POLLOUT};
    ssize_t n;

    if (poll(&sink, 1, CHILD_WAIT_MS) != 1)
        return false;
    do {
        n = writev(self->fd, parts, 2);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)(len + 1);
}

/* A page that the kernel empties for a child: asking for our pid would cost each line a system
   call, as much as all the rest of it. */
static unsigned char *mark_process(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *page =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, size, MADV_WIPEONFORK) != 0) {
        munmap(page, size);
        return NULL;
    }
    page[0] = 1;
    return page;
}

static bool is_child(const struct shs_log_queue *self)
{
    return self->there != NULL ? self->there[0] == 0 : getpid() != self->owner;
}

bool shs__log_queue_push(struct shs_log_queue *self, const char *line, size_t len)
{
    struct lines *front = &self->front;
    bool fits, wake;

    if (len > SHS_LOG_LINE_MAX - 1)
        len = SHS_LOG_LINE_MAX - 1;
    if (is_child(self))
        return write_from_child(self, line, len);
    pthread_mutex_lock(&self->lock);
    fits = len + 1 <= self->cap - front->len && !self->ended;
    if (fits) {
        memcpy(front->data + front->len, line, len);
        front->len += len;
        front->data[front->len++] = '\n';
        front->count++;
    } else {
        self->dropped++;
        self->lost++;
    }
    wake = self->idle || (self->lingering && front->len >= self->cap / 2);
    self->idle = self->idle && !wake;
    pthread_mutex_unlock(&self->lock);
    if (wake)
        pthread_cond_signal(&self->wake);
    return fits;
}

/* -- life -------------------------------------------------------------------------------------- */

static int start_thread(struct shs_log_queue *self)
{
    return shs__thread_start(&self->thread, NULL, "shs-log", write_lines, self) == 0 ? SHS_OK
                                                                                     : SHS_IO;
}

static void init_locks(struct shs_log_queue *self)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&self->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&self->wake, &attr);
    pthread_cond_init(&self->over, &attr);
    pthread_condattr_destroy(&attr);
}

int shs__log_queue_new(struct shs_log_queue **out, int fd, size_t cap, shs_log_dropped_fn *dropped)
{
    struct shs_log_queue *self = shs__calloc(1, sizeof *self);
    int rc = SHS_NOMEM;

    if (self == NULL)
        return SHS_NOMEM;
    init_locks(self);
    self->fd = fd;
    self->owner = getpid();
    self->there = mark_process();
    self->cap = cap < SHS_LOG_LINE_MAX ? SHS_LOG_LINE_MAX : cap;
    self->say_dropped = dropped == NULL ? default_dropped : dropped;
    self->deadline_ns = INT64_MAX;
    self->stopped = true;
    self->front.data = shs__malloc(self->cap + NOTE_MAX);
    self->back.data = shs__malloc(self->cap + NOTE_MAX);
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->front.data == NULL || self->back.data == NULL)
        goto out;
    rc = SHS_IO;
    if (self->wake_fd < 0)
        goto out;
    open_private(self);
    rc = start_thread(self);
    if (rc != SHS_OK)
        goto out;
    self->stopped = false;
    *out = self;
    self = NULL;
out:
    shs__log_queue_free(self);
    return rc;
}

/* True once the writer has ended; false at the deadline. Under the lock. */
static bool wait_ended(struct shs_log_queue *self, int64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / SHS_NS_PER_S),
                             .tv_nsec = (long)(deadline_ns % SHS_NS_PER_S)};

    while (!self->ended) {
        if (pthread_cond_timedwait(&self->over, &self->lock, &until) == ETIMEDOUT)
            return self->ended;
    }
    return true;
}

int shs__log_queue_stop(struct shs_log_queue *self, unsigned timeout_ms, uint64_t *lost)
{
    int64_t deadline_ns = shs__deadline_after(shs_now_ns(), timeout_ms);
    uint64_t one = 1;
    bool ended;
    int rc;

    pthread_mutex_lock(&self->lock);
    self->closing = true;
    self->deadline_ns = deadline_ns;
    /* Cannot fail: the counter is at 0. */
    (void)!write(self->wake_fd, &one, sizeof one);
    pthread_cond_signal(&self->wake);
    ended = wait_ended(self, shs__deadline_after(deadline_ns, STUCK_MS));
    rc = ended ? self->result : SHS_TIMEOUT;
    if (lost != NULL)
        *lost = self->lost;
    pthread_mutex_unlock(&self->lock);
    if (ended)
        pthread_join(self->thread, NULL);
    else
        pthread_detach(self->thread);
    self->stopped = ended;
    return rc;
}

void shs__log_queue_free(struct shs_log_queue *self)
{
    if (self == NULL)
        return;
    if (!self->stopped && !self->closing)
        shs__log_queue_stop(self, 0, NULL);
    if (!self->stopped)
        return; /* its thread is in a write(2) that nobody ends: it keeps what it uses */
    if (self->wake_fd >= 0)
        close(self->wake_fd);
    if (self->private_fd)
        close(self->fd);
    if (self->there != NULL)
        munmap(self->there, (size_t)sysconf(_SC_PAGESIZE));
    shs__free(self->front.data);
    shs__free(self->back.data);
    pthread_cond_destroy(&self->over);
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->lock);
    shs__free(self);
}
