#include "admin/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/server.h"

/* How a line ends whose second part was never written. */
#define TORN ",\"status\":null,\"torn\":true}\n"

struct shs_admin_audit {
    char *file;
    int fd; /* -1: lines go to the log */
    shs_log_fn *log;
    void *log_ctx;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool open;              /* the first part of a line is written, the second is not */
    bool torn;              /* and never will be */
    struct shs_buf first;   /* of the open line, for the log */
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

/* All of it, or nothing: of a disk that fills up in the middle, the piece is taken back. */
static int write_all(struct shs_admin_audit *self, const char *bytes, size_t len)
{
    off_t before = self->fd < 0 ? 0 : lseek(self->fd, 0, SEEK_END);
    int rc = self->fd < 0 ? SHS_OK : shs__write_all(self->fd, bytes, len), why = errno;

    if (rc != SHS_OK && before >= 0 && ftruncate(self->fd, before) != 0)
        self->torn = self->torn || !ends_in_order(self->fd);
    errno = why;
    return rc;
}

static int open_file(const char *file, bool *torn, struct shs_error *err)
{
    int fd = open(file, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

    if (fd < 0 && (errno == EACCES || errno == ENXIO)) /* a pipe, or one that may be written only */
        fd = open(file, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return shs_error_set(err, SHS_IO, errno, "cannot open the audit file %s", file), -1;
    *torn = !ends_in_order(fd);
    return fd;
}

/* With the lock, and no line open: a file that was moved away (logrotate) is left to its end, and
   the next line begins a new one. Where none can be opened, the old one goes on. */
static void follow_name(struct shs_admin_audit *self)
{
    struct stat mine, named;
    bool torn = false;
    int fd;

    if (self->file == NULL || fstat(self->fd, &mine) != 0 || !S_ISREG(mine.st_mode) ||
        (stat(self->file, &named) == 0 && named.st_dev == mine.st_dev &&
         named.st_ino == mine.st_ino))
        return;
    fd = open_file(self->file, &torn, NULL);
    if (fd < 0)
        return;
    close(self->fd);
    self->fd = fd;
    self->torn = torn;
}

/* With the lock, and no line open: ends one that was never ended, then this one. */
static int write_line(struct shs_admin_audit *self, struct shs_str line)
{
    struct shs_buf whole;
    int rc = SHS_OK;

    follow_name(self);
    shs__buf_init(&whole, line.len + 128);
    if (self->torn)
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
            rc = shs_error_set(err, SHS_IO, errno, "the audit log cannot be written");
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
