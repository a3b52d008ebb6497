#include "handler/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <shs/http.h>

#include "base/text.h"
#include "handler/beneath.h"

/* The names of a full page: SHS_LISTING_ENTRIES_MAX of them, 255 bytes at most. */
#define NAMES_BYTES_MAX ((size_t)4 << 20)
/* No entry's row is longer: a name of 255 bytes three- and sixfold, and what is around it. */
#define ROW_MAX ((size_t)255 * 3 + (size_t)255 * 6 + 512)
#define TAIL_MAX 512u
/* A path with more directories than this is shown without links to them. */
#define CRUMBS_MAX 32u

static const char page_head[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<style>\n"
    ":root { --ink: #1c2530; --soft: #5d6b7a; --line: #dfe4ea; --link: #0b5cad; --page: #fff;"
    " --row: #f5f7fa; }\n"
    "@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --soft: #97a4b3;"
    " --line: #333c47; --link: #7db8f5; --page: #14181d; --row: #1d232a; } }\n"
    "body { margin: 2.5rem auto; max-width: 60rem; padding: 0 1rem; color: var(--ink);"
    " background: var(--page); font: 1rem/1.5 system-ui, sans-serif; }\n"
    "h1 { margin: 0; padding: 0 .5rem; font-size: 1.25rem; font-weight: 600;"
    " overflow-wrap: anywhere; }\n"
    "p { margin: .25rem 0 1rem; padding: 0 .5rem; color: var(--soft); font-size: .875rem; }\n"
    "table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }\n"
    "th { position: sticky; top: 0; padding: 0; background: var(--page); text-align: left; color: "
    "var(--soft);"
    " font-weight: 500; font-size: .875rem; box-shadow: inset 0 -1px var(--line); }\n"
    "td { padding: 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }\n"
    "th a, td a, .size, .time { display: block; padding: .4rem .5rem; }\n"
    "td.size, td.time { display: table-cell; }\n"
    "th.size, th.time { display: table-cell; padding: 0; }\n"
    "tbody tr:hover { background: var(--row); }\n"
    "th:first-child { width: 100%; }\n"
    "td:first-child { overflow-wrap: anywhere; }\n"
    ".size, .time { white-space: nowrap; color: var(--soft); }\n"
    ".size { text-align: right; }\n"
    "a { color: var(--link); text-decoration: none; }\n"
    "a:hover, a:focus { text-decoration: underline; }\n"
    "td a[href$=\"/\"] { font-weight: 600; }\n"
    "th a { color: inherit; } th[aria-sort] a { color: var(--ink); }\n"
    "th[aria-sort=ascending] a::after { content: \" \\2191\"; }\n"
    "th[aria-sort=descending] a::after { content: \" \\2193\"; }\n"
    "form { margin: 1.5rem 0; padding: 0 .5rem; color: var(--soft); font-size: .875rem; }\n"
    "input, button { font: inherit; max-width: 100%; }\n"
    "@media (max-width: 36rem) { body { margin: 1rem auto; padding: 0 .25rem; }"
    " .time span { display: none; } td.size, td.time { font-size: .875rem; } }\n"
    "</style>\n";

static const struct {
    const char *label;
    const char *css; /* the column's class; "" for the first */
    char letter;     /* in a link: Apache's, which people know */
} columns[] = {
    [SHS_LISTING_NAME] = {"Name", "", 'N'},
    [SHS_LISTING_SIZE] = {"Size", " class=\"size\"", 'S'},
    [SHS_LISTING_TIME] = {"Changed<span> (UTC)</span>", " class=\"time\"", 'M'},
};

static const char upload_form[] =
    "<form method=\"post\" enctype=\"multipart/form-data\">\n"
    "<label>Add files <input type=\"file\" name=\"file\" multiple required></label>\n"
    "<button>Upload</button>\n"
    "</form>\n";

void shs__listing_view_parse(struct shs_listing_view *view, struct shs_str query)
{
    memset(view, 0, sizeof *view);
    for (size_t i = 0; i + 2 < query.len; i++) {
        bool begins = i == 0 || query.ptr[i - 1] == ';' || query.ptr[i - 1] == '&';
        bool ends = i + 3 == query.len || query.ptr[i + 3] == ';' || query.ptr[i + 3] == '&';

        if (!begins || !ends || query.ptr[i + 1] != '=')
            continue;
        if (query.ptr[i] == 'O' && (query.ptr[i + 2] == 'A' || query.ptr[i + 2] == 'D'))
            view->descending = query.ptr[i + 2] == 'D';
        for (size_t c = 0; query.ptr[i] == 'C' && c < SHS_ARRAY_LEN(columns); c++) {
            if (query.ptr[i + 2] == columns[c].letter)
                view->column = (enum shs_listing_column)c;
        }
    }
}

static int compare_names(const void *left, const void *right)
{
    struct shs_str a = ((const struct shs_listing_entry *)left)->name;
    struct shs_str b = ((const struct shs_listing_entry *)right)->name;
    size_t common = a.len < b.len ? a.len : b.len;
    int order;

    for (size_t i = 0; i < common; i++) {
        order = (int)shs__lower((unsigned char)a.ptr[i]) - (int)shs__lower((unsigned char)b.ptr[i]);
        if (order != 0)
            return order;
    }
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return memcmp(a.ptr, b.ptr, common);
}

static int compare_names_down(const void *left, const void *right)
{
    return compare_names(right, left);
}

/* What is shown without a size, a directory, is smaller than an empty file. */
static int compare_sizes(const struct shs_listing_entry *a, const struct shs_listing_entry *b)
{
    bool a_file = a->kind == SHS_ENTRY_FILE, b_file = b->kind == SHS_ENTRY_FILE;

    if (a_file != b_file)
        return a_file ? 1 : -1;
    if (!a_file || a->size == b->size)
        return 0;
    return a->size < b->size ? -1 : 1;
}

static int compare_times(const struct shs_listing_entry *a, const struct shs_listing_entry *b)
{
    return (a->mtime > b->mtime) - (a->mtime < b->mtime);
}

static int compare_sizes_up(const void *left, const void *right)
{
    int order = compare_sizes(left, right);

    return order != 0 ? order : compare_names(left, right);
}

static int compare_sizes_down(const void *left, const void *right)
{
    int order = compare_sizes(right, left);

    return order != 0 ? order : compare_names(left, right);
}

static int compare_times_up(const void *left, const void *right)
{
    int order = compare_times(left, right);

    return order != 0 ? order : compare_names(left, right);
}

static int compare_times_down(const void *left, const void *right)
{
    int order = compare_times(right, left);

    return order != 0 ? order : compare_names(left, right);
}

void shs__listing_sort(struct shs_listing_entry *entries, size_t count,
                       const struct shs_listing_view *view)
{
    static int (*const orders[][2])(const void *, const void *) = {
        [SHS_LISTING_NAME] = {compare_names, compare_names_down},
        [SHS_LISTING_SIZE] = {compare_sizes_up, compare_sizes_down},
        [SHS_LISTING_TIME] = {compare_times_up, compare_times_down},
    };

    if (count > 1)
        qsort(entries, count, sizeof *entries, orders[view->column][view->descending]);
}

/* The heads of the columns: a link sorts by its column, and the other way round if it is sorted. */
static int append_table_head(struct shs_buf *out, const struct shs_listing_view *view)
{
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("<table>\n<thead><tr>")));
    for (size_t i = 0; i < SHS_ARRAY_LEN(columns); i++) {
        bool sorted = (size_t)view->column == i, down = sorted && !view->descending;
        const char *state = !sorted            ? ""
                            : view->descending ? " aria-sort=\"descending\""
                                               : " aria-sort=\"ascending\"";

        SHS_RETURN_IF_ERROR(shs__buf_printf(
            out, "<th scope=\"col\"%s%s><a href=\"?C=%c;O=%c\">%s</a></th>", columns[i].css, state,
            columns[i].letter, down ? 'D' : 'A', columns[i].label));
    }
    return shs__buf_append_str(out, SHS_STR("</tr></thead>\n<tbody>\n"));
}

/* "13 B", "1.4 KiB", "20 GiB": three figures are enough to choose by. */
static int append_size(struct shs_buf *out, uint64_t size)
{
    static const char units[][4] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    uint64_t tenths;

    if (size < 1024)
        return shs__buf_printf(out, "%" PRIu64 " B", size);
    while (size >= (uint64_t)1024 * 1024 && unit + 2 < SHS_ARRAY_LEN(units)) {
        size /= 1024;
        unit++;
    }
    unit++;
    tenths = (size * 10 + 512) / 1024;
    if (tenths < 100)
        return shs__buf_printf(out, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10,
                               units[unit]);
    return shs__buf_printf(out, "%" PRIu64 " %s", (tenths + 5) / 10, units[unit]);
}

static int append_time(struct shs_buf *out, int64_t seconds)
{
    time_t when = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&when, &tm) == NULL)
        return SHS_OK; /* a year beyond int: nothing to show */
    return shs__buf_printf(out, "%04d-%02d-%02d<span> %02d:%02d</span>", tm.tm_year + 1900,
                           tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min);
}

/*
 * Text for people: escaped, and what is not UTF-8 as U+FFFD, so that the page is UTF-8 whatever the
 * names are. A link works all the same: it has the bytes.
 */
static int append_text(struct shs_buf *out, struct shs_str s)
{
    size_t start = 0, at = 0, len;

    while (at < s.len) {
        len = shs__utf8_length(s, at);
        if (len > 0) {
            at += len;
            continue;
        }
        SHS_RETURN_IF_ERROR(shs__html_escape(out, (struct shs_str){s.ptr + start, at - start}));
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("\xEF\xBF\xBD")));
        start = ++at;
    }
    return shs__html_escape(out, (struct shs_str){s.ptr + start, at - start});
}

static int append_row(struct shs_buf *out, const struct shs_listing_entry *entry)
{
    bool directory = entry->kind == SHS_ENTRY_DIRECTORY;

    /* Percent-encoded, ":" too, so that no name is read as a scheme or a query. */
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("<tr><td><a href=\"")));
    SHS_RETURN_IF_ERROR(shs__percent_encode(out, entry->name));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, directory ? SHS_STR("/\">") : SHS_STR("\">")));
    SHS_RETURN_IF_ERROR(append_text(out, entry->name));
    if (entry->link)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("@")));
    else if (directory)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("/")));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("</a></td><td class=\"size\">")));
    if (entry->kind == SHS_ENTRY_FILE)
        SHS_RETURN_IF_ERROR(append_size(out, entry->size));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("</td><td class=\"time\">")));
    if (entry->kind != SHS_ENTRY_OTHER)
        SHS_RETURN_IF_ERROR(append_time(out, entry->mtime));
    return shs__buf_append_str(out, SHS_STR("</td></tr>\n"));
}

/*
 * The path, each directory on the way to it a link. Relative: "/" may be somewhere else for them.
 */
static int append_heading(struct shs_buf *out, struct shs_str path)
{
    size_t depth = 0, start = 0;

    for (size_t i = 1; i < path.len; i++)
        depth += path.ptr[i] == '/';
    if (depth > CRUMBS_MAX)
        return append_text(out, path);
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] != '/')
            continue;
        if (depth > 0)
            SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("<a href=\"")));
        for (size_t up = 0; up < depth; up++)
            SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("../")));
        if (depth > 0)
            SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("\">")));
        SHS_RETURN_IF_ERROR(append_text(out, (struct shs_str){path.ptr + start, i + 1 - start}));
        if (depth > 0) {
            SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("</a>")));
            depth--;
        }
        start = i + 1;
    }
    return append_text(out, (struct shs_str){path.ptr + start, path.len - start});
}

/* "3 directories, 1 file": what a page of a thousand rows does not show at a glance. */
static int append_summary(struct shs_buf *out, const struct shs_listing_entry *entries,
                          size_t count, bool complete)
{
    size_t directories = 0, others;

    for (size_t i = 0; i < count; i++)
        directories += entries[i].kind == SHS_ENTRY_DIRECTORY;
    others = count - directories;
    if (count == 0)
        return shs__buf_append_str(out, SHS_STR("<p>This directory is empty.</p>\n"));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("<p>")));
    if (directories > 0)
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%zu %s%s", directories,
                                            directories == 1 ? "directory" : "directories",
                                            others > 0 ? ", " : ""));
    if (others > 0)
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%zu %s", others, others == 1 ? "file" : "files"));
    return shs__buf_append_str(out, complete ? SHS_STR("</p>\n") : SHS_STR(", and more</p>\n"));
}

int shs__listing_page(struct shs_buf *out, struct shs_str path,
                      const struct shs_listing_entry *entries, size_t count, bool complete,
                      const struct shs_listing_view *view)
{
    size_t shown = 0;

    SHS_RETURN_IF_ERROR(shs__buf_append(out, page_head, sizeof page_head - 1));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("<title>Directory listing for ")));
    SHS_RETURN_IF_ERROR(append_text(out, path));
    SHS_RETURN_IF_ERROR(
        shs__buf_append_str(out, SHS_STR("</title>\n</head>\n<body>\n<h1>Directory listing for ")));
    SHS_RETURN_IF_ERROR(append_heading(out, path));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("</h1>\n")));
    SHS_RETURN_IF_ERROR(append_summary(out, entries, count, complete));
    SHS_RETURN_IF_ERROR(append_table_head(out, view));
    if (path.len > 1)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(
            out, SHS_STR("<tr><td><a href=\"../\">../</a></td><td class=\"size\"></td>"
                         "<td class=\"time\"></td></tr>\n")));
    while (shown < count && out->ceiling - out->len >= ROW_MAX + TAIL_MAX)
        SHS_RETURN_IF_ERROR(append_row(out, &entries[shown++]));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("</tbody>\n</table>\n")));
    if (shown < count || !complete)
        SHS_RETURN_IF_ERROR(shs__buf_printf(
            out, "<p>Only %zu entries are shown; the directory has more.</p>\n", shown));
    if (view->upload)
        SHS_RETURN_IF_ERROR(shs__buf_append(out, upload_form, sizeof upload_form - 1));
    return shs__buf_append_str(out, SHS_STR("</body>\n</html>\n"));
}

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
    if (fd >= 0) {
        if (fstat(fd, &st) == 0)
            set_kind(entry, &st);
        close(fd);
    }
    shs__free(path);
    return SHS_OK;
}

static int add_entry(struct listing *list, const char *name, const struct stat *st, int root_fd,
                     struct shs_str directory)
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
    entry->name = shs__arena_copy(&list->names, shs__str(name));
    if (entry->name.ptr == NULL)
        return SHS_NOMEM;
    entry->kind = SHS_ENTRY_OTHER;
    entry->link = S_ISLNK(st->st_mode);
    list->count++;
    if (entry->link)
        return follow_link(entry, root_fd, directory);
    set_kind(entry, st);
    return SHS_OK;
}

static int read_entries(struct listing *list, DIR *dir, int root_fd, struct shs_str directory)
{
    const struct dirent *item;
    struct stat st;
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
        if (fstatat(dirfd(dir), item->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue; /* removed meanwhile */
        rc = add_entry(list, item->d_name, &st, root_fd, directory);
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
