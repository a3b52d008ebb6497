/*
 * date.h - the dates of HTTP: RFC 9110 section 5.6.7. No locale, no time zone of the system.
 */
#ifndef SHS_DATE_H
#define SHS_DATE_H

#include <stdatomic.h>
#include <time.h>

#include "base/base.h"

#define SHS_DATE_LEN 29u /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/*
 * IMF-fixdate, NUL-terminated. A time outside of the years 1 to 9999 becomes the nearest one that
 * can be written.
 */
void shs__date_format(time_t when, char out[SHS_DATE_LEN + 1]);

/*
 * The texts of the last few seconds, made once for each: for the Date of every answer. Zeroed is
 * empty. Any thread; nobody waits for anybody.
 */
struct shs_date_cache {
    struct {
        _Atomic uint64_t turn;  /* goes up with each text; odd while one is written */
        _Atomic int64_t second; /* whose text it is; 0: nobody's yet */
        _Atomic uint64_t text[(SHS_DATE_LEN + 7) / 8];
    } slots[4];
};

/* As shs__date_format; `cache` may be NULL. */
void shs__date_cached(struct shs_date_cache *cache, time_t when, char out[SHS_DATE_LEN + 1]);

/*
 * Reads IMF-fixdate, the obsolete RFC 850 date and asctime's. Exactly: anything else, also a day
 * that does not exist or a wrong day of the week, is false, and the field it came from is to be
 * ignored.
 *
 *   now  decides the century of RFC 850's two digits: no more than 50 years ahead
 */
bool shs__date_parse(struct shs_str text, time_t now, time_t *when);

#endif
