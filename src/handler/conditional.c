#include "handler/conditional.h"

#include "http/date.h"

bool shs__not_modified(const struct shs_request *req, const char *etag, int64_t mtime)
{
    struct shs_str name, value, since = {NULL, 0};
    bool tagged = false;
    time_t when;

    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        if (shs__str_eq_nocase(name, SHS_STR("If-None-Match"))) {
            if (shs__etag_in(value, etag))
                return true;
            tagged = true;
        } else if (since.ptr == NULL && shs__str_eq_nocase(name, SHS_STR("If-Modified-Since"))) {
            since = value;
        }
    }
    if (tagged || since.ptr == NULL || !shs__date_parse(since, time(NULL), &when))
        return false;
    return mtime <= when;
}
