#include "cmd/ctl.h"

#ifdef SHS_HAVE_JANSSON
#include <stdio.h>

#include "cmd/cmd.h"

#define CELL_MAX 512
#define NAME_MAX_LEN 256

/* -- a value ----------------------------------------------------------------------------------- */

/* In characters, so far as each is as wide as the others. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void put_list(const json_t *list, char *buf, size_t cap);

static void put_value(const json_t *value, char *buf, size_t cap)
{
    size_t len;

    switch (json_typeof(value)) {
    case JSON_STRING:
        snprintf(buf, cap, "%s", json_string_value(value));
        break;
    case JSON_INTEGER:
        snprintf(buf, cap, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(buf, cap, "%.1f", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(buf, cap, "%s", json_is_true(value) ? "yes" : "no");
        break;
    case JSON_NULL:
        snprintf(buf, cap, "-");
        break;
    case JSON_ARRAY:
        put_list(value, buf, cap);
        break;
    case JSON_OBJECT:
        len = json_dumpb(value, buf, cap - 1, JSON_COMPACT);
        buf[len < cap ? len : cap - 1] = '\0'; /* `len` is what it takes, also where that is more */
        break;
    }
    cmd_clean(buf);
}

static void put_list(const json_t *list, char *buf, size_t cap)
{
    size_t used = 0;

    snprintf(buf, cap, "-");
    for (size_t i = 0; i < json_array_size(list) && used + 3 < cap; i++) {
        if (i > 0) {
            memcpy(buf + used, ", ", 3);
            used += 2;
        }
        put_value(json_array_get(list, i), buf + used, cap - used);
        used += strlen(buf + used);
    }
}

/* -- a table ----------------------------------------------------------------------------------- */

/* The value at "a.b", up to `len` bytes; NULL: none, or null. */
static const json_t *value_at(const json_t *row, const char *path, size_t len)
{
    char name[NAME_MAX_LEN];

    while (row != NULL && len > 0) {
        size_t part = strcspn(path, ".|");

        if (part > len)
            part = len;
        snprintf(name, sizeof name, "%.*s", (int)part, path);
        row = json_object_get(row, name);
        path += part + (part < len);
        len -= part + (part < len);
    }
    return json_is_null(row) ? NULL : row;
}

static void put_cell(const char *key, const json_t *row, const char *path, char *buf)
{
    const json_t *value = NULL;

    if (strcmp(path, "@") == 0) {
        snprintf(buf, CELL_MAX, "%s", key);
        cmd_clean(buf);
        return;
    }
    while (value == NULL && *path != '\0') {
        size_t len = strcspn(path, "|");

        value = value_at(row, path, len);
        path += len + (path[len] == '|');
    }
    if (value == NULL)
        snprintf(buf, CELL_MAX, "-");
    else
        put_value(value, buf, CELL_MAX);
}

struct table {
    const struct ctl_column *columns;
    size_t count, widths[CTL_COLUMNS_MAX];
};

static void print_cell(const struct table *self, size_t i, const char *text)
{
    size_t width = width_of(text);

    fputs(text, stdout);
    if (i + 1 == self->count)
        putchar('\n');
    else
        printf("%*s",
               (int)(self->widths[i] + 2 - (width < self->widths[i] ? width : self->widths[i])),
               "");
}

static void each_cell(struct table *self, const char *key, const json_t *row, bool print)
{
    char cell[CELL_MAX];

    for (size_t i = 0; i < self->count; i++) {
        put_cell(key, row, self->columns[i].path, cell);
        if (print)
            print_cell(self, i, cell);
        else if (width_of(cell) > self->widths[i])
            self->widths[i] = width_of(cell);
    }
}

static void each_row(struct table *self, const json_t *rows, bool print)
{
    const char *key;
    json_t *row;

    for (size_t i = 0; i < json_array_size(rows); i++)
        each_cell(self, "", json_array_get(rows, i), print);
    json_object_foreach((json_t *)rows, key, row) each_cell(self, key, row, print);
}

void ctl_print_table(const json_t *rows, const struct ctl_column *columns, size_t count)
{
    struct table self = {.columns = columns, .count = count};

    for (size_t i = 0; i < count; i++)
        self.widths[i] = width_of(columns[i].title);
    each_row(&self, rows, false);
    for (size_t i = 0; i < count; i++)
        print_cell(&self, i, columns[i].title);
    each_row(&self, rows, true);
}

/* -- members ----------------------------------------------------------------------------------- */

/* Both passes: how wide the names are, then the lines. */
static void walk(const json_t *object, const char *prefix, size_t *width, bool print)
{
    char name[NAME_MAX_LEN], text[CELL_MAX];
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)object, key, value)
    {
        snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", key);
        cmd_clean(name);
        if (json_is_object(value) && strlen(name) + 1 < sizeof name) {
            walk(value, name, width, print);
            continue;
        }
        if (json_is_null(value))
            continue;
        put_value(value, text, sizeof text);
        if (print)
            printf("%s%*s%s\n", name, (int)(*width + 2 - width_of(name)), "", text);
        else if (width_of(name) > *width)
            *width = width_of(name);
    }
}

void ctl_print_members(const json_t *value)
{
    size_t width = 0;

    walk(value, "", &width, false);
    walk(value, "", &width, true);
}

void ctl_print_line(const char *text)
{
    char line[CELL_MAX];

    snprintf(line, sizeof line, "%s", text);
    cmd_clean(line);
    puts(line);
}

#endif
