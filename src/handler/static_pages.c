/*
 * static_pages.c - pages of our own: the listing of a directory, and the way back from a name that
 * is not there.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"
#include "handler/beneath.h"
#include "handler/listing.h"
#include "handler/static_site.h"

#define MISSING_MAX ((size_t)4096)
/* What is sent with its head; a longer page is given away as its reader takes it. */
#define PAGE_AT_ONCE ((size_t)16384)

bool shs__static_wants_page(const struct shs_request *req)
{
    struct shs_str accept;

    return shs_request_header(req, "Accept", &accept) &&
           memmem(accept.ptr, accept.len, "text/html", 9) != NULL;
}

/* The page in a coding that the client likes; false: as it is. */
static bool code_page(const struct shs_visit *v, struct shs_str page, struct shs_buf *coded,
                      enum shs_coding *coding)
{
    static const enum shs_coding fastest_first[] = {SHS_CODING_ZSTD, SHS_CODING_BR, SHS_CODING_GZIP,
                                                    SHS_CODING_IDENTITY};
    struct shs_coding_wishes wishes;
    int rc;

    if (v->site->coders == 0 || !shs__static_wishes(v->req, &wishes) ||
        page.len > SHS_COMPRESS_MAX ||
        (page.len < SHS_COMPRESS_MIN && !shs__coding_refuses_identity(&wishes)))
        return false;
    *coding = shs__coding_choose(&wishes, v->site->coders, fastest_first);
    if (*coding == SHS_CODING_IDENTITY || !shs__coded_cache_begin(v->site->coded, ""))
        return false;
    rc = shs__compress(*coding, page.ptr, page.len, coded);
    shs__coded_cache_end(v->site->coded, "");
    return rc == SHS_OK;
}

/* A page on its way to a reader who may be slow. */
struct page {
    struct shs_buf bytes;
};

static int read_page(void *ctx, void *buf, size_t cap, size_t *got)
{
    struct page *page = ctx;

    *got = page->bytes.len < cap ? page->bytes.len : cap;
    if (*got > 0)
        memcpy(buf, shs__buf_head(&page->bytes), *got);
    shs__buf_consume(&page->bytes, *got);
    return SHS_OK;
}

static void free_page(void *ctx)
{
    struct page *page = ctx;

    shs__buf_free(&page->bytes);
    shs__free(page);
}

/* Takes the bytes: a long page holds no thread while it is read. */
static int send_bytes(struct shs_visit *v, struct shs_buf *bytes)
{
    static const struct shs_source source = {read_page, free_page};
    struct page *page;

    if (bytes->len <= PAGE_AT_ONCE)
        return shs_write(v->res, shs__buf_head(bytes), bytes->len);
    page = shs__malloc(sizeof *page);
    if (page == NULL)
        return SHS_NOMEM;
    page->bytes = *bytes;
    shs__buf_init(bytes, 0);
    return shs_send_source(v->res, &source, page);
}

static int send_head(struct shs_visit *v, int status, const char *type, enum shs_coding coding,
                     size_t length)
{
    SHS_RETURN_IF_ERROR(shs_send_response(v->res, status));
    SHS_RETURN_IF_ERROR(shs_send_header(v->res, "Content-Type", type));
    if (v->site->coders != 0)
        SHS_RETURN_IF_ERROR(shs_send_field(v->res, SHS_STR("Vary"), SHS_STR("Accept-Encoding")));
    if (coding != SHS_CODING_IDENTITY)
        SHS_RETURN_IF_ERROR(shs_send_header(v->res, "Content-Encoding", shs__coding_name(coding)));
    if (status == 200)
        SHS_RETURN_IF_ERROR(shs__static_extra_headers(v->site, v->res, false));
    SHS_RETURN_IF_ERROR(shs_send_length(v->res, length));
    return shs_end_headers(v->res);
}

int shs__static_send_page(struct shs_visit *v, int status, const char *type, struct shs_buf *page)
{
    struct shs_str plain = {shs__buf_head(page), page->len};
    enum shs_coding coding = SHS_CODING_IDENTITY;
    struct shs_buf coded, *bytes = page;
    int rc;

    shs__buf_init(&coded, page->len + page->len / 4 + 4096);
    if (code_page(v, plain, &coded, &coding))
        bytes = &coded;
    else
        coding = SHS_CODING_IDENTITY;
    rc = send_head(v, status, type, coding, bytes->len);
    if (rc == SHS_OK && !shs__static_is_head(v->req))
        rc = send_bytes(v, bytes);
    shs__buf_free(&coded);
    return rc;
}

/* -- what these pages need --------------------------------------------------------------------- */

/* The style or the script of a page that would be here; 1: that is not asked for. */
static int send_resource(struct shs_visit *v)
{
    struct shs_buf bytes;
    struct shs_str text;
    const char *type;
    int rc;

    if (!shs__listing_resource(shs_request_query(v->req), &type, &text))
        return 1;
    /* A Cache-Control of the site's counts instead. */
    SHS_RETURN_IF_ERROR(shs_response_stand(v->res, "Cache-Control", "max-age=86400"));
    shs__buf_init(&bytes, text.len);
    rc = shs__buf_append_str(&bytes, text);
    if (rc == SHS_OK)
        rc = shs__static_send_page(v, 200, type, &bytes);
    shs__buf_free(&bytes);
    return rc;
}

/* -- listings ---------------------------------------------------------------------------------- */

int shs__static_send_listing(struct shs_visit *v, int fd)
{
    struct shs_listing_view view;
    struct shs_buf page;
    int rc = send_resource(v);

    if (rc != 1) {
        close(fd);
        return rc;
    }
    shs__listing_view_parse(&view, shs_request_query(v->req));
    view.upload = v->site->upload;
    view.archive = v->site->archive;
    shs__buf_init(&page, SHS_LISTING_BYTES_MAX);
    rc = shs__listing_read(&page, v->root->fd, fd, (struct shs_str){v->path.name, v->path.len},
                           &view);
    if (rc == SHS_IO)
        rc = shs__static_refuse(v, errno);
    else if (rc == SHS_OK)
        rc = shs__static_send_page(v, 200, "text/html; charset=utf-8", &page);
    shs__buf_free(&page);
    return rc;
}

/* -- what is not there ------------------------------------------------------------------------- */

/* Cuts the path to the nearest directory above it that is there. Returns how many steps up. */
static size_t way_back(struct shs_visit *v, struct shs_clean_path *path)
{
    size_t steps = 0;
    int fd = -1;

    while (path->len > 0 && fd < 0) {
        char *slash = memrchr(path->name, '/', path->len);

        path->len = slash == NULL ? 0 : (size_t)(slash - path->name);
        path->name[path->len] = '\0';
        fd = shs__open_beneath(v->root->fd, path->name, O_PATH | O_DIRECTORY);
        steps++;
    }
    if (fd >= 0)
        close(fd);
    return steps;
}

/* A link to that directory, relative: "/" may be somewhere else for the client. */
static int append_way_back(struct shs_visit *v, struct shs_buf *page)
{
    struct shs_clean_path path = v->path;
    /* "gone" is in its directory for the browser; "gone/" is one of its own. */
    size_t steps = way_back(v, &path) - !path.slash;
    const char *slash = memrchr(path.name, '/', path.len);
    struct shs_str name = shs__str(slash == NULL ? path.name : slash + 1);

    SHS_RETURN_IF_ERROR(shs__buf_append_str(page, SHS_STR("<p><a href=\"./")));
    for (size_t i = 0; i < steps; i++)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(page, SHS_STR("../")));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(page, SHS_STR("\">Back to ")));
    if (name.len == 0)
        return shs__buf_append_str(page, SHS_STR("the start page</a></p>\n"));
    SHS_RETURN_IF_ERROR(shs__listing_text(page, name));
    return shs__buf_append_str(page, SHS_STR("/</a></p>\n"));
}

static int append_missing(struct shs_visit *v, struct shs_buf *page)
{
    SHS_RETURN_IF_ERROR(shs__buf_append_str(page, shs__listing_head()));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(
        page, SHS_STR("<title>404 Not Found</title>\n</head>\n<body>\n<h1>404 Not Found</h1>\n"
                      "<p>File not found: there is nothing of that name here.</p>\n")));
    if (v->path.len > 0)
        SHS_RETURN_IF_ERROR(append_way_back(v, page));
    return shs__buf_append_str(page, SHS_STR("</body>\n</html>\n"));
}

int shs__static_not_found(struct shs_visit *v)
{
    struct shs_buf page;
    int rc = send_resource(v);

    if (rc != 1)
        return rc;
    if (!shs__static_wants_page(v->req) || v->root == NULL)
        return shs_send_page(v->res, 404, "File not found");
    shs__buf_init(&page, MISSING_MAX + shs__listing_head().len);
    rc = append_missing(v, &page);
    if (rc == SHS_OK)
        rc = shs__static_send_page(v, 404, "text/html; charset=utf-8", &page);
    shs__buf_free(&page);
    return rc;
}
