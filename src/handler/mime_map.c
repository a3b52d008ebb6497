/*
 * mime_map.c - /etc/mime.types: one type a line, and behind it the extensions that mean it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <shs/http.h>

#include "handler/mime_table.h"

/* Entries and their types, at most: the file has about a thousand lines. */
#define ENTRIES_MAX 20000u
#define TYPES_BYTES_MAX ((size_t)2 << 20)
#define TYPE_MAX 127

struct shs_mime_map {
    struct shs_mime_entry *entries; /* sorted */
    size_t count, room;
    struct shs_arena types;
};

static int compare_entries(const void *left, const void *right)
{
    return strcmp(((const struct shs_mime_entry *)left)->extension,
                  ((const struct shs_mime_entry *)right)->extension);
}

static int compare_extension(const void *key, const void *entry)
{
    return strcmp(key, ((const struct shs_mime_entry *)entry)->extension);
}

const struct shs_mime_entry *shs__mime_find(const struct shs_mime_map *map, const char *extension)
{
    return map->count == 0 ? NULL
                           : bsearch(extension, map->entries, map->count, sizeof map->entries[0],
                                     compare_extension);
}

static struct shs_str next_word(struct shs_str *line)
{
    struct shs_str word;

    while (line->len > 0 && (line->ptr[0] == ' ' || line->ptr[0] == '\t' || line->ptr[0] == '\r')) {
        line->ptr++;
        line->len--;
    }
    word = (struct shs_str){line->ptr, 0};
    while (word.len < line->len && word.ptr[word.len] > ' ')
        word.len++;
    line->ptr += word.len;
    line->len -= word.len;
    return word;
}

/* Printable, with one slash, and short: it goes into a header as it is. */
static bool is_type(struct shs_str s)
{
    size_t slashes = 0;

    if (s.len < 3 || s.len > TYPE_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == ';' || s.ptr[i] == '"')
            return false;
        slashes += s.ptr[i] == '/';
    }
    return slashes == 1;
}

static int add_entry(struct shs_mime_map *map, struct shs_str extension, const char *type)
{
    struct shs_mime_entry *entry;
    void *grown;

    if (extension.len > SHS_MIME_EXTENSION_MAX || map->count == ENTRIES_MAX)
        return SHS_OK;
    if (map->count == map->room) {
        map->room = map->room == 0 ? 1024 : map->room * 2;
        grown = shs__realloc(map->entries, map->room * sizeof *map->entries);
        if (grown == NULL)
            return SHS_NOMEM;
        map->entries = grown;
    }
    entry = &map->entries[map->count++];
    memset(entry, 0, sizeof *entry);
    for (size_t i = 0; i < extension.len; i++)
        entry->extension[i] = (char)shs__lower((unsigned char)extension.ptr[i]);
    entry->type = type;
    return SHS_OK;
}

/* The type as it is sent: text is UTF-8 here, as in our own table. */
static const char *keep_type(struct shs_mime_map *map, struct shs_str word)
{
    static const char charset[] = "; charset=utf-8";
    bool text = word.len > 5 && memcmp(word.ptr, "text/", 5) == 0;
    char *type = shs__arena_alloc(&map->types, word.len + (text ? sizeof charset : 1));

    if (type == NULL)
        return NULL;
    memcpy(type, word.ptr, word.len);
    memcpy(type + word.len, text ? charset : "", text ? sizeof charset : 1);
    return type;
}

static int add_line(struct shs_mime_map *map, struct shs_str line)
{
    struct shs_str word = next_word(&line);
    const char *type = NULL;

    if (word.len == 0 || word.ptr[0] == '#' || !is_type(word))
        return SHS_OK;
    for (;;) {
        struct shs_str extension = next_word(&line);

        if (extension.len == 0 || extension.ptr[0] == '#')
            return SHS_OK;
        if (type == NULL)
            type = keep_type(map, word);
        if (type == NULL)
            return SHS_NOMEM;
        SHS_RETURN_IF_ERROR(add_entry(map, extension, type));
    }
}

int shs__mime_parse(struct shs_mime_map **out, struct shs_str text)
{
    struct shs_mime_map *map = shs__calloc(1, sizeof *map);
    const char *newline;
    struct shs_str line;
    int rc = SHS_OK;

    if (map == NULL)
        return SHS_NOMEM;
    shs__arena_init(&map->types, TYPES_BYTES_MAX);
    while (rc == SHS_OK && text.len > 0) {
        newline = memchr(text.ptr, '\n', text.len);
        line =
            (struct shs_str){text.ptr, newline == NULL ? text.len : (size_t)(newline - text.ptr)};
        rc = add_line(map, line);
        text.ptr += line.len + (newline != NULL);
        text.len -= line.len + (newline != NULL);
    }
    if (rc != SHS_OK) {
        shs__mime_free(map);
        return rc;
    }
    if (map->count > 1)
        qsort(map->entries, map->count, sizeof map->entries[0], compare_entries);
    *out = map;
    return SHS_OK;
}

int shs__mime_load(struct shs_mime_map **out, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc, saved;
    struct shs_buf text;

    if (fd < 0)
        return SHS_IO;
    shs__buf_init(&text, SHS_MIME_FILE_MAX);
    rc = shs__read_all(fd, &text);
    if (rc == SHS_OK)
        rc = shs__mime_parse(out, (struct shs_str){shs__buf_head(&text), text.len});
    saved = errno;
    shs__buf_free(&text);
    close(fd);
    errno = saved;
    return rc;
}

void shs__mime_free(struct shs_mime_map *map)
{
    if (map == NULL)
        return;
    shs__free(map->entries);
    shs__arena_free(&map->types);
    shs__free(map);
}
