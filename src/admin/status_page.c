/*
 * status_page.c - the page of GET status: a card for each question that an operator has.
 *
 * What it says is in it as text; the pictures say it again. Names come from certificates and files:
 * everything is escaped.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <shs/version.h>

#include "base/text.h"

#define ROWS_MAX 12 /* of certificates and servers; the rest is counted */
#define SOON_S (30 * 86400)
#define URGENT_S (7 * 86400)
#define YEAR_S (365 * 86400)

static int put(struct shs_buf *out, const char *text)
{
    return shs__buf_append_str(out, shs__str(text));
}

static int put_text(struct shs_buf *out, const char *text)
{
    return shs__html_escape(out, shs__str(text == NULL ? "" : text));
}

/* -- numbers for people ------------------------------------------------------------------------ */

struct words {
    char text[48];
};

/* "0", "12", "9,876", "12.3k", "4.5M" */
static struct words count_words(double value)
{
    struct words w;

    if (value < 10 && value != (double)(int)value)
        snprintf(w.text, sizeof w.text, "%.1f", value);
    else if (value < 10000)
        snprintf(w.text, sizeof w.text, "%.0f", value);
    else if (value < 1e6)
        snprintf(w.text, sizeof w.text, "%.1fk", value / 1e3);
    else if (value < 1e9)
        snprintf(w.text, sizeof w.text, "%.1fM", value / 1e6);
    else
        snprintf(w.text, sizeof w.text, "%.1fG", value / 1e9);
    return w;
}

static struct words us_words(double us)
{
    struct words w;

    if (us < 1000)
        snprintf(w.text, sizeof w.text, "%.0f µs", us);
    else if (us < 10000)
        snprintf(w.text, sizeof w.text, "%.1f ms", us / 1e3);
    else if (us < 1e6)
        snprintf(w.text, sizeof w.text, "%.0f ms", us / 1e3);
    else
        snprintf(w.text, sizeof w.text, "%.1f s", us / 1e6);
    return w;
}

/* "3 days", "5 h 12 min", "42 s" */
static struct words span_words(int64_t s)
{
    struct words w;

    if (s >= 2 * 86400)
        snprintf(w.text, sizeof w.text, "%" PRId64 " days", s / 86400);
    else if (s >= 3600)
        snprintf(w.text, sizeof w.text, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(w.text, sizeof w.text, "%" PRId64 " min", s / 60);
    else
        snprintf(w.text, sizeof w.text, "%" PRId64 " s", s);
    return w;
}

/* -- parts of a card --------------------------------------------------------------------------- */

static int card(struct shs_buf *out, const char *title, const char *kind)
{
    return shs__buf_printf(out, "<section class=\"%s\"><h2>%s</h2>\n", kind, title);
}

/* A large number, and what it is, smaller. */
static int figure(struct shs_buf *out, const char *value, const char *what)
{
    return shs__buf_printf(out, "<p class=\"figure\"><b>%s</b> <span>%s</span></p>\n", value, what);
}

static int two_figures(struct shs_buf *out, const char *a, const char *what_a, const char *b,
                       const char *what_b)
{
    return shs__buf_printf(out,
                           "<p class=\"figure\"><span class=\"pair\"><b>%s</b> %s</span>"
                           " <span class=\"pair\"><b>%s</b> %s</span></p>\n",
                           a, what_a, b, what_b);
}

/* Below a picture: how far it goes back, and how high it is. */
static int axis(struct shs_buf *out, const struct shs_admin_status *s, const char *top)
{
    return shs__buf_printf(out,
                           "<p class=\"axis\"><span>%d min ago</span><span>top %s</span>"
                           "<span>now</span></p>\n",
                           (int)shs__admin_span(s->count) * SHS_ADMIN_POINT_MS / 60000, top);
}

/* A word with the colour that it has in the picture. */
static int legend(struct shs_buf *out, const char *kind, const char *name, double value)
{
    return shs__buf_printf(out, "<li><i class=\"%s\"></i>%s <b>%s</b></li>", kind, name,
                           count_words(value).text);
}

/* The height of a picture: 1, 2 or 5 and zeros, so that it does not tremble. */
static double top_of(double most, double least)
{
    static const double steps[] = {1, 2, 5};
    double unit = least;

    for (;;) {
        for (size_t i = 0; i < SHS_ARRAY_LEN(steps); i++) {
            if (most <= unit * steps[i] || unit > 1e15)
                return unit * steps[i];
        }
        unit *= 10;
    }
}

static double most_of(const struct shs_admin_line *lines, size_t count, size_t points, bool stacked)
{
    double most = 0;

    for (size_t i = 0; i < points; i++) {
        double sum = 0;

        for (size_t l = 0; l < count; l++) {
            sum = stacked ? sum + lines[l].values[i] : lines[l].values[i];
            most = sum > most ? sum : most;
        }
    }
    return most;
}

/* -- cards ------------------------------------------------------------------------------------- */

/* Room for three lines is more than a stack frame should have. */
static struct shs_admin_line *lines_new(size_t count)
{
    return shs__calloc(count, sizeof(struct shs_admin_line));
}

static double per_second(const struct shs_admin_point *p, uint64_t number)
{
    return p->took_ms == 0 ? 0 : (double)number * 1000 / (double)p->took_ms;
}

static int put_connections(const struct shs_admin_status *s, struct shs_buf *out)
{
    struct shs_admin_line *line = lines_new(1);
    char what[96];
    double top;
    int rc;

    if (line == NULL)
        return SHS_NOMEM;
    line->kind = "one";
    for (size_t i = 0; i < s->count; i++)
        line->values[i] = s->points[i].connections;
    top = top_of(most_of(line, 1, s->count, false), 10);
    snprintf(what, sizeof what, "open, of %s at most",
             count_words((double)s->now.max_connections).text);
    rc = card(out, "Connections", "card");
    if (rc == SHS_OK)
        rc = figure(out, count_words((double)s->now.connections).text, what);
    if (rc == SHS_OK)
        rc = shs__admin_chart(out, "Open connections over time", line, 1, s->count, top, false);
    if (rc == SHS_OK)
        rc = axis(out, s, count_words(top).text);
    if (rc == SHS_OK)
        rc = shs__buf_printf(
            out,
            "<ul class=\"legend\"><li>accepted <b>%s</b></li>"
            "<li>refused <b>%s</b></li><li>timed out <b>%s</b></li></ul></section>\n",
            count_words((double)s->now.accepted).text, count_words((double)s->now.refused).text,
            count_words((double)s->now.timeouts).text);
    shs__free(line);
    return rc;
}

/* The classes of answers, in the order in which they stand on each other. */
static const struct {
    const char *kind, *name;
    unsigned class, also;
} answer_rows[] = {{"ok", "2xx", 2, 1},
                   {"one", "3xx", 3, 3},
                   {"warn", "4xx", 4, 4},
                   {"bad", "5xx", 5, 5},
                   {"none", "none", 0, 0}};

#define ANSWERS SHS_ARRAY_LEN(answer_rows)

static double answers_of(const uint64_t *counts, size_t row)
{
    unsigned class = answer_rows[row].class, also = answer_rows[row].also;

    return (double)(counts[class] + (also == class ? 0 : counts[also]));
}

static int put_requests(const struct shs_admin_status *s, struct shs_buf *out)
{
    struct shs_admin_line *lines = lines_new(ANSWERS);
    double top;
    int rc;

    if (lines == NULL)
        return SHS_NOMEM;
    for (size_t row = 0; row < ANSWERS; row++) {
        lines[row].kind = answer_rows[row].kind;
        for (size_t i = 0; i < s->count; i++) {
            const struct shs_admin_point *p = &s->points[i];
            unsigned class = answer_rows[row].class, also = answer_rows[row].also;

            lines[row].values[i] =
                per_second(p, (uint64_t)p->classes[class] + (also == class ? 0 : p->classes[also]));
        }
    }
    top = top_of(most_of(lines, ANSWERS, s->count, true), 1);
    rc = card(out, "Requests", "card");
    if (rc == SHS_OK)
        rc = figure(out, count_words(s->per_s).text, "a second");
    if (rc == SHS_OK)
        rc = shs__admin_chart(out, "Answers a second over time, by class", lines, ANSWERS, s->count,
                              top, true);
    if (rc == SHS_OK)
        rc = axis(out, s, count_words(top).text);
    if (rc == SHS_OK)
        rc = put(out, "</section>\n");
    shs__free(lines);
    return rc;
}

static int put_answers(const struct shs_admin_status *s, struct shs_buf *out)
{
    const char *kinds[ANSWERS];
    double values[ANSWERS];

    for (size_t row = 0; row < ANSWERS; row++) {
        kinds[row] = answer_rows[row].kind;
        values[row] = answers_of(s->lately, row);
    }
    SHS_RETURN_IF_ERROR(card(out, "Answers", "card"));
    SHS_RETURN_IF_ERROR(
        figure(out, count_words((double)s->answered).text, "in the last 5 minutes"));
    SHS_RETURN_IF_ERROR(shs__admin_bar(out, "Answers of the last five minutes, by class", kinds,
                                       values, ANSWERS, (double)s->answered));
    SHS_RETURN_IF_ERROR(put(out, "<ul class=\"legend\">"));
    for (size_t row = 0; row < ANSWERS; row++)
        SHS_RETURN_IF_ERROR(legend(out, kinds[row], answer_rows[row].name, values[row]));
    return put(out, "</ul></section>\n");
}

static int put_latency(const struct shs_admin_status *s, struct shs_buf *out)
{
    struct shs_admin_line *lines = lines_new(2);
    double top;
    int rc;

    if (lines == NULL)
        return SHS_NOMEM;
    lines[0].kind = "two";
    lines[1].kind = "one";
    for (size_t i = 0; i < s->count; i++) {
        lines[0].values[i] = s->points[i].p99_us;
        lines[1].values[i] = s->points[i].p50_us;
    }
    top = top_of(most_of(lines, 2, s->count, false), 100);
    rc = card(out, "Latency", "card");
    if (rc == SHS_OK)
        rc = two_figures(out, us_words((double)s->p50_us).text, "p50",
                         us_words((double)s->p99_us).text, "p99");
    if (rc == SHS_OK)
        rc = shs__admin_chart(out, "How long answers took over time: p50 and p99", lines, 2,
                              s->count, top, false);
    if (rc == SHS_OK)
        rc = axis(out, s, us_words(top).text);
    if (rc == SHS_OK)
        rc = put(out, "<ul class=\"legend\"><li><i class=\"one\"></i>p50</li>"
                      "<li><i class=\"two\"></i>p99</li><li>figures: last 5 minutes</li></ul>"
                      "</section>\n");
    shs__free(lines);
    return rc;
}

static int put_pool(const struct shs_admin_status *s, struct shs_buf *out)
{
    struct shs_admin_line *lines = lines_new(2);
    char what[96];
    double top;
    int rc;

    if (lines == NULL)
        return SHS_NOMEM;
    lines[0].kind = "one";
    lines[1].kind = "bad";
    for (size_t i = 0; i < s->count; i++) {
        lines[0].values[i] = s->points[i].busy;
        lines[1].values[i] = s->points[i].queue;
    }
    top = top_of(most_of(lines, 2, s->count, false), 5);
    snprintf(what, sizeof what, "busy, of %s threads", count_words((double)s->now.threads).text);
    rc = card(out, "Workers", "card");
    if (rc == SHS_OK)
        rc = two_figures(out, count_words((double)s->now.busy).text, what,
                         count_words((double)s->now.queue).text, "waiting for one");
    if (rc == SHS_OK)
        rc = shs__admin_chart(out, "Busy workers and the queue over time", lines, 2, s->count, top,
                              false);
    if (rc == SHS_OK)
        rc = axis(out, s, count_words(top).text);
    if (rc == SHS_OK)
        rc = shs__buf_printf(out,
                             "<ul class=\"legend\"><li><i class=\"one\"></i>busy</li>"
                             "<li><i class=\"bad\"></i>queue</li><li>stuck handlers <b>%s</b></li>"
                             "</ul></section>\n",
                             count_words((double)s->now.stuck).text);
    shs__free(lines);
    return rc;
}

/* Each cause as a bar, by how often; a row for each that has happened. */
static int put_causes(const struct shs_admin_status *s, struct shs_buf *out)
{
    static const char *const kind[] = {"warn"};
    uint64_t most = 0;

    for (int i = 0; i < SHS_TLS_CAUSE_COUNT; i++)
        most = s->now.causes[i] > most ? s->now.causes[i] : most;
    if (most == 0)
        return put(out, "<p class=\"quiet\">None has failed.</p>\n");
    SHS_RETURN_IF_ERROR(put(out, "<table>\n"));
    for (int i = 0; i < SHS_TLS_CAUSE_COUNT; i++) {
        const char *label = shs_tls_cause_label((enum shs_tls_cause)i);
        double value = (double)s->now.causes[i];

        if (s->now.causes[i] == 0)
            continue;
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, "<tr><td>%s</td><td class=\"wide\">", label));
        SHS_RETURN_IF_ERROR(shs__admin_bar(out, label, kind, &value, 1, (double)most));
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, "</td><td class=\"number\">%s</td></tr>\n",
                                            count_words(value).text));
    }
    return put(out, "</table>\n");
}

static int put_handshakes(const struct shs_admin_status *s, struct shs_buf *out)
{
    SHS_RETURN_IF_ERROR(card(out, "Handshakes", "card"));
    SHS_RETURN_IF_ERROR(two_figures(out, count_words((double)s->now.handshakes).text, "done",
                                    count_words((double)s->now.failed).text, "failed"));
    SHS_RETURN_IF_ERROR(put_causes(s, out));
    return shs__buf_printf(out,
                           "<ul class=\"legend\"><li>resumed <b>%s</b></li>"
                           "<li>probes, closed without a byte <b>%s</b></li></ul></section>\n",
                           count_words((double)s->now.resumed).text,
                           count_words((double)s->now.probes).text);
}

static const char *text_of(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static int put_cert(const json_t *cert, struct shs_buf *out)
{
    int64_t left = (int64_t)json_integer_value(json_object_get(cert, "seconds_left"));
    bool early = json_is_true(json_object_get(cert, "early"));
    const char *kind = early || left < URGENT_S ? "bad" : left < SOON_S ? "warn" : "ok";
    const char *subject = text_of(cert, "subject"), *file = text_of(cert, "file");
    double value = left < 0 ? 0 : left > YEAR_S ? YEAR_S : (double)left;

    SHS_RETURN_IF_ERROR(put(out, "<tr><td><b>"));
    SHS_RETURN_IF_ERROR(put_text(out, subject == NULL ? file : subject));
    SHS_RETURN_IF_ERROR(put(out, "</b><small>"));
    SHS_RETURN_IF_ERROR(put_text(out, text_of(cert, "kind")));
    SHS_RETURN_IF_ERROR(put(out, ", "));
    SHS_RETURN_IF_ERROR(put_text(out, file));
    SHS_RETURN_IF_ERROR(put(out, "</small></td><td class=\"wide\">"));
    SHS_RETURN_IF_ERROR(shs__admin_bar(out, "Time left, of a year", &kind, &value, 1, YEAR_S));
    return shs__buf_printf(out, "</td><td class=\"number %s-text\">%s</td></tr>\n", kind,
                           left <= 0 ? "over"
                           : early   ? "not yet"
                                     : span_words(left).text);
}

static int put_more(struct shs_buf *out, size_t count, const char *where)
{
    if (count <= ROWS_MAX)
        return SHS_OK;
    return shs__buf_printf(out, "<p class=\"quiet\">and %zu more: GET /admin/v1/%s</p>\n",
                           count - ROWS_MAX, where);
}

static int put_certs(const struct shs_admin_status *s, struct shs_buf *out)
{
    size_t count = json_array_size(s->certs);

    SHS_RETURN_IF_ERROR(card(out, "Certificates", "card broad"));
    if (count == 0)
        return put(out, "<p class=\"quiet\">There are none: plain HTTP.</p></section>\n");
    SHS_RETURN_IF_ERROR(put(out, "<table>\n"));
    for (size_t i = 0; i < count && i < ROWS_MAX; i++)
        SHS_RETURN_IF_ERROR(put_cert(json_array_get(s->certs, i), out));
    SHS_RETURN_IF_ERROR(put(out, "</table>\n"));
    SHS_RETURN_IF_ERROR(put_more(out, count, "certs"));
    return put(out, "</section>\n");
}

static int put_server(const json_t *server, struct shs_buf *out)
{
    static const char *const numbers[] = {"connections", "accepted", "refused",
                                          "errors",      "timeouts", "threads"};

    SHS_RETURN_IF_ERROR(put(out, "<tr><th scope=\"row\">"));
    SHS_RETURN_IF_ERROR(put_text(out, text_of(server, "name")));
    SHS_RETURN_IF_ERROR(put(out, "</th>"));
    for (size_t i = 0; i < SHS_ARRAY_LEN(numbers); i++)
        SHS_RETURN_IF_ERROR(shs__buf_printf(
            out, "<td class=\"number\">%s</td>",
            count_words((double)json_integer_value(json_object_get(server, numbers[i]))).text));
    return put(out, "</tr>\n");
}

static int put_servers(const struct shs_admin_status *s, struct shs_buf *out)
{
    size_t count = json_array_size(s->servers);

    SHS_RETURN_IF_ERROR(card(out, "Servers", "card broad"));
    SHS_RETURN_IF_ERROR(put(out, "<div class=\"scroll\"><table class=\"plain\">\n<tr><th></th>"
                                 "<th>open</th><th>accepted</th><th>refused</th><th>errors</th>"
                                 "<th>timeouts</th><th>threads</th></tr>\n"));
    for (size_t i = 0; i < count && i < ROWS_MAX; i++)
        SHS_RETURN_IF_ERROR(put_server(json_array_get(s->servers, i), out));
    SHS_RETURN_IF_ERROR(put(out, "</table></div>\n"));
    SHS_RETURN_IF_ERROR(put_more(out, count, "servers"));
    return put(out, "</section>\n");
}

/* -- the page ---------------------------------------------------------------------------------- */

static int put_header(const struct shs_admin_status *s, struct shs_buf *out)
{
    time_t seconds = (time_t)(s->time_ms / 1000);
    char when[32] = "";
    struct tm utc;

    if (gmtime_r(&seconds, &utc) != NULL)
        (void)strftime(when, sizeof when, "%H:%M:%S UTC", &utc);
    SHS_RETURN_IF_ERROR(put(out, "<header><h1>"));
    SHS_RETURN_IF_ERROR(put_text(out, s->name));
    return shs__buf_printf(out,
                           "</h1><p class=\"badge %s\">%s</p><p class=\"quiet\">up %s, %s</p>"
                           "</header>\n",
                           s->draining ? "warn" : "ok", s->draining ? "draining" : "serving",
                           span_words(s->up_ms / 1000).text, when);
}

int shs__admin_page_live(const struct shs_admin_status *status, struct shs_buf *out)
{
    static int (*const parts[])(const struct shs_admin_status *, struct shs_buf *) = {
        put_connections, put_requests,   put_latency, put_answers,
        put_pool,        put_handshakes, put_certs,   put_servers};

    SHS_RETURN_IF_ERROR(put_header(status, out));
    SHS_RETURN_IF_ERROR(put(out, "<div class=\"cards\">\n"));
    for (size_t i = 0; i < SHS_ARRAY_LEN(parts); i++)
        SHS_RETURN_IF_ERROR(parts[i](status, out));
    return put(out, "</div>\n");
}

int shs__admin_page(const struct shs_admin_status *status, struct shs_buf *out)
{
    SHS_RETURN_IF_ERROR(
        put(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                 "<meta name=\"color-scheme\" content=\"light dark\">\n"
                 "<link rel=\"icon\" href=\"" SHS_ADMIN_PREFIX "/status.svg\">\n"
                 "<link rel=\"stylesheet\" href=\"" SHS_ADMIN_PREFIX "/status.css\">\n"
                 "<script src=\"" SHS_ADMIN_PREFIX "/status.js\" defer></script>\n<title>"));
    SHS_RETURN_IF_ERROR(put_text(out, status->name));
    SHS_RETURN_IF_ERROR(put(out, " - status</title>\n</head>\n<body>\n<main id=\"live\">\n"));
    SHS_RETURN_IF_ERROR(shs__admin_page_live(status, out));
    return put(out, "</main>\n<footer><p class=\"quiet\" id=\"state\">Reload the page for newer "
                    "numbers.</p><p class=\"quiet\">SecureHTTPServer " SHS_VERSION_STRING
                    "</p></footer>\n</body>\n</html>\n");
}

#endif
