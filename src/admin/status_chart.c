/*
 * status_chart.c - lines and bars as SVG, whose colours are the style's.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/status.h"

#include <stdio.h>

#include "base/text.h"

#define WIDTH 300 /* now is at the right end */
#define HEIGHT 64
#define BAR_HEIGHT 10

static int begin(struct shs_buf *out, const char *label, const char *kind, int height)
{
    SHS_RETURN_IF_ERROR(shs__buf_printf(
        out, "<svg class=\"%s\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" ",
        kind, WIDTH, height));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("aria-label=\"")));
    SHS_RETURN_IF_ERROR(shs__html_escape(out, shs__str(label)));
    return shs__buf_append_str(out, SHS_STR("\">"));
}

size_t shs__admin_span(size_t points)
{
    static const size_t spans[] = {30, 60, 150};

    for (size_t i = 0; i < SHS_ARRAY_LEN(spans); i++) {
        if (points <= spans[i])
            return spans[i];
    }
    return SHS_ADMIN_POINTS;
}

static double height_of(double value, double top)
{
    double part = top <= 0 ? 0 : value / top;

    return part > 1 ? HEIGHT : part * HEIGHT;
}

/* "x,y " for each of the points: from the left, or back to it. */
static int put_points(struct shs_buf *out, const double *values, size_t points, double top,
                      bool back)
{
    double step = (double)WIDTH / (double)(shs__admin_span(points) - 1);

    for (size_t n = 0; n < points; n++) {
        size_t i = back ? points - 1 - n : n;
        double y = HEIGHT - height_of(values == NULL ? 0 : values[i], top);

        SHS_RETURN_IF_ERROR(
            shs__buf_printf(out, "%.1f,%.1f ", WIDTH - (double)(points - 1 - i) * step, y));
    }
    return SHS_OK;
}

/* What is between a line and the one below it; NULL: the ground. */
static int put_area(struct shs_buf *out, const char *kind, const double *line, const double *below,
                    size_t points, double top)
{
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "<polygon class=\"area %s\" points=\"", kind));
    SHS_RETURN_IF_ERROR(put_points(out, line, points, top, false));
    SHS_RETURN_IF_ERROR(put_points(out, below, points, top, true));
    return shs__buf_append_str(out, SHS_STR("\"/>"));
}

static int put_line(struct shs_buf *out, const char *kind, const double *line, size_t points,
                    double top)
{
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "<polyline class=\"line %s\" points=\"", kind));
    SHS_RETURN_IF_ERROR(put_points(out, line, points, top, false));
    return shs__buf_append_str(out, SHS_STR("\"/>"));
}

static int put_grid(struct shs_buf *out)
{
    return shs__buf_printf(out, "<path class=\"grid\" d=\"M0 %d.5H%dM0 %d.5H%dM0 .5H%d\"/>",
                           HEIGHT - 1, WIDTH, HEIGHT / 2, WIDTH, WIDTH);
}

static int put_lines(struct shs_buf *out, const struct shs_admin_line *lines, size_t count,
                     size_t points, double top, bool stacked)
{
    double sums[2][SHS_ADMIN_POINTS] = {{0}};

    for (size_t l = 0; l < count; l++) {
        double *sum = sums[l % 2], *below = sums[(l + 1) % 2];

        for (size_t i = 0; i < points; i++)
            sum[i] = lines[l].values[i] + (stacked ? below[i] : 0);
        if (stacked || l == 0)
            SHS_RETURN_IF_ERROR(
                put_area(out, lines[l].kind, sum, stacked && l > 0 ? below : NULL, points, top));
        if (!stacked)
            SHS_RETURN_IF_ERROR(put_line(out, lines[l].kind, sum, points, top));
    }
    return SHS_OK;
}

int shs__admin_chart(struct shs_buf *out, const char *label, const struct shs_admin_line *lines,
                     size_t count, size_t points, double top, bool stacked)
{
    SHS_RETURN_IF_ERROR(begin(out, label, "chart", HEIGHT));
    SHS_RETURN_IF_ERROR(put_grid(out));
    if (points > 1)
        SHS_RETURN_IF_ERROR(put_lines(out, lines, count, points, top, stacked));
    return shs__buf_append_str(out, SHS_STR("</svg>\n"));
}

int shs__admin_bar(struct shs_buf *out, const char *label, const char *const *kinds,
                   const double *values, size_t count, double all)
{
    double x = 0;

    SHS_RETURN_IF_ERROR(begin(out, label, "bar", BAR_HEIGHT));
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "<rect class=\"ground\" width=\"%d\" height=\"%d\"/>",
                                        WIDTH, BAR_HEIGHT));
    for (size_t i = 0; i < count && all > 0; i++) {
        double width = values[i] / all * WIDTH;

        if (width > WIDTH - x)
            width = WIDTH - x;
        if (width <= 0)
            continue;
        SHS_RETURN_IF_ERROR(
            shs__buf_printf(out, "<rect class=\"%s\" x=\"%.2f\" width=\"%.2f\" height=\"%d\"/>",
                            kinds[i], x, width, BAR_HEIGHT));
        x += width;
    }
    return shs__buf_append_str(out, SHS_STR("</svg>\n"));
}

#endif
