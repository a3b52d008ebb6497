/*
 * settings.h - a table of settings: one row is a flag, a line of --help, a key of the configuration
 * file, its range, its default, and what it goes with.
 *
 * Nothing here knows what is served. A table's rows say where in a plain struct their value goes;
 * values come in layers (the file's, then the command line's), and a later layer replaces what an
 * earlier one said, lists as a whole.
 */
#ifndef SHS_CMD_SETTINGS_H
#define SHS_CMD_SETTINGS_H

#include "base/base.h"

#define SETTINGS_MAX 160     /* rows of a table */
#define SETTING_LIST_MAX 32  /* values of one that may be repeated */
#define SETTING_TEXT_MAX 320 /* of what is wrong with a value */

enum setting_kind {
    SETTING_FLAG,   /* bool */
    SETTING_NOT,    /* bool: the flag makes it false ("--no-listing") */
    SETTING_TEXT,   /* const char *: its value as it is */
    SETTING_TEXTS,  /* struct setting_list: may be repeated */
    SETTING_NUMBER, /* unsigned, min to max */
    SETTING_BYTES,  /* uint64_t or size_t: a number that may end in k, m or g */
    SETTING_MS,     /* unsigned: milliseconds */
    SETTING_S,      /* unsigned: seconds */
    SETTING_CHOICE, /* unsigned or an enum: the value of a name */
    SETTING_OWN     /* whatever `take` makes of it */
};

/* The names of a SETTING_CHOICE; ended by a NULL. */
struct setting_choice {
    const char *name;
    int value;
};

/* Ended by a NULL. */
struct setting_list {
    const char *items[SETTING_LIST_MAX + 1];
    size_t count;
};

/* What is wrong with a value, as it follows the value's name: "is not a number from 1 to 9". */
struct setting_problem {
    char text[SETTING_TEXT_MAX];
};

/* Where an entry of a list was begun. */
struct setting_place {
    const char *file; /* NULL: on the command line */
    unsigned line;
};

/*
 * Entries of a list: an array of structs in the values. Each row of it says where in an entry its
 * value goes, and takes the last one; the row with `begins` makes another.
 */
struct setting_entries {
    size_t items, count; /* offsets: of the array, and of a size_t, how many there are */
    size_t size, max;    /* of an entry; how many there may be */
    size_t place;        /* offset in an entry, of a struct setting_place */
};

struct setting {
    const char *name;  /* "max-body": --max-body, and the key of the file */
    const char *key;   /* in an entry of its group's list, where that is another; NULL: the name */
    const char *group; /* a heading of --help and a mapping of the file; NULL: at the top */
    char letter;       /* 'p': -p; 0: none */
    enum setting_kind kind;
    bool flag_only;    /* no key of the file */
    bool pairs;        /* SETTING_TEXTS: in the file also as keys, "Name: value" each */
    bool lone;         /* SETTING_TEXTS: one alone is printed as a value, not as a list */
    bool once;         /* a second value in the same layer is a mistake */
    const char *alone; /* SETTING_TEXT: what the flag means without a value; NULL: it needs one */
    const char *value; /* what it takes, for the help: "FILE"; NULL: by its kind */
    size_t offset, size;
    const struct setting_entries *entries; /* NULL: it is not a row of a list's entries */
    bool begins;                           /* a new entry of them */
    uint64_t min, max;
    const struct setting_choice *choices;
    /* What it goes with, conditions with blanks between: "upload" (that one is given, or on),
       "handler=files" (its value is one of these, ',' between), "!plain" (that one is off);
       of a SETTING_TEXTS "admin=tls:" (one of its values begins so). */
    const char *needs;
    /* The default as --help says it; NULL: the number that is there, or nothing to say. */
    const char *preset;
    const char *help; /* lines, '\n' between */
    /* SETTING_OWN: takes the value, false and what is wrong. The others: NULL, or a look at it. */
    bool (*take)(void *to, const struct setting *row, const char *value,
                 struct setting_problem *problem);
    /* SETTING_OWN: forgets what earlier layers said. */
    void (*reset)(void *to, const struct setting *row);
};

struct settings_group {
    const char *name;    /* NULL: the rows at the top */
    const char *heading; /* of --help */
    const char *listed;  /* the keys that belong together in an entry of a list, blanks between;
                            the first one begins it */
    bool shared;         /* the same for all sections of a file */
};

struct settings {
    const struct setting *rows;
    size_t count;
    const struct settings_group *groups; /* in the order of --help; all that the rows name */
    size_t group_count;
    const char *command;  /* for "try 'shs serve --help'" */
    const char *sections; /* the key of the file whose entries are sections */
};

/* Where a value came from. */
enum settings_layer {
    SETTINGS_DEFAULT, /* nobody said anything */
    SETTINGS_FILE,    /* the top of the configuration file */
    SETTINGS_SECTION, /* an entry of it, for itself */
    SETTINGS_COMMAND  /* the command line */
};

/* What has been said, by row. */
struct settings_given {
    unsigned char layer[SETTINGS_MAX];
};

/* The row of that name, or NULL. */
const struct setting *settings_find(const struct settings *table, const char *name);
/* The name nearest to one that is not there, of a flag or of a key; NULL: none is near. */
const char *settings_nearest_flag(const struct settings *table, const char *name);
const char *settings_nearest_key(const struct settings *table, const char *name);
/* The same of a key in an entry of the group's list. */
const char *settings_nearest_listed(const struct settings *table,
                                    const struct settings_group *group, const char *name);
/* The row's name in a file. */
const char *settings_key(const struct setting *row);
/* The row of that key in an entry of the group's list, or NULL. */
const struct setting *settings_find_listed(const struct settings *table,
                                           const struct settings_group *group, const char *name);
/* A word of a list with blanks between. */
bool settings_has_word(const char *words, const char *word);
/* Notes where the last entry was begun, if the row is one that begins them. */
void settings_mark(const struct setting *row, void *to, const char *file, unsigned line);

/* A value for the row. False: nothing was changed, and *problem says what is wrong. */
bool settings_take(const struct settings *table, const struct setting *row, void *to,
                   struct settings_given *given, enum settings_layer layer, const char *value,
                   struct setting_problem *problem);
bool settings_was_given(const struct settings *table, const struct settings_given *given,
                        const char *name);

/* Whether a row that was given goes with the rest; if not, *problem says why. */
bool settings_fits(const struct settings *table, const struct setting *row, const void *to,
                   const struct settings_given *given, struct setting_problem *problem);
/* Whether all that `least` or a later layer gave does; else *row is the one that does not. */
bool settings_check(const struct settings *table, const void *to,
                    const struct settings_given *given, enum settings_layer least,
                    const struct setting **row, struct setting_problem *problem);

/* A value of the command line. `row` is part of a table that lives on; `value` is borrowed. */
struct settings_word {
    const struct setting *row;
    const char *value; /* NULL: a flag, or an optional value that was left out */
};

#define SETTINGS_WORDS_MAX 4096

/* The command line, before it is applied: the file comes first. */
struct settings_words {
    struct settings_word *items; /* for shs__free */
    size_t count;
    bool help; /* --help was there: the rest has not been looked at */
};

/*
 * Reads argv[1...] by the table. CMD_OK, or a failure already said. An operand is taken for the row
 * `operand_row`.
 */
int settings_read_words(const struct settings *table, int argc, char **argv,
                        const char *operand_row, struct settings_words *out);
/* CMD_OK, or a failure already said. */
int settings_apply_words(const struct settings *table, const struct settings_words *words, void *to,
                         struct settings_given *given);

/* What a row takes, for the help: "FILE"; NULL: it is a switch. */
const char *settings_placeholder(const struct setting *row);
/* The default as --help says it. False: there is nothing to say. */
bool settings_preset(const struct setting *row, const void *defaults, char *out, size_t cap);

/* The flags of --help, group by group. `defaults`: values nobody has changed. */
void settings_print_help(const struct settings *table, const void *defaults);

/* A row's value as the file has it, the n-th of a list. False: there is none. */
bool settings_show(const struct setting *row, const void *to, size_t item, char *out, size_t cap);

/* The first row whose values differ, of those that settings_show shows; no entries of lists. NULL:
   none does. */
const struct setting *settings_first_other(const struct settings *table, const void *a,
                                           const void *b);

/* Which rows settings_print prints. */
enum settings_part { SETTINGS_ALL, SETTINGS_SHARED, SETTINGS_OF_SECTION };

/*
 * Prints values as a file that says the same: what was given as it is, the rest as comments.
 *
 *   indent  blanks before each line
 *   print   prints a group's list of entries; NULL: there are none
 */
void settings_print(const struct settings *table, const void *to,
                    const struct settings_given *given, enum settings_part part, int indent,
                    void (*print)(const struct settings_group *group, const void *to, int indent));
/* A value as YAML writes it: quoted if it must be. */
void settings_print_value(const char *text);

#endif
