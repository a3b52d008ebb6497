#include "handler/file_cache.h"

#include <fcntl.h>
#include <pthread.h>
#include <time.h>

/* Sets with a lock each, so that threads seldom meet; a name has its place in one of them. */
#define SETS 128u
#define WAYS (SHS_FILE_CACHE_ENTRIES / SETS)
/* A file that was changed so recently may change again with the same time. */
#define SETTLED_NS SHS_NS_PER_S

struct set {
    pthread_mutex_t lock;
    uint32_t turns;
    struct {
        uint32_t hash, used; /* `used`: the turn in which it was */
        struct shs_kept_file *file;
    } ways[WAYS];
};

struct shs_file_cache {
    struct set sets[SETS];
};

int shs__file_cache_new(struct shs_file_cache **out)
{
    struct shs_file_cache *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return SHS_NOMEM;
    for (unsigned i = 0; i < SETS; i++)
        pthread_mutex_init(&self->sets[i].lock, NULL);
    *out = self;
    return SHS_OK;
}

void shs__file_cache_free(struct shs_file_cache *self)
{
    if (self == NULL)
        return;
    for (unsigned i = 0; i < SETS; i++) {
        for (unsigned j = 0; j < WAYS; j++) {
            if (self->sets[i].ways[j].file != NULL)
                shs__file_cache_release(self->sets[i].ways[j].file);
        }
        pthread_mutex_destroy(&self->sets[i].lock);
    }
    shs__free(self);
}

void shs__file_cache_release(struct shs_kept_file *file)
{
    if (atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) == 1)
        shs__free(file);
}

/* FNV-1a: names are the file system's, so whoever could choose them to collide has the files. */
static uint32_t hash_of(struct shs_str name)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.ptr[i]) * 16777619u;
    return hash;
}

static bool has_name(const struct shs_kept_file *file, struct shs_str name)
{
    return file->name_len == name.len && memcmp(file->name, name.ptr, name.len) == 0;
}

/* The way that has it, or WAYS. With the lock. */
static unsigned find(const struct set *set, uint32_t hash, struct shs_str name)
{
    unsigned way = 0;

    while (way < WAYS && !(set->ways[way].file != NULL && set->ways[way].hash == hash &&
                           has_name(set->ways[way].file, name)))
        way++;
    return way;
}

static void forget(struct set *set, uint32_t hash, const struct shs_kept_file *file)
{
    struct shs_kept_file *old = NULL;

    pthread_mutex_lock(&set->lock);
    for (unsigned way = 0; way < WAYS; way++) {
        if (set->ways[way].hash == hash && set->ways[way].file == file) {
            old = set->ways[way].file;
            set->ways[way].file = NULL;
        }
    }
    pthread_mutex_unlock(&set->lock);
    if (old != NULL)
        shs__file_cache_release(old);
}

struct shs_kept_file *shs__file_cache_get(struct shs_file_cache *self, int root_fd,
                                          struct shs_str name, int64_t since_ns)
{
    uint32_t hash = hash_of(name);
    struct shs_kept_file *file = NULL;
    struct set *set;
    struct stat st;
    unsigned way;
    int64_t now;

    if (self == NULL)
        return NULL;
    set = &self->sets[hash % SETS];
    pthread_mutex_lock(&set->lock);
    way = find(set, hash, name);
    if (way < WAYS) {
        file = set->ways[way].file;
        set->ways[way].used = ++set->turns;
        atomic_fetch_add_explicit(&file->references, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&set->lock);
    if (file == NULL)
        return NULL;
    if (since_ns != 0 && atomic_load_explicit(&file->looked_ns, memory_order_relaxed) >= since_ns)
        return file;
    now = shs_now_ns();
    /* The name was opened beneath the directory when it was kept. Should a link lead elsewhere now,
       the same file in the same state is what was allowed then. */
    if (fstatat(root_fd, file->name, &st, 0) == 0 && shs__same_state(&st, &file->st)) {
        atomic_store_explicit(&file->looked_ns, now, memory_order_relaxed);
        return file;
    }
    forget(set, hash, file);
    shs__file_cache_release(file);
    return NULL;
}

/* Has nobody changed it for a while? */
static bool is_settled(const struct stat *st)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return shs__ns_between(&st->st_mtim, &now) >= SETTLED_NS &&
           shs__ns_between(&st->st_ctim, &now) >= SETTLED_NS;
}

struct shs_kept_file *shs__file_cache_make(struct shs_str name, const struct stat *st,
                                           const char *data, size_t size)
{
    struct shs_kept_file *file = shs__malloc(sizeof *file + name.len + 1 + size);

    if (file == NULL)
        return NULL;
    memset(file, 0, sizeof *file);
    atomic_init(&file->references, 1);
    file->st = *st;
    if (shs__content_tag_of(data, size, file->content)) {
        shs__etag_strong(file->etag, file->content);
    } else {
        file->content[0] = '\0';
        shs__etag_weak(file->etag, st);
    }
    shs_http_date(st->st_mtime, file->modified);
    memcpy(file->name, name.ptr, name.len);
    file->name[name.len] = '\0';
    file->name_len = name.len;
    if (size > 0)
        memcpy(file->name + name.len + 1, data, size);
    file->data = file->name + name.len + 1;
    file->size = size;
    return file;
}

void shs__file_cache_keep(struct shs_file_cache *self, struct shs_kept_file *file)
{
    struct shs_str name = {file->name, file->name_len};
    uint32_t hash = hash_of(name);
    struct shs_kept_file *old;
    struct set *set;
    unsigned way;

    if (self == NULL || file->size > SHS_FILE_CACHE_MAX ||
        (uint64_t)file->st.st_size != file->size || !is_settled(&file->st))
        return;
    atomic_fetch_add_explicit(&file->references, 1, memory_order_relaxed);
    set = &self->sets[hash % SETS];
    pthread_mutex_lock(&set->lock);
    way = find(set, hash, name);
    for (unsigned i = 0; way == WAYS && i < WAYS; i++) {
        if (set->ways[i].file == NULL)
            way = i;
    }
    if (way == WAYS) { /* the one that was not used for longest; turns may have wrapped */
        way = 0;
        for (unsigned i = 1; i < WAYS; i++) {
            if (set->turns - set->ways[i].used > set->turns - set->ways[way].used)
                way = i;
        }
    }
    old = set->ways[way].file;
    set->ways[way].file = file;
    set->ways[way].hash = hash;
    set->ways[way].used = ++set->turns;
    pthread_mutex_unlock(&set->lock);
    if (old != NULL)
        shs__file_cache_release(old);
}

void shs__file_cache_put(struct shs_file_cache *self, struct shs_str name, const struct stat *st,
                         const char *data, size_t size)
{
    struct shs_kept_file *file = self == NULL || size > SHS_FILE_CACHE_MAX
                                     ? NULL
                                     : shs__file_cache_make(name, st, data, size);

    if (file == NULL)
        return;
    shs__file_cache_keep(self, file);
    shs__file_cache_release(file);
}
