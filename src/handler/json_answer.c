#include "handler/json_answer.h"

#include "base/text.h"

int shs__json_string(struct shs_buf *out, struct shs_str s)
{
    if (s.ptr == NULL)
        return shs__buf_append_str(out, SHS_STR("null"));
    SHS_RETURN_IF_ERROR(shs__buf_append(out, "\"", 1));
    SHS_RETURN_IF_ERROR(shs__json_escape(out, s));
    return shs__buf_append(out, "\"", 1);
}

int shs__send_json(struct shs_response *res, const struct shs_buf *json)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "application/json"));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Cache-Control", "no-store"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, shs__buf_head(json), json->len);
}
