/*
 * ctl.h - answers of the admin plane for people: a table, or a line for each member.
 */
#ifndef SHS_CMD_CTL_H
#define SHS_CMD_CTL_H

#include "base/base.h"

#ifdef SHS_HAVE_JANSSON
#include <jansson.h>

/*
 * A column. `path` is where its value is in a row, "tls.version"; several with '|' between: the
 * first that is there. "@" is the name of the row, where rows are the members of an object.
 */
struct ctl_column {
    const char *title, *path;
};

#define CTL_COLUMNS_MAX 12

/* `rows` is an array, or an object of rows. Control bytes, which a client may have sent: '?'. */
void ctl_print_table(const json_t *rows, const struct ctl_column *columns, size_t count);

/* A line for each member, "identity.uid  1000"; members that are null are left out. */
void ctl_print_members(const json_t *value);

/* A line of the text, control bytes as above. */
void ctl_print_line(const char *text);

#endif
#endif
