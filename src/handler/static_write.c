#include "handler/static_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include <shs/forwarded.h>

#include "handler/origin.h"

#define LOCK_WAIT_MS 5000
#define LOCK_TURN_MS 5
#define NAME_SIZE 272

/* -- what went wrong --------------------------------------------------------------------------- */

int shs__static_refuse_store(struct shs_visit *v, int sys_errno)
{
    char text[64];

    switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
    case EXDEV:
    case ELOOP:
        return shs_send_page(v->res, 409, "The directory for the file does not exist.");
    case EISDIR:
        return shs_send_page(v->res, 409, "There is a directory with that name.");
    case EEXIST:
        return shs_send_page(v->res, 409, "There are too many files with that name already.");
    case EACCES:
    case EPERM:
    case EROFS:
        return shs_send_page(v->res, 403, "Files cannot be stored there.");
    case ENAMETOOLONG:
        return shs_send_page(v->res, 400, "The name is too long for a file.");
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        shs__static_log(v, "could not be stored: %s", shs__strerror(sys_errno, text, sizeof text));
        return shs_send_error(v->res, 507, "There is not enough space for the file.");
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ETIMEDOUT:
        shs__static_log(v, "could not be stored: %s", shs__strerror(sys_errno, text, sizeof text));
        return shs__static_come_again(v->res, NULL);
    default:
        shs__static_log(v, "could not be stored: %s", shs__strerror(sys_errno, text, sizeof text));
        return shs_send_error(v->res, 500, "The file could not be stored.");
    }
}

bool shs__static_clean_target(struct shs_visit *v, int *rc)
{
    switch (shs__path_clean(shs_request_path(v->req), &v->path)) {
    case SHS_PATH_OK:
        return true;
    case SHS_PATH_NOT_FOUND:
        *rc = shs_send_page(v->res, 403, "A file may not have that name here.");
        return false;
    case SHS_PATH_MALFORMED:
        break;
    }
    *rc = shs_send_page(v->res, 400, "Each % in the path must be followed by two hex digits.");
    return false;
}

/* -- who may ----------------------------------------------------------------------------------- */

/* "https://host:port" without its scheme: what Host says when the page is from here. */
static bool is_host(struct shs_str origin, struct shs_str host)
{
    const char *at = memmem(origin.ptr, origin.len, "://", 3);

    if (at == NULL) /* "null" */
        return false;
    at += 3;
    return shs__str_eq_nocase((struct shs_str){at, origin.len - (size_t)(at - origin.ptr)}, host);
}

/*
 * Sec-Fetch-Site is the browser's own word, and no page can change it: it is believed, also where
 * Origin is "null" (a page with a strict Referrer-Policy) or a proxy has changed Host. Browsers
 * that do not say it say Origin; programs say neither.
 */
static bool is_from_here(const struct shs_visit *v, bool has_origin, struct shs_str origin)
{
    struct shs_str site;

    if (shs_request_header(v->req, "Sec-Fetch-Site", &site))
        return shs__header_once(v->req, "Sec-Fetch-Site", &site) &&
               (shs__str_eq(site, SHS_STR("same-origin")) || shs__str_eq(site, SHS_STR("none")));
    return !has_origin || is_host(origin, shs_request_public_host(v->req)) ||
           shs__origin_in(origin, v->site->own_origins);
}

bool shs__static_may_write(struct shs_visit *v, int *rc)
{
    struct shs_str origin = SHS_STR("");
    bool has_origin = shs_request_header(v->req, "Origin", &origin);
    char text[480];

    if (has_origin && !shs__header_once(v->req, "Origin", &origin))
        origin = SHS_STR("null"); /* two of them are a doubt */
    if (is_from_here(v, has_origin, origin) || shs__origin_in(origin, v->site->write_origins))
        return true;
    if (has_origin && memmem(origin.ptr, origin.len, "://", 3) != NULL && origin.len < 300)
        snprintf(text, sizeof text,
                 "Pages of %.*s may not store files here. Whoever runs this server can allow it: "
                 "--cors-write=%.*s",
                 (int)origin.len, origin.ptr, (int)origin.len, origin.ptr);
    else
        snprintf(text, sizeof text, "The request comes from a page of another site.");
    *rc = shs_send_page(v->res, 403, text);
    return false;
}

/* -- one at a time ----------------------------------------------------------------------------- */

int shs__static_lock(struct shs_static_files *self, int dir_fd)
{
    int64_t deadline = shs_now_ns() + (int64_t)LOCK_WAIT_MS * SHS_NS_PER_MS;
    const struct timespec turn = {.tv_nsec = LOCK_TURN_MS * SHS_NS_PER_MS};

    pthread_mutex_lock(&self->storing);
    /* The mutex is for the threads of this process; children of ForkingMixIn and other servers of
       the same files are met at the directory. Where there are no such locks the mutex is all. */
    while (flock(dir_fd, LOCK_EX | LOCK_NB) != 0 && (errno == EWOULDBLOCK || errno == EINTR)) {
        if (shs_now_ns() >= deadline) {
            pthread_mutex_unlock(&self->storing);
            errno = ETIMEDOUT;
            return SHS_IO;
        }
        (void)nanosleep(&turn, NULL);
    }
    return SHS_OK;
}

void shs__static_unlock(struct shs_static_files *self, int dir_fd)
{
    (void)flock(dir_fd, LOCK_UN);
    pthread_mutex_unlock(&self->storing);
}

/* -- siblings ---------------------------------------------------------------------------------- */

static bool is_later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

void shs__static_outdate_siblings(int dir_fd, const char *name, int fd)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    char sibling[NAME_SIZE];
    struct stat st;
    bool older = false;

    if (fstat(fd, &st) != 0)
        return;
    times[1] = st.st_mtim;
    for (int coding = SHS_CODING_IDENTITY + 1; coding < SHS_CODING_COUNT; coding++) {
        snprintf(sibling, sizeof sibling, "%s%s", name,
                 shs__coding_suffix((enum shs_coding)coding));
        if (fstatat(dir_fd, sibling, &st, 0) != 0 || is_later(&times[1], &st.st_mtim))
            continue;
        older = true;
        times[1] = st.st_mtim;
        if (++times[1].tv_nsec == SHS_NS_PER_S) {
            times[1].tv_sec++;
            times[1].tv_nsec = 0;
        }
    }
    if (older)
        (void)futimens(fd, times);
}
