#include "handler/listing.h"

#include <inttypes.h>
#include <time.h>

#include <shs/http.h>

#include "base/text.h"

/*
 * No entry's row is longer: a name of 255 bytes, threefold in its link and eightfold in its text,
 * and what is around it.
 */
#define ROW_MAX ((size_t)255 * 3 + (size_t)255 * 8 + 512)
/* What comes behind the rows: two sentences, and the end of the page. */
#define TAIL_MAX 256u
/* A path with more directories than this is shown without links to them. */
#define CRUMBS_MAX 32u
/* More rows than fit a screen or two: then a filter is of use. */
#define FILTER_MIN 50u

static const struct {
    const char *label;
    const char *css; /* the column's class; "" for the first */
    char letter;     /* in a link: Apache's, which people know */
} columns[] = {
    [SHS_LISTING_NAME] = {"Name", "", 'N'},
    [SHS_LISTING_SIZE] = {"Size", " class=\"size\"", 'S'},
    [SHS_LISTING_TIME] = {"Changed<span> (UTC)</span>", " class=\"time\"", 'M'},
};

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
 * What is there and not seen: controls, and what turns the direction of text, so that a name that
 * ends in "exe" reads as one that ends in "txt". Its code point; 0: an ordinary character.
 */
static uint32_t unseen(struct shs_str s, size_t at, size_t len)
{
    const unsigned char *p = (const unsigned char *)s.ptr + at;
    uint32_t c = 0;

    if (len == 1)
        return p[0] < 0x20 || p[0] == 0x7f ? p[0] : 0;
    if (len == 2) {
        c = (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
        return c < 0xa0 || c == 0xad || c == 0x61c ? c : 0;
    }
    if (len == 3)
        c = (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    if (c == 0x200b || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
        (c >= 0x2060 && c <= 0x206f) || c == 0xfeff)
        return c;
    return 0;
}

/*
 * Text for people: escaped; what is not UTF-8 as U+FFFD, so that the page is UTF-8 whatever the
 * names are; and what is not seen by its number. A link works all the same: it has the bytes.
 */
int shs__listing_text(struct shs_buf *out, struct shs_str s)
{
    size_t start = 0, at = 0, len;
    uint32_t c;

    while (at < s.len) {
        len = shs__utf8_length(s, at);
        c = len == 0 ? 0 : unseen(s, at, len);
        if (len > 0 && c == 0) {
            at += len;
            continue;
        }
        SHS_RETURN_IF_ERROR(shs__html_escape(out, (struct shs_str){s.ptr + start, at - start}));
        if (c != 0)
            SHS_RETURN_IF_ERROR(shs__buf_printf(out, "[U+%04" PRIX32 "]", c));
        else
            SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("\xEF\xBF\xBD")));
        at += len == 0 ? 1 : len;
        start = at;
    }
    return shs__html_escape(out, (struct shs_str){s.ptr + start, at - start});
}

/* The name, in a link unless it would lead to nothing. */
static int append_name(struct shs_buf *out, const struct shs_listing_entry *entry)
{
    bool directory = entry->kind == SHS_ENTRY_DIRECTORY, link = entry->kind != SHS_ENTRY_OTHER;

    if (!link)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("<b>")));
    if (link) {
        /* Percent-encoded, ":" too, so that no name is read as a scheme or a query. */
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("<a href=\"")));
        SHS_RETURN_IF_ERROR(shs__percent_encode(out, entry->name));
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, directory ? SHS_STR("/\">") : SHS_STR("\">")));
    }
    SHS_RETURN_IF_ERROR(shs__listing_text(out, entry->name));
    if (entry->link)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("@")));
    else if (directory)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("/")));
    return shs__buf_append_str(out, link ? SHS_STR("</a>") : SHS_STR("</b>"));
}

static int append_row(struct shs_buf *out, const struct shs_listing_entry *entry)
{
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("<tr><td>")));
    SHS_RETURN_IF_ERROR(append_name(out, entry));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("</td><td class=\"size\">")));
    if (entry->kind == SHS_ENTRY_FILE && !entry->bare)
        SHS_RETURN_IF_ERROR(append_size(out, entry->size));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("</td><td class=\"time\">")));
    if (entry->kind != SHS_ENTRY_OTHER && !entry->bare)
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
        return shs__listing_text(out, path);
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] != '/')
            continue;
        if (depth > 0)
            SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("<a href=\"")));
        for (size_t up = 0; up < depth; up++)
            SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("../")));
        if (depth > 0)
            SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("\">")));
        SHS_RETURN_IF_ERROR(
            shs__listing_text(out, (struct shs_str){path.ptr + start, i + 1 - start}));
        if (depth > 0) {
            SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("</a>")));
            depth--;
        }
        start = i + 1;
    }
    return shs__listing_text(out, (struct shs_str){path.ptr + start, path.len - start});
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
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, count > FILTER_MIN ? SHS_STR("<p id=\"count\">")
                                                                    : SHS_STR("<p>")));
    if (directories > 0)
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%zu %s%s", directories,
                                            directories == 1 ? "directory" : "directories",
                                            others > 0 ? ", " : ""));
    if (others > 0)
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%zu %s", others, others == 1 ? "file" : "files"));
    return shs__buf_append_str(out, complete ? SHS_STR("</p>\n") : SHS_STR(", and more</p>\n"));
}

/* A filter where there is much to filter, and the whole directory in one file where that is
   offered. */
static int append_tools(struct shs_buf *out, size_t count, const struct shs_listing_view *view)
{
    if (count <= FILTER_MIN && !view->archive)
        return SHS_OK;
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("<p class=\"tools\">\n")));
    if (count > FILTER_MIN)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, shs__listing_filter_box()));
    if (view->archive)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(
            out, SHS_STR("<span>All of it as <a href=\"?archive=zip\" rel=\"nofollow\">.zip</a> or "
                         "<a href=\"?archive=tar\" rel=\"nofollow\">.tar</a></span>\n")));
    return shs__buf_append_str(out, SHS_STR("</p>\n"));
}

static int append_beginning(struct shs_buf *out, struct shs_str path,
                            const struct shs_listing_entry *entries, size_t count, bool complete,
                            const struct shs_listing_view *view)
{
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, shs__listing_head()));
    if (count > FILTER_MIN || view->upload)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, shs__listing_script_link()));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("<title>Directory listing for ")));
    SHS_RETURN_IF_ERROR(shs__listing_text(out, path));
    SHS_RETURN_IF_ERROR(
        shs__buf_append_str(out, SHS_STR("</title>\n</head>\n<body>\n<h1>Directory listing for ")));
    SHS_RETURN_IF_ERROR(append_heading(out, path));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("</h1>\n")));
    SHS_RETURN_IF_ERROR(append_summary(out, entries, count, complete));
    if (view->upload)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, shs__listing_upload_form()));
    SHS_RETURN_IF_ERROR(append_tools(out, count, view));
    return append_table_head(out, view);
}

int shs__listing_page(struct shs_buf *out, struct shs_str path,
                      const struct shs_listing_entry *entries, size_t count, bool complete,
                      const struct shs_listing_view *view)
{
    size_t shown = 0;

    SHS_RETURN_IF_ERROR(append_beginning(out, path, entries, count, complete, view));
    if (path.len > 1)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(
            out, SHS_STR("<tr class=\"up\"><td><a href=\"../\">../</a></td><td class=\"size\"></td>"
                         "<td class=\"time\"></td></tr>\n")));
    while (shown < count && out->ceiling - out->len >= ROW_MAX + TAIL_MAX)
        SHS_RETURN_IF_ERROR(append_row(out, &entries[shown++]));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("</tbody>\n</table>\n")));
    if (shown < count || !complete)
        SHS_RETURN_IF_ERROR(shs__buf_printf(
            out, "<p>Only %zu entries are shown; the directory has more.</p>\n", shown));
    return shs__buf_append_str(out, SHS_STR("</body>\n</html>\n"));
}
