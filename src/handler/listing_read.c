/*
 * listing_read.c - what is in a directory, as the page shows it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "handler/beneath.h"
#include "handler/listing.h"

/* The names of a full page: SHS_LISTING_ENTRIES_MAX of them, 255 bytes at most. */
#define NAMES_BYTES_MAX ((size_t)4 << 20)

/* What is being read: entries whose names live in the arena. */
struct listing {
    struct shs_arena names;
    struct shs_listing_entry *entries;
    size_t count, room;
    bool complete;
};

static void set_kind(struct shs_listing_entry *entry, const struct stat *st)
{
    if (S_ISDIR(st->st_mode))
        entry->kind = SHS_ENTRY_DIRECTORY;
    else if (S_ISREG(st->st_mode))
        entry->kind = SHS_ENTRY_FILE;
    entry->size = st->st_size > 0 ? (uint64_t)st->st_size : 0;
    entry->mtime = st->st_mtime;
}

/* What cannot be asked for its details is there all the same; what it is, readdir may know. */
static void set_bare(struct shs_listing_entry *entry, unsigned char type)
{
    entry->kind = type == DT_DIR                         ? SHS_ENTRY_DIRECTORY
                  : type == DT_REG || type == DT_UNKNOWN ? SHS_ENTRY_FILE
                                                         : SHS_ENTRY_OTHER;
    entry->bare = true;
}

/* A link is described by what it leads to, and only if that is inside the served directory. */
static int follow_link(struct shs_listing_entry *entry, int root_fd, struct shs_str directory)
{
    struct stat st;
    char *path;
    int fd;

    path = shs__asprintf("%.*s/%s", (int)directory.len, directory.ptr, entry->name.ptr);
    if (path == NULL)
        return SHS_NOMEM;
    fd = shs__open_beneath(root_fd, directory.len == 0 ? path + 1 : path, O_PATH);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EIO)) {
        set_bare(entry, DT_UNKNOWN);
    } else if (fd >= 0) {
        if (fstat(fd, &st) == 0)
            set_kind(entry, &st);
        else
            set_bare(entry, DT_UNKNOWN);
        close(fd);
    }
    shs__free(path);
    return SHS_OK;
}

/* `st` NULL: it cannot be asked. */
static int add_entry(struct listing *list, const struct dirent *item, const struct stat *st,
                     int root_fd, struct shs_str directory)
{
    struct shs_listing_entry *entry;
    void *grown;

    if (list->count == list->room) {
        list->room = list->room == 0 ? 64 : list->room * 2;
        grown = shs__realloc(list->entries, list->room * sizeof *list->entries);
        if (grown == NULL)
            return SHS_NOMEM;
        list->entries = grown;
    }
    entry = &list->entries[list->count];
    memset(entry, 0, sizeof *entry);
    entry->name = shs__arena_copy(&list->names, shs__str(item->d_name));
    if (entry->name.ptr == NULL)
        return SHS_NOMEM;
    list->count++;
    entry->kind = SHS_ENTRY_OTHER;
    entry->link = st == NULL ? item->d_type == DT_LNK : S_ISLNK(st->st_mode);
    if (entry->link)
        return follow_link(entry, root_fd, directory);
    if (st == NULL)
        set_bare(entry, item->d_type);
    else
        set_kind(entry, st);
    return SHS_OK;
}

static int read_entries(struct listing *list, DIR *dir, int root_fd, struct shs_str directory)
{
    const struct dirent *item;
    struct stat st;
    bool known;
    int rc;

    for (;;) {
        errno = 0;
        item = readdir(dir);
        if (item == NULL)
            return errno == 0 ? SHS_OK : SHS_IO;
        if (item->d_name[0] == '.')
            continue;
        if (list->count == SHS_LISTING_ENTRIES_MAX) {
            list->complete = false;
            return SHS_OK;
        }
        known = fstatat(dirfd(dir), item->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (!known && errno == ENOENT)
            continue; /* removed meanwhile */
        rc = add_entry(list, item, known ? &st : NULL, root_fd, directory);
        if (rc != SHS_OK)
            return rc;
    }
}

int shs__listing_read(struct shs_buf *out, int root_fd, int fd, struct shs_str name,
                      const struct shs_listing_view *view)
{
    struct listing list = {.complete = true};
    char *path = NULL;
    DIR *dir = fdopendir(fd);
    int rc = SHS_IO, saved;

    shs__arena_init(&list.names, NAMES_BYTES_MAX);
    if (dir == NULL) {
        saved = errno;
        close(fd);
        errno = saved;
        return errno == ENOMEM ? SHS_NOMEM : SHS_IO;
    }
    rc = read_entries(&list, dir, root_fd, name);
    if (rc != SHS_OK)
        goto out;
    rc = SHS_NOMEM;
    path = name.len == 0 ? shs__strdup("/") : shs__asprintf("/%.*s/", (int)name.len, name.ptr);
    if (path == NULL)
        goto out;
    shs__listing_sort(list.entries, list.count, view);
    rc = shs__listing_page(out, shs__str(path), list.entries, list.count, list.complete, view);
out:
    saved = errno;
    closedir(dir);
    shs__free(path);
    shs__free(list.entries);
    shs__arena_free(&list.names);
    errno = saved;
    return rc;
}
