#include "handler/json_answer.h"

int shs__send_json(struct shs_response *res, const struct shs_buf *json)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "application/json"));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Cache-Control", "no-store"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, shs__buf_head(json), json->len);
}
