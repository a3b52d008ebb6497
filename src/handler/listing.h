/*
 * listing.h - the page that shows what is in a directory.
 *
 * One HTML page, UTF-8, light or dark as the reader's system is: name, size and time of each entry,
 * sorted by one of them; the heads of the columns are links that sort. All of that works without
 * JavaScript; with it, a page of more than 50 rows has a filter, and uploads say how far they are.
 * Names that begin with "." are not shown: they are not served either. What leads to nothing that
 * is served (a FIFO, a link to the outside) is shown, and is not a link.
 *
 * Follows: CPython Lib/http/server.py list_directory ("/" behind directories, "@" behind links, the
 * words of the heading).
 */
#ifndef SHS_HANDLER_LISTING_H
#define SHS_HANDLER_LISTING_H

#include "base/base.h"

/* Beyond these the page says that it is not complete. */
#define SHS_LISTING_ENTRIES_MAX 10000
#define SHS_LISTING_BYTES_MAX ((size_t)8 << 20)

enum shs_entry_kind { SHS_ENTRY_FILE, SHS_ENTRY_DIRECTORY, SHS_ENTRY_OTHER };

struct shs_listing_entry {
    struct shs_str name;      /* as it is on disk: any bytes but "/" and NUL */
    enum shs_entry_kind kind; /* of what a link leads to; OTHER when it leads nowhere inside */
    bool link;                /* is itself a symbolic link */
    bool bare;                /* its details cannot be had: neither size nor time is shown */
    uint64_t size;            /* of a FILE */
    int64_t mtime;            /* seconds of the Unix epoch; not shown for OTHER */
};

enum shs_listing_column { SHS_LISTING_NAME, SHS_LISTING_SIZE, SHS_LISTING_TIME };

/* What the page is to look like. Zero: by name, ascending. */
struct shs_listing_view {
    enum shs_listing_column column;
    bool descending;
    bool upload;  /* with a form that sends files */
    bool archive; /* with links to all of it in one file */
};

/* listing_style.c: the beginning of every page of ours, up to its <title>; parts of a listing. */
struct shs_str shs__listing_head(void);
struct shs_str shs__listing_upload_form(void);
struct shs_str shs__listing_filter_box(void);
struct shs_str shs__listing_script_link(void);
/*
 * The style or the script of these pages, when the query of a page's address asks for it. Answered
 * where the page itself would be, so that no file and no index page is hidden by it.
 */
bool shs__listing_resource(struct shs_str query, const char **type, struct shs_str *text);

/* A name for people: escaped, UTF-8 in any case, and with what cannot be seen by its number. */
int shs__listing_text(struct shs_buf *out, struct shs_str s);

/* Reads the query of a link of the page: "C=S;O=D" (or "&"). What is not understood is ignored. */
void shs__listing_view_parse(struct shs_listing_view *view, struct shs_str query);

/*
 * Sorts by the column of the view, directories first whichever way it goes. By name: as below. What
 * is equal otherwise is sorted by name, ascending.
 */
void shs__listing_sort(struct shs_listing_entry *entries, size_t count,
                       const struct shs_listing_view *view);

/* As people count, letters without case; never 0 for names that differ. < 0, > 0 as strcmp. */
int shs__natural_order(struct shs_str a, struct shs_str b);

/*
 * Appends the page.
 *
 *   path      shown in title and heading, decoded: "/a b/"
 *   entries   sorted, as the view says
 *   complete  false: the directory has more than these
 *
 * Returns SHS_OK, SHS_NOMEM, or SHS_LIMIT when not even a page without entries fits out->ceiling.
 */
int shs__listing_page(struct shs_buf *out, struct shs_str path,
                      const struct shs_listing_entry *entries, size_t count, bool complete,
                      const struct shs_listing_view *view);

/*
 * Reads a directory into a page.
 *
 *   root_fd  the served directory: links are followed below it and nowhere else
 *   fd       the directory to show, open for reading; taken
 *   name     its name below root_fd, "" for root_fd itself
 *
 * Returns SHS_OK, SHS_IO (with errno), SHS_NOMEM.
 */
int shs__listing_read(struct shs_buf *out, int root_fd, int fd, struct shs_str name,
                      const struct shs_listing_view *view);

#endif
