/*
 * flags.h - a command line from one table: what is parsed is what --help prints.
 */
#ifndef SHS_CMD_FLAGS_H
#define SHS_CMD_FLAGS_H

#include "base/base.h"
#include "cmd/commands.h"

#define FLAGS_LIST_MAX 1000

/* Operands, or the values of a flag that may be repeated; ended by a NULL. */
struct flag_list {
    const char *items[FLAGS_LIST_MAX + 1];
    size_t count;
};

enum flag_kind {
    FLAG_SET,    /* bool *: true when it is there */
    FLAG_TEXT,   /* const char **: its value, the last one */
    FLAG_LIST,   /* struct flag_list *: its values */
    FLAG_COMMAS, /* struct flag_list *: its values, and those between commas: one at least */
    FLAG_NUMBER, /* unsigned *: its value in decimal, 1 or more */
    FLAG_SPAN,   /* int64_t *: seconds, "10m" (units s m h d w y) or a plain number */
    FLAG_OWN     /* const struct flag_own *: whatever it makes of it */
};

struct flag_own {
    int (*take)(void *ctx, char *value); /* CMD_OK, or a failure already said */
    void *ctx;
    bool optional; /* --flag[=VALUE]: without one, `take` gets NULL */
};

struct flag {
    const char *name; /* "key-usage" */
    enum flag_kind kind;
    void *to;
    const char *value; /* what it takes, for the help; NULL for FLAG_SET */
    const char *help;  /* lines, '\n' between */
};

/*
 * Parses argv[1...]; operands go to *operands, which keeps to `max_operands`. `about` is printed
 * above the flags by --help, `below` (may be NULL) under them. True, or false with *code to exit
 * with (after --help as well). Values are views of argv; those of FLAG_COMMAS point into it, where
 * commas become NULs.
 */
bool flags_parse(int argc, char **argv, const struct flag *flags, size_t count,
                 struct flag_list *operands, size_t max_operands, const char *about,
                 const char *below, int *code);

/*
 * The same for a page of more than flags. With `rest`, the first operand ends the options: what
 * follows it is not looked at, and *rest is its place in argv.
 */
bool flags_parse_page(int argc, char **argv, const struct command_page *page,
                      struct flag_list *operands, size_t max_operands, int *rest, int *code);

/*
 * Takes the options of the page that stand before all others: *taken is the place of the first word
 * that is none of them.
 */
bool flags_parse_leading(int argc, char **argv, const struct command_page *page, int *taken,
                         int *code);

#endif
