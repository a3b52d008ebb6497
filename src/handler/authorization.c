#include "handler/authorization.h"

bool shs__authorization(const struct shs_request *req, const char *scheme, struct shs_str *out)
{
    struct shs_str name, value, found = {NULL, 0};
    size_t len = strlen(scheme);

    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        if (!shs_str_is_nocase(name, "Authorization"))
            continue;
        if (found.ptr != NULL)
            return false;
        found = value;
    }
    if (found.len < len + 2 || found.ptr[len] != ' ' ||
        !shs_str_is_nocase((struct shs_str){found.ptr, len}, scheme))
        return false;
    found.ptr += len;
    found.len -= len;
    while (found.len > 0 && found.ptr[0] == ' ') {
        found.ptr++;
        found.len--;
    }
    *out = found;
    return found.len > 0;
}
