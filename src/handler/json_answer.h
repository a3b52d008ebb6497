/*
 * json_answer.h - what handlers send that answer with JSON about the request itself.
 */
#ifndef SHS_HANDLER_JSON_ANSWER_H
#define SHS_HANDLER_JSON_ANSWER_H

#include <shs/http.h>

#include "base/base.h"

/* "text", escaped; null for one that is not there. */
int shs__json_string(struct shs_buf *out, struct shs_str s);

/* 200 with this text, which nobody is to keep. */
int shs__send_json(struct shs_response *res, const struct shs_buf *json);

#endif
