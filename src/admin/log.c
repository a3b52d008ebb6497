/*
 * log.c - the level of each server's log, for a time.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/admin.h"

#include <limits.h>

#include <shs/json.h>

static json_t *level_of(struct shs_server *server)
{
    unsigned left_ms;
    enum shs_log_level now = shs_server_log_level(server, &left_ms);

    return json_pack("{s:s, s:s, s:o}", "level", shs_log_level_name(now), "usual",
                     shs_log_level_name(shs_server_options(server)->log_level), "returns_in_s",
                     left_ms == UINT_MAX ? json_null() : json_real((double)left_ms / 1000));
}

static bool add_level(void *levels, struct shs_admin_watch *watch, bool own)
{
    SHS_UNUSED(own);
    (void)json_object_set_new(levels, shs__admin_watch_name(watch),
                              level_of(shs__admin_watch_server(watch)));
    return true;
}

static json_t *levels_of(struct shs_admin *self)
{
    json_t *levels = json_object();

    shs__admin_each(self, add_level, levels);
    return levels;
}

int shs__admin_get_log(struct shs_request *req, struct shs_response *res)
{
    return shs_send_json(res, 200, levels_of(shs_request_ctx(req)));
}

struct wish {
    enum shs_log_level level;
    unsigned for_ms;
    const char *only; /* a server's name; NULL: those that are looked at */
    bool found;
};

static bool set_level(void *wish, struct shs_admin_watch *watch, bool own)
{
    struct wish *w = wish;

    if (w->only == NULL ? own : strcmp(w->only, shs__admin_watch_name(watch)) != 0)
        return true;
    w->found = true;
    shs_server_set_log_level(shs__admin_watch_server(watch), w->level, w->for_ms);
    return true;
}

static bool find_level(const char *name, enum shs_log_level *level)
{
    static const enum shs_log_level levels[] = {SHS_LOG_ERROR, SHS_LOG_WARNING, SHS_LOG_INFO,
                                                SHS_LOG_DEBUG};

    for (size_t i = 0; i < SHS_ARRAY_LEN(levels); i++) {
        if (strcmp(name, shs_log_level_name(levels[i])) == 0) {
            *level = levels[i];
            return true;
        }
    }
    return false;
}

/* NULL, or what is wrong with the wish. */
static const char *read_wish(json_t *object, struct wish *w)
{
    const char *level, *time = NULL;
    uint64_t ms = UINT_MAX;

    if (json_unpack(object, "{s:s, s?s, s?s!}", "level", &level, "for", &time, "only", &w->only) !=
        0)
        return "{\"level\": \"debug\", \"for\": \"10m\", \"only\": \"SERVER\"}; the last two may "
               "be left out";
    if (!find_level(level, &w->level))
        return "a level is error, warning, info or debug";
    if (time != NULL && (!shs__admin_duration(shs__str(time), &ms) || ms == 0 || ms >= UINT_MAX))
        return "for is a time of 49 days at most: 30s, 10m, 2h";
    w->for_ms = (unsigned)ms;
    return NULL;
}

int shs__admin_put_log(struct shs_request *req, struct shs_response *res)
{
    struct shs_admin *self = shs_request_ctx(req);
    struct wish w = {.only = NULL};
    json_t *object, *before, *after;
    const char *wrong;

    SHS_RETURN_IF_ERROR(shs_request_json(req, NULL, &object));
    wrong = read_wish(object, &w);
    if (wrong != NULL)
        return shs__admin_refuse(res, 422, wrong, NULL);
    before = levels_of(self);
    shs__admin_each(self, set_level, &w);
    if (!w.found) {
        json_decref(before);
        return shs__admin_refuse(res, 422, "there is no server of that name: GET servers", NULL);
    }
    after = levels_of(self);
    shs__admin_changed(req, before, after == NULL ? NULL : json_incref(after));
    return shs_send_json(res, 200, after);
}

#endif
