/*
 * date.h - the Date of every answer. <shs/text.h> has the dates of HTTP themselves.
 */
#ifndef SHS_DATE_H
#define SHS_DATE_H

#include <time.h>

#include <shs/text.h>

#include "base/second_text.h"

/* As shs_http_date; `cache` may be NULL. */
void shs__date_cached(struct shs_second_texts *cache, time_t when, char out[SHS_SECOND_TEXT_MAX]);

#endif
