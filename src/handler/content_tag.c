#include "handler/content_tag.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"

#define SETS 1024u
#define WAYS 4u
/* Files that are read at a time, and that wait for the thread. */
#define RUNNING_MAX 4u
#define QUEUE_MAX 16u
#define CHUNK ((size_t)256 * 1024)
#define SETTLED_NS SHS_NS_PER_S
#define STACK_SIZE ((size_t)256 * 1024)

struct known {
    struct stat st;  /* st_mode 0: free */
    uint64_t read;   /* the number of the reading that made it */
    bool is_settled; /* good until the file is changed; else only for who had asked by then */
    uint32_t used;   /* the turn in which it was */
    char tag[SHS_CONTENT_TAG_LEN + 1];
};

/* A file that is being read. */
struct reading {
    struct stat st; /* st_mode 0: none */
    uint64_t number;
};

struct job {
    int fd;
    struct stat st;
};

struct shs_content_tags {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a file has been read, a job has come, the end */
    uint32_t turns;
    uint64_t readings; /* that have begun so far */
    struct reading running[RUNNING_MAX];
    struct job queue[QUEUE_MAX];
    size_t queued;
    pid_t owner; /* 0: no thread. In a child that was forked it is not there */
    pthread_t thread;
    _Atomic bool stop;
    struct known known[SETS][WAYS];
};

static void init_locks(struct shs_content_tags *self)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&self->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&self->changed, &attr);
    pthread_condattr_destroy(&attr);
}

int shs__content_tags_new(struct shs_content_tags **out)
{
    struct shs_content_tags *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return SHS_NOMEM;
    init_locks(self);
    *out = self;
    return SHS_OK;
}

void shs__content_tags_free(struct shs_content_tags *self)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&self->lock);
    atomic_store(&self->stop, true);
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    if (self->owner == getpid())
        pthread_join(self->thread, NULL);
    for (size_t i = 0; i < self->queued; i++)
        close(self->queue[i].fd);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    shs__free(self);
}

/* -- states ------------------------------------------------------------------------------------ */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool shs__same_state(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && same_time(&a->st_mtim, &b->st_mtim) &&
           same_time(&a->st_ctim, &b->st_ctim);
}

bool shs__is_settled(const struct stat *st)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    /* A time of content that is later than that of the last change was set by somebody. */
    return shs__ns_between(&st->st_ctim, &now) >= SETTLED_NS &&
           (shs__ns_between(&st->st_mtim, &now) >= SETTLED_NS ||
            shs__ns_between(&st->st_ctim, &st->st_mtim) > 0);
}

static struct known *set_of(struct shs_content_tags *self, const struct stat *st)
{
    uint64_t hash = ((uint64_t)st->st_ino ^ ((uint64_t)st->st_dev << 32)) * 0x9e3779b97f4a7c15u;

    return self->known[hash >> 54]; /* ten bits: SETS */
}

/*
 * With the lock. `asked` is how many readings had begun when it was asked for: one that began later
 * is as good as one of the asker's own, whatever may happen to the file next.
 */
static const char *find(struct shs_content_tags *self, const struct stat *st, uint64_t asked)
{
    struct known *set = set_of(self, st);

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].st.st_mode != 0 && shs__same_state(&set[i].st, st) &&
            (set[i].is_settled || set[i].read > asked)) {
            set[i].used = ++self->turns;
            return set[i].tag;
        }
    }
    return NULL;
}

/* With the lock. An older state of the file makes room, then a free place, then what is oldest. */
static void keep(struct shs_content_tags *self, const struct reading *reading, const char *tag)
{
    const struct stat *st = &reading->st;

    struct known *set = set_of(self, st), *place = &set[0];

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].st.st_mode != 0 && set[i].st.st_dev == st->st_dev &&
            set[i].st.st_ino == st->st_ino) {
            place = &set[i];
            break;
        }
        if (set[i].st.st_mode == 0 ||
            (place->st.st_mode != 0 && self->turns - set[i].used > self->turns - place->used))
            place = &set[i];
    }
    place->st = *st;
    place->read = reading->number;
    place->is_settled = shs__is_settled(st);
    place->used = ++self->turns;
    memcpy(place->tag, tag, sizeof place->tag);
}

/* -- reading ----------------------------------------------------------------------------------- */

bool shs__content_tag_end(struct shs_sha256 *digest, char tag[SHS_CONTENT_TAG_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[SHS_SHA256_LEN];

    if (shs_sha256_final(digest, bytes) != SHS_OK)
        return false;
    for (size_t i = 0; i < SHS_CONTENT_TAG_LEN / 2; i++) {
        tag[2 * i] = hex[bytes[i] >> 4];
        tag[2 * i + 1] = hex[bytes[i] & 15];
    }
    tag[SHS_CONTENT_TAG_LEN] = '\0';
    return true;
}

bool shs__content_tag_of(const void *data, size_t len, char tag[SHS_CONTENT_TAG_LEN + 1])
{
    struct shs_sha256 *digest = NULL;
    bool made = shs_sha256_new(&digest) == SHS_OK &&
                (len == 0 || shs_sha256_update(digest, data, len) == SHS_OK) &&
                shs__content_tag_end(digest, tag);

    shs_sha256_free(digest);
    return made;
}

/* All of the file into the digest; false when it ends early, or `stop` is set. */
static bool read_all(const struct shs_content_tags *self, struct shs_sha256 *digest, char *chunk,
                     int fd, uint64_t size, bool may_stop)
{
    uint64_t done = 0;
    ssize_t n;

    while (done < size) {
        size_t want = size - done < CHUNK ? (size_t)(size - done) : CHUNK;

        if (may_stop && atomic_load_explicit(&self->stop, memory_order_relaxed))
            return false;
        n = pread(fd, chunk, want, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || shs_sha256_update(digest, chunk, (size_t)n) != SHS_OK)
            return false;
        done += (uint64_t)n;
    }
    return true;
}

static bool read_file(const struct shs_content_tags *self, int fd, const struct stat *st,
                      bool may_stop, char tag[SHS_CONTENT_TAG_LEN + 1])
{
    struct shs_sha256 *digest = NULL;
    char *chunk = shs__malloc(CHUNK);
    struct stat after;
    bool made = chunk != NULL && shs_sha256_new(&digest) == SHS_OK &&
                read_all(self, digest, chunk, fd, (uint64_t)st->st_size, may_stop) &&
                shs__content_tag_end(digest, tag) && fstat(fd, &after) == 0 &&
                shs__same_state(st, &after);

    shs_sha256_free(digest);
    shs__free(chunk);
    return made;
}

/* A place among those that are read; NULL: there is none, or the same file is read already. */
static struct reading *take_place(struct shs_content_tags *self, const struct stat *st)
{
    struct reading *place = NULL;

    for (size_t i = 0; i < RUNNING_MAX; i++) {
        if (self->running[i].st.st_mode == 0)
            place = &self->running[i];
        else if (shs__same_state(&self->running[i].st, st))
            return NULL;
    }
    if (place != NULL)
        *place = (struct reading){.st = *st, .number = ++self->readings};
    return place;
}

/* Reads the file in the place that was taken. With the lock, which is given up meanwhile. */
static bool make(struct shs_content_tags *self, struct reading *place, int fd, bool may_stop,
                 char tag[SHS_CONTENT_TAG_LEN + 1])
{
    struct reading reading = *place;
    bool made;

    pthread_mutex_unlock(&self->lock);
    made = read_file(self, fd, &reading.st, may_stop, tag);
    pthread_mutex_lock(&self->lock);
    place->st.st_mode = 0;
    if (made)
        keep(self, &reading, tag);
    pthread_cond_broadcast(&self->changed);
    return made;
}

/* -- the thread -------------------------------------------------------------------------------- */

static void *read_queued(void *arg)
{
    struct shs_content_tags *self = arg;
    char tag[SHS_CONTENT_TAG_LEN + 1];
    struct reading *place;
    struct job job;

    pthread_mutex_lock(&self->lock);
    while (!atomic_load(&self->stop)) {
        if (self->queued == 0) {
            pthread_cond_wait(&self->changed, &self->lock);
            continue;
        }
        job = self->queue[0];
        self->queued--;
        memmove(&self->queue[0], &self->queue[1], self->queued * sizeof job);
        place = find(self, &job.st, self->readings) == NULL ? take_place(self, &job.st) : NULL;
        if (place != NULL)
            (void)make(self, place, job.fd, true, tag);
        close(job.fd);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* With the lock. */
static bool start_thread(struct shs_content_tags *self)
{
    if (shs__thread_start_sized(&self->thread, STACK_SIZE, "shs-tags", read_queued, self) != 0)
        return false;
    self->owner = getpid();
    return true;
}

/* Has the thread read it some time; who does not fit is read when it is asked for again. */
static void queue(struct shs_content_tags *self, int fd, const struct stat *st)
{
    struct job *job = &self->queue[self->queued];

    if (self->queued == QUEUE_MAX || !shs__is_settled(st) ||
        (self->owner != 0 && self->owner != getpid()))
        return;
    for (size_t i = 0; i < self->queued; i++) {
        if (shs__same_state(&self->queue[i].st, st))
            return;
    }
    for (size_t i = 0; i < RUNNING_MAX; i++) {
        if (self->running[i].st.st_mode != 0 && shs__same_state(&self->running[i].st, st))
            return;
    }
    if (self->owner == 0 && !start_thread(self))
        return;
    job->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (job->fd < 0)
        return;
    job->st = *st;
    self->queued++;
    pthread_cond_broadcast(&self->changed);
}

bool shs__content_tag(struct shs_content_tags *self, int fd, const struct stat *st,
                      enum shs_tag_need need, char tag[SHS_CONTENT_TAG_LEN + 1])
{
    int64_t deadline = shs_now_ns() + (int64_t)SHS_TAG_WAIT_MS * SHS_NS_PER_MS;
    struct timespec until = {.tv_sec = deadline / SHS_NS_PER_S, .tv_nsec = deadline % SHS_NS_PER_S};
    struct reading *place = NULL;
    const char *known = NULL;
    bool made = false, waits = true;
    uint64_t asked;

    pthread_mutex_lock(&self->lock);
    asked = self->readings;
    while (waits) {
        known = find(self, st, asked);
        if (known != NULL)
            break;
        if (need == SHS_TAG_AT_HAND && (uint64_t)st->st_size > SHS_TAG_AT_ONCE) {
            queue(self, fd, st);
            break;
        }
        place = take_place(self, st);
        if (place != NULL || need == SHS_TAG_AT_HAND)
            break;
        waits = pthread_cond_timedwait(&self->changed, &self->lock, &until) == 0;
    }
    if (known != NULL)
        memcpy(tag, known, SHS_CONTENT_TAG_LEN + 1);
    else if (place != NULL)
        made = make(self, place, fd, false, tag);
    pthread_mutex_unlock(&self->lock);
    return known != NULL || made;
}
