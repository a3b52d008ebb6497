/*
 * keylog.c - the secrets of TLS sessions into a file, for a limited time: for who has to look into
 * what goes over the wire.
 *
 * The file is the operator's choice at the start, and not of who asks. Only the role admin may ask.
 * The time is a person's: it goes on while the machine is suspended.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shs/json.h>
#include <shs/query.h>

#include "tls/wire/mixin.h"

#define USUAL_MS ((uint64_t)60 * 1000)
#define MOST_MS ((uint64_t)60 * 60 * 1000)

/* -- its file ---------------------------------------------------------------------------------- */

int shs__admin_keylog_open(struct shs_admin *self, struct shs_error *err)
{
    const char *path = self->opt.keylog;
    struct stat st;

    self->keylog_fd = -1;
    if (path == NULL)
        return SHS_OK;
    self->keylog_fd = open(
        path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
    if (self->keylog_fd < 0)
        return shs_error_set(err, SHS_IO, errno, "cannot open the key log %s: %s", path,
                             errno == ENXIO ? "it is not a file"
                                            : shs__strerror(errno, (char[96]){0}, 96));
    if (fstat(self->keylog_fd, &st) != 0 || !S_ISREG(st.st_mode))
        return shs_error_set(err, SHS_USAGE, 0, "the key log %s is not a file", path);
    if ((st.st_mode & 0077) != 0)
        return shs_error_set(err, SHS_USAGE, 0,
                             "others may read the key log %s, and with it all the traffic: "
                             "chmod 600 it",
                             path);
    return SHS_OK;
}

int shs__admin_keylog_allow(struct shs_admin *self, struct shs_server *server,
                            struct shs_error *err)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(server);
    int rc;

    if (self->keylog_fd < 0 || mixin == NULL)
        return SHS_OK;
    rc = shs__tls_mixin_allow_keylog(mixin, self->keylog_fd);
    return rc == SHS_OK ? SHS_OK : shs_error_set(err, rc, 0, "the key log: %s", shs_err_text(rc));
}

/* -- how it is --------------------------------------------------------------------------------- */

static int64_t left_ms(const struct shs_admin *self)
{
    int64_t left = (atomic_load(&self->keylog_until_ns) - shs__elapsed_ns()) / SHS_NS_PER_MS;

    return left > 0 ? left : 0;
}

static json_t *state_of(const struct shs_admin *self)
{
    return json_pack("{s:b, s:o, s:f}", "permitted", (int)(self->keylog_fd >= 0), "file",
                     shs__admin_text(self->opt.keylog), "ends_in_s", (double)left_ms(self) / 1000);
}

int shs__admin_get_keylog(struct shs_request *req, struct shs_response *res)
{
    return shs_send_json(res, 200, state_of(shs_request_ctx(req)));
}

/* -- for a time -------------------------------------------------------------------------------- */

/* Those that are looked at, and not our own: whoever reads the file reads no operator's traffic. */
static struct shs_tls_mixin *logged(struct shs_admin_watch *watch, bool own)
{
    return own ? NULL : shs__tls_mixin_of(shs__admin_watch_server(watch));
}

static bool write_until(void *until_ns, struct shs_admin_watch *watch, bool own)
{
    struct shs_tls_mixin *mixin = logged(watch, own);

    if (mixin != NULL)
        shs__tls_mixin_keylog(mixin, *(const int64_t *)until_ns);
    return true;
}

static bool find_logged(void *found, struct shs_admin_watch *watch, bool own)
{
    *(bool *)found = logged(watch, own) != NULL;
    return !*(bool *)found;
}

/* NULL, or why nothing would come of it: nobody could ever read what is written. */
static const char *in_vain(struct shs_admin *self)
{
    struct stat st;
    bool found = false;

    if (self->keylog_fd < 0)
        return "this was started without a file for it: shs serve --admin-keylog FILE";
    shs__admin_each(self, find_logged, &found);
    if (!found)
        return "no server here has TLS: there are no secrets to be written";
    if (fstat(self->keylog_fd, &st) != 0 || st.st_nlink == 0)
        return "its file was removed, and what is written there nobody can read: the program has "
               "to be started again";
    return NULL;
}

static void say(const struct shs_admin *self, const char *line)
{
    if (self->opt.log != NULL)
        self->opt.log(self->opt.log_ctx, SHS_LOG_WARNING, line);
}

static void say_begin(const struct shs_admin *self, const char *who, uint64_t ms)
{
    char line[512];

    snprintf(line, sizeof line,
             "The secrets of TLS sessions are written to %.200s for %" PRIu64
             " s, as %.160s asked for: who has that file can read their traffic.",
             self->opt.keylog, (ms + 999) / 1000, who);
    say(self, line);
}

/* Its end is said once, by whoever of the loops sees it first. */
void shs__admin_keylog_look(struct shs_admin *self)
{
    int64_t until = atomic_load(&self->keylog_until_ns);
    char line[300];

    if (until == 0 || until > shs__elapsed_ns() ||
        !atomic_compare_exchange_strong(&self->keylog_until_ns, &until, 0))
        return;
    snprintf(line, sizeof line, "No more secrets of TLS sessions are written to %.200s.",
             self->opt.keylog);
    say(self, line);
}

static int read_wish(struct shs_request *req, uint64_t *ms, const char **wrong)
{
    struct shs_str text;

    *ms = USUAL_MS;
    *wrong = NULL;
    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "for", &text));
    if (text.ptr != NULL && (!shs__admin_duration(text, ms) || *ms > MOST_MS))
        *wrong = "for is a time of one hour at most: 60s, 10m; 0s ends it";
    return SHS_OK;
}

int shs__admin_post_keylog(struct shs_request *req, struct shs_response *res)
{
    struct shs_admin *self = shs_request_ctx(req);
    const struct shs_admin_call *call = shs__admin_call(req);
    const char *wrong, *vain;
    json_t *before, *after;
    int64_t until_ns;
    uint64_t ms;

    if (strcmp(call->decision.role, "admin") != 0)
        return shs__admin_refuse(res, 403, "forbidden",
                                 json_pack("{s:s, s:o}", "need", "admin", "have",
                                           shs__admin_text_or_null(call->decision.role)));
    SHS_RETURN_IF_ERROR(read_wish(req, &ms, &wrong));
    if (wrong != NULL)
        return shs__admin_refuse(res, 422, wrong, NULL);
    vain = in_vain(self);
    if (vain != NULL && (ms > 0 || self->keylog_fd < 0)) /* what was begun can always be ended */
        return shs__admin_refuse(res, 409, vain, NULL);
    before = state_of(self);
    until_ns = shs__elapsed_ns() + (int64_t)ms * SHS_NS_PER_MS;
    shs__admin_each(self, write_until, &until_ns);
    atomic_store(&self->keylog_until_ns, until_ns);
    if (ms > 0)
        say_begin(self, call->name, ms);
    after = state_of(self);
    shs__admin_changed(req, before, after == NULL ? NULL : json_incref(after));
    return shs_send_json(res, 200, after);
}

#endif
