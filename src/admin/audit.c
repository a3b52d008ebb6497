#include "admin/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/server.h"

/* How a line ends whose second part was never written. */
#define TORN ",\"status\":null,\"torn\":true}\n"
/* So long a pipe or a terminal may take nothing. */
#define STALL_MS 1000

struct shs_admin_audit {
    char *file;
    int fd; /* -1: lines go to the log */
    shs_log_fn *log;
    void *log_ctx;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool open;            /* the first part of a line is written, the second is not */
    bool torn;            /* and never will be */
    bool stalled;         /* nobody read it in time: nobody else waits, until it takes something */
    struct shs_buf first; /* of the open line, for the log */
    struct shs_buf waiting; /* whole lines that came meanwhile */
};

/* -- the file ---------------------------------------------------------------------------------- */

/* The last line of the file has an end, or there is none. */
static bool ends_in_order(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char last;

    return size <= 0 || pread(fd, &last, 1, size - 1) != 1 || last == '\n';
}

/* Whether it takes something again, in its time. */
static bool wait_writable(struct shs_admin_audit *self, int64_t until_ns)
{
    struct pollfd pfd = {.fd = self->fd, .events = POLLOUT};
    int ready;

    do {
        int64_t left_ms = self->stalled ? 0 : (until_ns - shs_now_ns()) / 1000000;

        ready = poll(&pfd, 1, left_ms > 0 ? (int)left_ms : 0);
    } while (ready < 0 && errno == EINTR);
    self->stalled = ready <= 0;
    if (ready == 0)
        errno = EAGAIN;
    return ready > 0;
}

/* `done`: so many bytes of it, also when it fails. */
static int write_bytes(struct shs_admin_audit *self, const char *bytes, size_t len, size_t *done)
{
    int64_t until_ns = shs__deadline_after(shs_now_ns(), STALL_MS);

    for (*done = 0; *done < len;) {
        ssize_t n = shs__pwrite_unsignalled(self->fd, bytes + *done, len - *done, -1);

        if (n > 0) {
            *done += (size_t)n;
            self->stalled = false;
        } else if (n == 0) {
            errno = ENOSPC;
        }
        if (n > 0 || (n < 0 && errno == EINTR) ||
            (n < 0 && errno == EAGAIN && wait_writable(self, until_ns)))
            continue;
        return SHS_IO;
    }
    return SHS_OK;
}

/* All of it, or nothing: of a disk that fills up in the middle, the piece is taken back. */
static int write_all(struct shs_admin_audit *self, const char *bytes, size_t len)
{
    off_t before;
    size_t done;
    int rc, why;

    if (self->fd < 0)
        return SHS_OK;
    before = lseek(self->fd, 0, SEEK_END);
    rc = write_bytes(self, bytes, len, &done);
    why = errno;
    if (rc != SHS_OK && before < 0)
        self->torn = self->torn || done > 0; /* a pipe takes nothing back */
    else if (rc != SHS_OK && ftruncate(self->fd, before) != 0)
        self->torn = self->torn || !ends_in_order(self->fd);
    errno = why;
    return rc;
}

/* Opened to be read as well, a pipe would take lines that nobody ever reads. */
static int open_pipe(int fd, const char *file)
{
    struct stat st;

    if (fd < 0 && errno != EACCES && errno != ENXIO)
        return fd;
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISFIFO(st.st_mode)))
        return fd;
    if (fd >= 0)
        close(fd);
    return open(file, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

/* Waits for nobody, and nor do writes: O_NONBLOCK. */
static int open_file(const char *file, bool *torn, struct shs_error *err)
{
    char why[96];
    int fd = open(file, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);

    fd = open_pipe(fd, file); /* or one that may be written only */
    if (fd < 0) {
        int code = errno;

        shs_error_set(err, SHS_IO, code, "cannot open the audit file %s: %s", file,
                      code == ENXIO ? "nobody reads this pipe"
                                    : shs__strerror(code, why, sizeof why));
        errno = code;
        return -1;
    }
    *torn = !ends_in_order(fd);
    return fd;
}

/* With the lock, and no line open: a file that was moved away (logrotate) is left to its end, and
   the next line begins a new one. Where none can be opened, the old one goes on; but one that was
   removed has no name any more, and nobody would ever read the line. */
static int follow_name(struct shs_admin_audit *self)
{
    struct stat mine, named;
    bool torn = false;
    int fd;

    if (self->file == NULL || fstat(self->fd, &mine) != 0 || !S_ISREG(mine.st_mode) ||
        (stat(self->file, &named) == 0 && named.st_dev == mine.st_dev &&
         named.st_ino == mine.st_ino))
        return SHS_OK;
    fd = open_file(self->file, &torn, NULL);
    if (fd < 0)
        return mine.st_nlink == 0 ? SHS_IO : SHS_OK;
    close(self->fd);
    self->fd = fd;
    self->torn = torn;
    return SHS_OK;
}

/* With the lock, and no line open: ends one that was never ended, then this one. */
static int write_line(struct shs_admin_audit *self, struct shs_str line)
{
    struct shs_buf whole;
    int rc = follow_name(self);

    shs__buf_init(&whole, line.len + 128);
    if (rc == SHS_OK && self->torn)
        rc = shs__buf_append_str(&whole, SHS_STR(TORN));
    if (rc == SHS_OK)
        rc = shs__buf_append_str(&whole, line);
    if (rc == SHS_OK)
        rc = write_all(self, shs__buf_head(&whole), whole.len);
    if (rc == SHS_OK)
        self->torn = false;
    shs__buf_free(&whole);
    return rc == SHS_OK ? SHS_OK : SHS_IO;
}

/* -- life -------------------------------------------------------------------------------------- */

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attr);
    pthread_condattr_destroy(&attr);
}

int shs__admin_audit_new(struct shs_admin_audit **out, const char *file, shs_log_fn *log,
                         void *log_ctx, struct shs_error *err)
{
    struct shs_admin_audit *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for the audit log");
    self->fd = -1;
    self->log = log;
    self->log_ctx = log_ctx;
    shs__buf_init(&self->first, (size_t)1024 * 1024);
    shs__buf_init(&self->waiting, SHS_ADMIN_AUDIT_WAITING);
    pthread_mutex_init(&self->lock, NULL);
    init_condition(&self->ended);
    if (file != NULL) {
        self->fd = open_file(file, &self->torn, err);
        self->file = self->fd < 0 ? NULL : shs__strdup(file);
        if (self->fd < 0 || self->file == NULL) {
            int rc = self->fd < 0 ? SHS_IO : shs_error_set(err, SHS_NOMEM, 0, "out of memory");

            shs__admin_audit_free(self);
            return rc;
        }
    }
    *out = self;
    return SHS_OK;
}

void shs__admin_audit_free(struct shs_admin_audit *self)
{
    if (self == NULL)
        return;
    if (self->fd >= 0)
        close(self->fd);
    shs__buf_free(&self->first);
    shs__buf_free(&self->waiting);
    pthread_cond_destroy(&self->ended);
    pthread_mutex_destroy(&self->lock);
    shs__free(self->file);
    shs__free(self);
}

/* -- lines ------------------------------------------------------------------------------------- */

static void say(struct shs_admin_audit *self, struct shs_str line)
{
    char *text = self->fd >= 0 || self->log == NULL ? NULL : shs__strndup(line.ptr, line.len);

    if (text != NULL)
        self->log(self->log_ctx, SHS_LOG_INFO, text);
    shs__free(text);
}

static int end_line(struct shs_buf *whole, struct shs_str line)
{
    int rc = shs__buf_append_str(whole, line);

    return rc == SHS_OK ? shs__buf_append(whole, "\n", 1) : rc;
}

int shs__admin_audit_line(struct shs_admin_audit *self, struct shs_str line)
{
    struct shs_buf whole;
    int rc;

    say(self, line);
    shs__buf_init(&whole, line.len + 1);
    rc = end_line(&whole, line);
    pthread_mutex_lock(&self->lock);
    if (rc == SHS_OK && self->open) {
        rc = shs__buf_append(&self->waiting, shs__buf_head(&whole), whole.len);
    } else if (rc == SHS_OK) {
        rc = write_line(self, (struct shs_str){shs__buf_head(&whole), whole.len});
    }
    pthread_mutex_unlock(&self->lock);
    shs__buf_free(&whole);
    return rc == SHS_OK ? SHS_OK : SHS_IO;
}

static int cannot_write(const struct shs_admin_audit *self, struct shs_error *err)
{
    int code = errno;
    char text[96];
    const char *why = code == EAGAIN ? "nobody reads this pipe"
                      : code == 0    ? "out of memory"
                                     : shs__strerror(code, text, sizeof text);

    return shs_error_set(err, SHS_IO, code, "cannot write %s: %s",
                         self->file == NULL ? "its line" : self->file, why);
}

int shs__admin_audit_begin(struct shs_admin_audit *self, struct shs_str part, unsigned wait_ms,
                           struct shs_error *err)
{
    struct timespec until = shs__timespec(shs__deadline_after(shs_now_ns(), wait_ms));
    int rc = SHS_OK;

    pthread_mutex_lock(&self->lock);
    while (self->open && rc == SHS_OK) {
        if (pthread_cond_timedwait(&self->ended, &self->lock, &until) == ETIMEDOUT && self->open)
            rc = shs_error_set(err, SHS_TIMEOUT, 0, "another change is under way");
    }
    if (rc == SHS_OK) {
        self->first.len = 0;
        errno = 0;
        rc = shs__buf_append_str(&self->first, part);
        if (rc == SHS_OK)
            rc = write_line(self, part);
        if (rc == SHS_OK)
            self->open = true;
        else
            rc = cannot_write(self, err);
    }
    pthread_mutex_unlock(&self->lock);
    return rc;
}

int shs__admin_audit_end(struct shs_admin_audit *self, struct shs_str part)
{
    struct shs_buf whole;
    int rc;

    shs__buf_init(&whole, part.len + 1);
    rc = end_line(&whole, part);
    pthread_mutex_lock(&self->lock);
    if (rc == SHS_OK)
        rc = write_all(self, shs__buf_head(&whole), whole.len);
    self->torn = rc != SHS_OK;
    if (shs__buf_append_str(&self->first, part) == SHS_OK)
        say(self, (struct shs_str){shs__buf_head(&self->first), self->first.len});
    if (self->waiting.len > 0 && write_line(self, (struct shs_str){shs__buf_head(&self->waiting),
                                                                   self->waiting.len}) == SHS_OK)
        shs__buf_consume(&self->waiting, self->waiting.len);
    self->open = false;
    pthread_cond_broadcast(&self->ended); /* the one that wakes may have nothing to open */
    pthread_mutex_unlock(&self->lock);
    shs__buf_free(&whole);
    return rc == SHS_OK ? SHS_OK : SHS_IO;
}
