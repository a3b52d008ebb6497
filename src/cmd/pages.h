/*
 * pages.h - every command with its options, as data: what man pages and completion are made of.
 *
 * It is collected from the commands themselves (commands.h): what they parse is what is here.
 */
#ifndef SHS_CMD_PAGES_H
#define SHS_CMD_PAGES_H

#include "base/base.h"
#include "cmd/commands.h"
#include "cmd/settings.h"

#define PAGES_MAX 64
#define PAGE_COMMAND_MAX 64
#define PAGE_PRESET_MAX 64

struct page_option {
    const char *name;
    char letter;       /* 0: none */
    const char *value; /* what it takes: "FILE"; NULL: nothing */
    bool optional;     /* its value may be left out */
    bool many;         /* it may be repeated */
    const char *help;
    const struct setting *row;    /* of a table of settings; NULL: of flags */
    char preset[PAGE_PRESET_MAX]; /* the default as --help says it, or "" */
};

struct page {
    char command[PAGE_COMMAND_MAX];  /* "lab run"; "" is `shs` itself */
    const struct command *row;       /* in the list it is in; NULL: it is `shs` itself */
    const struct command_list *list; /* it is a list of commands; NULL: it is not */
    char *about, *below;             /* copies: who says it may have made it */
    void (*more)(FILE *to);
    struct page_option *options;
    size_t option_count;
    const struct settings *settings;
    const struct command *words; /* see struct command_page */
    size_t word_count, word_size;
};

struct pages {
    struct page items[PAGES_MAX];
    size_t count;
    bool broken; /* it did not fit, or there is no memory */
};

/* CMD_OK, or a failure already said; free it either way. */
int pages_collect(struct pages *out);
void pages_free(struct pages *self);

/* The page of "lab run", or NULL. */
const struct page *pages_find(const struct pages *self, const char *command);

/* The n-th of the words that may follow the command: of a list, or of `words`. NULL: the end. */
const struct command *page_word(const struct page *self, size_t n);

#endif
