#include "http/date.h"

#define SECONDS_PER_DAY 86400
#define FIRST_TIME (-62135596800) /* 0001-01-01 00:00:00 */
#define LAST_TIME 253402300799    /* 9999-12-31 23:59:59 */

static const char day_names[7][10] = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
};
static const char month_names[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
};

struct civil {
    int year, month, day; /* month 1 to 12 */
    int hour, minute, second;
    int weekday; /* 0 is Sunday */
};

/*
 * Days since 1970-01-01, of the proleptic Gregorian calendar. A year begins in March here, so that
 * the leap day is its last; 400 years have 146097 days. For years from 1 on.
 */
static int64_t days_from_civil(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year;
    int era = y / 400, of_era = y % 400;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void civil_from_days(int64_t days, struct civil *out)
{
    int64_t z = days + 719468; /* from 0000-03-01; never negative here */
    int era = (int)(z / 146097), of_era = (int)(z % 146097);
    int year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int of_year = of_era - (365 * year + year / 4 - year / 100);
    int month = (5 * of_year + 2) / 153;

    out->day = of_year - (153 * month + 2) / 5 + 1;
    out->month = month < 10 ? month + 3 : month - 9;
    out->year = year + era * 400 + (out->month <= 2);
    out->weekday = (int)((days + 719163) % 7); /* 0001-01-01 was a Monday */
}

static char *put_digits(char *p, int value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        p[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return p + digits;
}

static char *put_text(char *p, const char *text, size_t len)
{
    memcpy(p, text, len);
    return p + len;
}

void shs_http_date(time_t when, char out[SHS_HTTP_DATE_LEN + 1])
{
    struct civil c;
    int64_t time = when < FIRST_TIME ? FIRST_TIME : when > LAST_TIME ? LAST_TIME : when;
    int64_t since_1 = time - FIRST_TIME; /* not negative: / and % round the right way */
    int seconds = (int)(since_1 % SECONDS_PER_DAY);
    char *p = out;

    civil_from_days(since_1 / SECONDS_PER_DAY - 719162, &c);
    p = put_text(p, day_names[c.weekday], 3);
    p = put_text(p, ", ", 2);
    p = put_digits(p, c.day, 2);
    *p++ = ' ';
    p = put_text(p, month_names[c.month - 1], 3);
    *p++ = ' ';
    p = put_digits(p, c.year, 4);
    *p++ = ' ';
    p = put_digits(p, seconds / 3600, 2);
    *p++ = ':';
    p = put_digits(p, seconds / 60 % 60, 2);
    *p++ = ':';
    p = put_digits(p, seconds % 60, 2);
    put_text(p, " GMT", 5); /* with its NUL */
}

_Static_assert(SHS_HTTP_DATE_LEN < SHS_SECOND_TEXT_MAX, "a date has room in a cache of texts");

static void date_of_second(int64_t second, char text[SHS_SECOND_TEXT_MAX])
{
    memset(text, 0, SHS_SECOND_TEXT_MAX);
    shs_http_date((time_t)second, text);
}

void shs__date_cached(struct shs_second_texts *cache, time_t when, char out[SHS_SECOND_TEXT_MAX])
{
    shs__second_text(cache, when, date_of_second, out);
}

/* -- reading ----------------------------------------------------------------------------------- */

static bool take_text(struct shs_str *s, const char *text, size_t len)
{
    if (s->len < len || memcmp(s->ptr, text, len) != 0)
        return false;
    s->ptr += len;
    s->len -= len;
    return true;
}

static bool take_number(struct shs_str *s, size_t digits, int *value)
{
    *value = 0;
    if (s->len < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (s->ptr[i] < '0' || s->ptr[i] > '9')
            return false;
        *value = *value * 10 + (s->ptr[i] - '0');
    }
    s->ptr += digits;
    s->len -= digits;
    return true;
}

static bool take_month(struct shs_str *s, int *month)
{
    for (int i = 0; i < 12; i++) {
        if (take_text(s, month_names[i], 3)) {
            *month = i + 1;
            return true;
        }
    }
    return false;
}

static bool take_weekday(struct shs_str *s, bool whole, int *weekday)
{
    for (int i = 0; i < 7; i++) {
        if (take_text(s, day_names[i], whole ? strlen(day_names[i]) : 3)) {
            *weekday = i;
            return true;
        }
    }
    return false;
}

static bool take_clock(struct shs_str *s, struct civil *c)
{
    return take_number(s, 2, &c->hour) && take_text(s, ":", 1) && take_number(s, 2, &c->minute) &&
           take_text(s, ":", 1) && take_number(s, 2, &c->second);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool parse_imf(struct shs_str s, struct civil *c)
{
    return take_weekday(&s, false, &c->weekday) && take_text(&s, ", ", 2) &&
           take_number(&s, 2, &c->day) && take_text(&s, " ", 1) && take_month(&s, &c->month) &&
           take_text(&s, " ", 1) && take_number(&s, 4, &c->year) && take_text(&s, " ", 1) &&
           take_clock(&s, c) && take_text(&s, " GMT", 4) && s.len == 0;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static bool parse_rfc850(struct shs_str s, struct civil *c)
{
    return take_weekday(&s, true, &c->weekday) && take_text(&s, ", ", 2) &&
           take_number(&s, 2, &c->day) && take_text(&s, "-", 1) && take_month(&s, &c->month) &&
           take_text(&s, "-", 1) && take_number(&s, 2, &c->year) && take_text(&s, " ", 1) &&
           take_clock(&s, c) && take_text(&s, " GMT", 4) && s.len == 0;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool parse_asctime(struct shs_str s, struct civil *c)
{
    if (!take_weekday(&s, false, &c->weekday) || !take_text(&s, " ", 1) ||
        !take_month(&s, &c->month) || !take_text(&s, " ", 1))
        return false;
    if (take_text(&s, " ", 1) ? !take_number(&s, 1, &c->day) : !take_number(&s, 2, &c->day))
        return false;
    return take_text(&s, " ", 1) && take_clock(&s, c) && take_text(&s, " ", 1) &&
           take_number(&s, 4, &c->year) && s.len == 0;
}

static int days_in_month(int year, int month)
{
    static const unsigned char days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

/* Gives *when if there is such a moment, and it is on that day of the week. */
static bool to_time(const struct civil *c, time_t *when)
{
    int64_t days;

    if (c->year < 1 || c->day < 1 || c->day > days_in_month(c->year, c->month) || c->hour > 23 ||
        c->minute > 59 || c->second > 60) /* 60: a leap second */
        return false;
    days = days_from_civil(c->year, c->month, c->day);
    if ((days + 719163) % 7 != c->weekday)
        return false;
    *when = (time_t)(days * SECONDS_PER_DAY + c->hour * 3600 + c->minute * 60 + c->second);
    return true;
}

/* RFC 9110 section 5.6.7: more than 50 years in the future means the century before. */
static bool to_time_two_digits(struct civil *c, time_t now, time_t *when)
{
    char text[SHS_HTTP_DATE_LEN + 1];
    int year;

    shs_http_date(now, text);
    year =
        (text[12] - '0') * 1000 + (text[13] - '0') * 100 + (text[14] - '0') * 10 + (text[15] - '0');
    c->year += year - year % 100;
    if (c->year > year + 50)
        c->year -= 100;
    else if (c->year <= year - 50)
        c->year += 100;
    return to_time(c, when);
}

bool shs_http_date_parse(struct shs_str text, time_t now, time_t *when)
{
    struct civil c;

    if (parse_imf(text, &c) || parse_asctime(text, &c))
        return to_time(&c, when);
    return parse_rfc850(text, &c) && to_time_two_digits(&c, now, when);
}
