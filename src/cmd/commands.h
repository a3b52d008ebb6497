/*
 * commands.h - a list of commands from one table: what is run is what --help lists.
 *
 * What a command has to say for itself, its options above all, is also wanted elsewhere: in the
 * man pages, and in the completion of shells. So whoever prints --help tells the watcher instead,
 * if there is one. Then a table cannot have an option that the others lack.
 */
#ifndef SHS_CMD_COMMANDS_H
#define SHS_CMD_COMMANDS_H

#include <stdio.h>

#include "base/base.h"

struct flag;
struct settings;

struct command {
    const char *name;
    const char *operands; /* "NAME..."; NULL: none */
    const char *help;     /* a line; NULL: another name of a command, which is not listed */
    int (*run)(int argc, char **argv);
    bool bare; /* it has no --help of its own */
};

struct command_list {
    const char *name;  /* "lab"; NULL: the command `shs` itself */
    const char *about; /* lines under the usage; NULL: none */
    const struct command *rows;
    size_t count;
};

/* All that --help says of a command. */
struct command_page {
    const char *command; /* "lab run" */
    const char *about;   /* its usage and what it does */
    const struct flag *flags;
    size_t flag_count;
    const struct settings *settings; /* NULL: it has flags only */
    const void *defaults;            /* of the settings */
    const struct command *words;     /* what its first operand may be; NULL: anything */
    size_t word_count, word_size;    /* word_size: from one to the next, in bytes */
    const char *below;               /* NULL: nothing */
    void (*more)(FILE *to);          /* NULL: nothing more */
};

/* Runs the command that argv[1] names, with argv[0] "lab run". Returns its exit code. */
int commands_run(const struct command_list *list, int argc, char **argv);

/* The n-th word of a page. */
const struct command *command_word(const struct command_page *page, size_t n);

struct command_watcher {
    void (*list)(void *ctx, const struct command_list *list);
    void (*page)(void *ctx, const struct command_page *page);
    void *ctx;
};

/* Tells the watcher of every list and every page, from the top. What it gets lives for the call. */
void commands_visit(const struct command_list *top, const struct command_watcher *watcher);

/* For --help. True: the watcher has been told of the page, and nothing is to be printed. */
bool commands_watched(const struct command_page *page);

/* The list of `shs` itself. */
extern const struct command_list commands_top;

#endif
