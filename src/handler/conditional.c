#include "handler/conditional.h"

#include <shs/text.h>

bool shs__header_once(const struct shs_request *req, const char *name, struct shs_str *value)
{
    struct shs_str field, text, wanted = shs__str(name);
    bool found = false;

    for (size_t i = 0; shs_request_header_at(req, i, &field, &text); i++) {
        if (!shs__str_eq_nocase(field, wanted))
            continue;
        if (found)
            return false;
        *value = text;
        found = true;
    }
    return found;
}

/* What the request says of tags in the fields of this name. */
struct tags {
    bool there, found;
};

static bool list_has(struct shs_str list, const struct shs_validators *now, bool strong)
{
    if (now->etag == NULL)
        return false;
    return shs__etag_in(list, now->etag, strong && !(now->weak_counts && now->etag[0] == '"')) ||
           (now->content != NULL && shs__etag_content_in(list, now->content, strong)) ||
           (now->weak != NULL && !strong && shs__etag_in(list, now->weak, false));
}

static struct tags look_for_tag(const struct shs_request *req, const char *name,
                                const struct shs_validators *now, bool strong)
{
    struct shs_str field, list, wanted = shs__str(name);
    struct tags tags = {false, false};

    for (size_t i = 0; shs_request_header_at(req, i, &field, &list); i++) {
        if (!shs__str_eq_nocase(field, wanted))
            continue;
        tags.there = true;
        if (list_has(list, now, strong))
            tags.found = true;
    }
    return tags;
}

bool shs__asks_by_tag(const struct shs_request *req)
{
    static const char *const names[] = {"If-Match", "If-None-Match", "If-Range"};
    struct shs_str name, value, tag;
    bool weak;

    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        bool asks = false;

        for (size_t k = 0; k < SHS_ARRAY_LEN(names); k++)
            asks = asks || shs__str_eq_nocase(name, shs__str(names[k]));
        while (asks && shs__etag_next(&value, &tag, &weak)) {
            if (!weak)
                return true;
        }
    }
    return false;
}

time_t shs__request_time(const struct shs_request *req)
{
    const struct shs_conn *conn = shs_request_conn(req);
    const struct shs_server *server = conn == NULL ? NULL : shs_conn_server(conn);

    return server == NULL ? time(NULL) : (time_t)shs_server_time(server);
}

static bool date_field(const struct shs_request *req, const char *name, time_t *when)
{
    struct shs_str value;

    return shs__header_once(req, name, &value) &&
           shs_http_date_parse(value, shs__request_time(req), when);
}

static bool is_get(const struct shs_request *req)
{
    struct shs_str method = shs_request_method(req);

    return shs__str_eq(method, SHS_STR("GET")) || shs__str_eq(method, SHS_STR("HEAD"));
}

enum shs_precondition shs__preconditions(const struct shs_request *req,
                                         const struct shs_validators *now)
{
    bool exists = now->etag != NULL, dated = exists && now->mtime != SHS_TIME_UNKNOWN;
    struct tags match, none_match;
    time_t when;

    match = look_for_tag(req, "If-Match", now, true);
    if (match.there) {
        if (!match.found)
            return SHS_PRECONDITION_FAILED;
    } else if (dated && date_field(req, "If-Unmodified-Since", &when) && now->mtime > when) {
        return SHS_PRECONDITION_FAILED;
    }
    none_match = look_for_tag(req, "If-None-Match", now, false);
    if (none_match.there) {
        if (!none_match.found)
            return SHS_PRECONDITION_HOLDS;
        return is_get(req) ? SHS_PRECONDITION_NOT_MODIFIED : SHS_PRECONDITION_FAILED;
    }
    if (dated && is_get(req) && date_field(req, "If-Modified-Since", &when) && now->mtime <= when)
        return SHS_PRECONDITION_NOT_MODIFIED;
    return SHS_PRECONDITION_HOLDS;
}

bool shs__if_range(const struct shs_request *req, const char *etag, int64_t mtime)
{
    struct shs_str value;
    time_t now = shs__request_time(req), when;

    if (!shs_request_header(req, "If-Range", &value))
        return true;
    if (!shs__header_once(req, "If-Range", &value))
        return false;
    if (value.len > 0 && value.ptr[0] == '"')
        return shs__str_eq(value, shs__str(etag));
    return shs_http_date_parse(value, now, &when) && mtime == when && mtime < now - 1;
}

static bool is_etag(const char *etag)
{
    struct shs_str s = shs__str(etag), tag, left;
    bool weak;

    left = s;
    return shs_is_field_value(s) && (s.ptr[0] == '"' || s.ptr[0] == 'W') &&
           shs__etag_next(&left, &tag, &weak) && left.len == 0;
}

static int send_not_modified(struct shs_response *res, const char *etag, int64_t mtime, time_t now)
{
    char date[SHS_HTTP_DATE_LEN + 1];

    SHS_RETURN_IF_ERROR(shs_send_response(res, 304));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "ETag", etag));
    if (mtime == SHS_TIME_UNKNOWN)
        return SHS_OK;
    shs_http_date(mtime < (int64_t)now ? (time_t)mtime : now, date);
    return shs_send_header(res, "Last-Modified", date);
}

int shs_check_conditions(struct shs_request *req, struct shs_response *res, const char *etag,
                         int64_t mtime, bool *go_on)
{
    struct shs_validators now = {.etag = etag, .mtime = mtime, .weak_counts = true};

    *go_on = false;
    if (etag != NULL && !is_etag(etag))
        return shs_response_mistake(
            res, SHS_USAGE, "shs_check_conditions",
            "that is not an entity tag. It needs its quotes: \"\\\"7\\\"\"");
    switch (shs__preconditions(req, &now)) {
    case SHS_PRECONDITION_NOT_MODIFIED:
        /* "*" is of anything that is there; where there is nothing it never comes to this. */
        return send_not_modified(res, etag, mtime, shs__request_time(req));
    case SHS_PRECONDITION_FAILED:
        return shs_send_page(res, 412, "It has been changed since you read it.");
    case SHS_PRECONDITION_HOLDS:
        break;
    }
    *go_on = true;
    return SHS_OK;
}
