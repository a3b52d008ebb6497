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

int shs__static_send_page(struct shs_visit *v, int status, const char *type, struct shs_str page)
{
    enum shs_coding coding = SHS_CODING_IDENTITY;
    struct shs_buf coded;
    int rc;

    shs__buf_init(&coded, page.len + page.len / 4 + 4096);
    if (code_page(v, page, &coded, &coding))
        page = (struct shs_str){shs__buf_head(&coded), coded.len};
    else
        coding = SHS_CODING_IDENTITY;
    rc = shs_send_response(v->res, status);
    if (rc == SHS_OK)
        rc = shs_send_header(v->res, "Content-Type", type);
    if (rc == SHS_OK && v->site->coders != 0)
        rc = shs_send_field(v->res, SHS_STR("Vary"), SHS_STR("Accept-Encoding"));
    if (rc == SHS_OK && coding != SHS_CODING_IDENTITY)
        rc = shs_send_header(v->res, "Content-Encoding", shs__coding_name(coding));
    if (rc == SHS_OK && status == 200)
        rc = shs__static_extra_headers(v->site, v->res, false);
    if (rc == SHS_OK)
        rc = shs_send_length(v->res, page.len);
    if (rc == SHS_OK)
        rc = shs_end_headers(v->res);
    if (rc == SHS_OK && !shs__static_is_head(v->req))
        rc = shs_write(v->res, page.ptr, page.len);
    shs__buf_free(&coded);
    return rc;
}

/* -- listings ---------------------------------------------------------------------------------- */

int shs__static_send_listing(struct shs_visit *v, int fd)
{
    struct shs_listing_view view;
    struct shs_buf page;
    int rc;

    shs__listing_view_parse(&view, shs_request_query(v->req));
    view.upload = v->site->upload;
    shs__buf_init(&page, SHS_LISTING_BYTES_MAX);
    rc = shs__listing_read(&page, v->root->fd, fd, (struct shs_str){v->path.name, v->path.len},
                           &view);
    if (rc == SHS_IO)
        rc = shs__static_refuse(v, errno);
    else if (rc == SHS_OK)
        rc = shs__static_send_page(v, 200, "text/html; charset=utf-8",
                                   (struct shs_str){shs__buf_head(&page), page.len});
    shs__buf_free(&page);
    return rc;
}

/* -- what is not there ------------------------------------------------------------------------- */

/* The nearest directory above the path that is there and has a page; how many steps up, from 0. */
static size_t way_back(struct shs_visit *v)
{
    size_t steps = 0, len = v->path.len;
    char name[SHS_STATIC_PATH_MAX];
    int fd;

    memcpy(name, v->path.name, len);
    while (len > 0) {
        char *slash = memrchr(name, '/', len);

        len = slash == NULL ? 0 : (size_t)(slash - name);
        name[len] = '\0';
        fd = shs__open_beneath(v->root->fd, name, O_PATH | O_DIRECTORY);
        if (fd >= 0 || len == 0) {
            if (fd >= 0)
                close(fd);
            return steps;
        }
        steps++;
    }
    return steps;
}

static int append_missing(struct shs_visit *v, struct shs_buf *page)
{
    /* A path that ends in "/" is a directory of its own to the browser. */
    size_t steps = v->path.len == 0 ? 0 : way_back(v) + v->path.slash;

    SHS_RETURN_IF_ERROR(shs__buf_append_str(page, shs__listing_head()));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(
        page, SHS_STR("<title>404 Not Found</title>\n</head>\n<body>\n<h1>404 Not Found</h1>\n"
                      "<p>File not found: there is nothing of that name here.</p>\n")));
    if (v->path.len == 0)
        return shs__buf_append_str(page, SHS_STR("</body>\n</html>\n"));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(page, SHS_STR("<p class=\"back\"><a href=\"./")));
    for (size_t i = 0; i < steps; i++)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(page, SHS_STR("../")));
    return shs__buf_append_str(page, SHS_STR("\">Back to where there is something</a></p>\n"
                                             "</body>\n</html>\n"));
}

int shs__static_not_found(struct shs_visit *v)
{
    struct shs_buf page;
    int rc;

    if (!shs__static_wants_page(v->req) || v->root == NULL)
        return shs_send_page(v->res, 404, "File not found");
    shs__buf_init(&page, MISSING_MAX + shs__listing_head().len);
    rc = append_missing(v, &page);
    if (rc == SHS_OK)
        rc = shs__static_send_page(v, 404, "text/html; charset=utf-8",
                                   (struct shs_str){shs__buf_head(&page), page.len});
    shs__buf_free(&page);
    return rc;
}
