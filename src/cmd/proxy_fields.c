#include "cmd/proxy_fields.h"

#include <string.h>

#include "base/base.h"

/* Of one connection, not of the message (RFC 9110 section 7.6.1); and what we write ourselves. */
static const char *const of_connection[] = {"Connection",
                                            "Keep-Alive",
                                            "Proxy-Connection",
                                            "TE",
                                            "Transfer-Encoding",
                                            "Upgrade",
                                            "Trailer",
                                            "Proxy-Authenticate",
                                            "Content-Length",
                                            "HTTP2-Settings",
                                            "Proxy-Authorization"};
static const char *const of_ours[] = {"Host", "Expect", "Forwarded", "X-Real-IP"};

bool proxy_list_has(struct shs_str list, struct shs_str word)
{
    size_t at = 0;

    while (at < list.len) {
        size_t end = at, first, last;

        while (end < list.len && list.ptr[end] != ',')
            end++;
        first = at;
        last = end;
        while (first < last && (list.ptr[first] == ' ' || list.ptr[first] == '\t'))
            first++;
        while (last > first && (list.ptr[last - 1] == ' ' || list.ptr[last - 1] == '\t'))
            last--;
        if (shs__str_eq_nocase((struct shs_str){list.ptr + first, last - first}, word))
            return true;
        at = end + 1;
    }
    return false;
}

/* "_" as "-": programs behind CGI or WSGI cannot tell them apart, so X_Forwarded_For would be
   believed where X-Forwarded-For is not there. */
bool proxy_field_begins(struct shs_str name, const char *with)
{
    for (; *with != '\0'; with++, name.ptr++, name.len--) {
        char c = name.len == 0 ? '\0' : *name.ptr == '_' ? '-' : *name.ptr;

        if (c != *with && (c < 'A' || c > 'z' || (c ^ *with) != 0x20))
            return false;
    }
    return true;
}

static bool is_any(struct shs_str name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(list[i]) == name.len && proxy_field_begins(name, list[i]))
            return true;
    }
    return false;
}

/* One of the request's Connection fields names it. */
static bool is_named(const struct shs_request *req, struct shs_str name)
{
    struct shs_str field, value;

    for (size_t i = 0; shs_request_header_at(req, i, &field, &value); i++) {
        if (shs__str_eq_nocase(field, SHS_STR("Connection")) && proxy_list_has(value, name))
            return true;
    }
    return false;
}

bool proxy_passes_to_server(const struct shs_request *req, struct shs_str name)
{
    return !is_any(name, of_connection, SHS_ARRAY_LEN(of_connection)) &&
           !is_any(name, of_ours, SHS_ARRAY_LEN(of_ours)) &&
           !proxy_field_begins(name, "X-Forwarded-") && !is_named(req, name);
}

static bool is_named_by(const struct shs_reply *reply, struct shs_str name)
{
    for (size_t i = 0; i < reply->field_count; i++) {
        if (shs__str_eq_nocase(reply->fields[i].name, SHS_STR("Connection")) &&
            proxy_list_has(reply->fields[i].value, name))
            return true;
    }
    return false;
}

bool proxy_passes_to_client(const struct shs_reply *reply, struct shs_str name)
{
    return !is_any(name, of_connection, SHS_ARRAY_LEN(of_connection)) && !is_named_by(reply, name);
}
