/*
 * date.h - the Date of every answer. <shs/text.h> has the dates of HTTP themselves.
 */
#ifndef SHS_DATE_H
#define SHS_DATE_H

#include <stdatomic.h>
#include <time.h>

#include <shs/text.h>

#include "base/base.h"

/*
 * The texts of the last few seconds, made once for each: for the Date of every answer. Zeroed is
 * empty. Any thread; nobody waits for anybody.
 */
struct shs_date_cache {
    struct {
        _Atomic uint64_t turn;  /* goes up with each text; odd while one is written */
        _Atomic int64_t second; /* whose text it is; 0: nobody's yet */
        _Atomic uint64_t text[(SHS_HTTP_DATE_LEN + 7) / 8];
    } slots[4];
};

/* As shs_http_date; `cache` may be NULL. */
void shs__date_cached(struct shs_date_cache *cache, time_t when, char out[SHS_HTTP_DATE_LEN + 1]);

#endif
