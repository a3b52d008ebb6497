#include "handler/coded_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#define TAG_MAX 96

struct entry {
    char tag[TAG_MAX]; /* "" = free */
    int fd;
    uint64_t size, used; /* `used`: when it was, in answers */
};

struct shs_coded_cache {
    pthread_mutex_t lock;
    uint64_t bytes, answers;
    struct {
        bool busy;
        char tag[TAG_MAX];
    } workers[SHS_CODED_WORKERS];
    struct entry entries[SHS_CODED_CACHE_ENTRIES];
};

int shs__coded_cache_new(struct shs_coded_cache **out)
{
    struct shs_coded_cache *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return SHS_NOMEM;
    pthread_mutex_init(&self->lock, NULL);
    *out = self;
    return SHS_OK;
}

static void drop(struct shs_coded_cache *self, struct entry *entry)
{
    close(entry->fd);
    self->bytes -= entry->size;
    entry->tag[0] = '\0';
}

void shs__coded_cache_free(struct shs_coded_cache *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < SHS_CODED_CACHE_ENTRIES; i++) {
        if (self->entries[i].tag[0] != '\0')
            drop(self, &self->entries[i]);
    }
    pthread_mutex_destroy(&self->lock);
    shs__free(self);
}

static struct entry *find(struct shs_coded_cache *self, const char *tag)
{
    for (size_t i = 0; i < SHS_CODED_CACHE_ENTRIES; i++) {
        if (strcmp(self->entries[i].tag, tag) == 0)
            return &self->entries[i];
    }
    return NULL;
}

int shs__coded_cache_get(struct shs_coded_cache *self, const char *tag, uint64_t *size)
{
    struct entry *entry;
    int fd = -1;

    pthread_mutex_lock(&self->lock);
    entry = find(self, tag);
    if (entry != NULL) {
        fd = fcntl(entry->fd, F_DUPFD_CLOEXEC, 0);
        entry->used = ++self->answers;
        if (fd >= 0) /* else it is the plain file that is to be read, to its own end */
            *size = entry->size;
    }
    pthread_mutex_unlock(&self->lock);
    return fd;
}

/* A free entry, made so by dropping the oldest until `size` bytes fit; NULL when they never do. */
static struct entry *make_room(struct shs_coded_cache *self, uint64_t size)
{
    struct entry *free_one, *oldest;

    if (size > SHS_CODED_CACHE_BYTES / 4)
        return NULL;
    for (;;) {
        free_one = NULL;
        oldest = NULL;
        for (size_t i = 0; i < SHS_CODED_CACHE_ENTRIES; i++) {
            struct entry *entry = &self->entries[i];

            if (entry->tag[0] == '\0')
                free_one = entry;
            else if (oldest == NULL || entry->used < oldest->used)
                oldest = entry;
        }
        if (free_one != NULL && self->bytes + size <= SHS_CODED_CACHE_BYTES)
            return free_one;
        drop(self, oldest); /* one of the two is there, always */
    }
}

static void keep(struct shs_coded_cache *self, const char *tag, int fd, uint64_t size)
{
    struct entry *entry;

    pthread_mutex_lock(&self->lock);
    entry = strlen(tag) < TAG_MAX && find(self, tag) == NULL ? make_room(self, size) : NULL;
    if (entry != NULL) {
        entry->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (entry->fd >= 0) {
            memcpy(entry->tag, tag, strlen(tag) + 1);
            entry->size = size;
            entry->used = ++self->answers;
            self->bytes += size;
        }
    }
    pthread_mutex_unlock(&self->lock);
}

int shs__coded_cache_put(struct shs_coded_cache *self, const char *tag, const void *bytes,
                         size_t size)
{
    int fd = memfd_create("shs-coded", MFD_CLOEXEC), saved;

    if (fd < 0)
        return -1;
    if (shs__write_all(fd, bytes, size) != SHS_OK) {
        saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    keep(self, tag, fd, size);
    return fd;
}

bool shs__coded_cache_begin(struct shs_coded_cache *self, const char *tag)
{
    size_t place = SHS_CODED_WORKERS;
    bool same = false;

    if (strlen(tag) >= TAG_MAX)
        return false;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < SHS_CODED_WORKERS; i++) {
        if (!self->workers[i].busy)
            place = i;
        else if (tag[0] != '\0' && strcmp(self->workers[i].tag, tag) == 0)
            same = true;
    }
    if (!same && place < SHS_CODED_WORKERS) {
        self->workers[place].busy = true;
        memcpy(self->workers[place].tag, tag, strlen(tag) + 1);
    }
    pthread_mutex_unlock(&self->lock);
    return !same && place < SHS_CODED_WORKERS;
}

void shs__coded_cache_end(struct shs_coded_cache *self, const char *tag)
{
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < SHS_CODED_WORKERS; i++) {
        if (self->workers[i].busy && strcmp(self->workers[i].tag, tag) == 0) {
            self->workers[i].busy = false;
            break;
        }
    }
    pthread_mutex_unlock(&self->lock);
}
