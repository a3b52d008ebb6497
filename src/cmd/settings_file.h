/*
 * settings_file.h - a configuration file: YAML 1.1 whose keys are the names of a table's flags.
 *
 *     max-body: 10m                  a key at the top is for every section
 *     limits:                        keys of one heading may stand under it
 *       max-connections: 2000
 *     certificates:                  a list, where the group has one
 *       - cert: a.pem
 *         key: a.key
 *     listeners:                     the sections: each with keys of its own
 *       - port: 8443
 *
 * Each mistake is said in a line of its own, "FILE:LINE: ...", with the nearest key that there is.
 * libyaml reads; nodes know their lines, which is why it is not a library that fills structs.
 */
#ifndef SHS_CMD_SETTINGS_FILE_H
#define SHS_CMD_SETTINGS_FILE_H

#include "cmd/settings.h"

#define SETTINGS_FILE_MAX ((size_t)1 << 20) /* bytes */
#define SETTINGS_FILE_ERRORS 20             /* that are said */
#define SETTINGS_SECTIONS_MAX 64

/* A value of the file. */
struct settings_entry {
    const struct setting *row;
    const char *value;
    unsigned line;  /* from 1 */
    size_t section; /* 0: the top; else the section's number from 1 */
    bool blamed;    /* what is wrong with it has been said */
};

struct settings_file {
    const char *path; /* borrowed */
    struct settings_entry *items;
    size_t count, room;
    size_t sections;
    unsigned errors; /* mistakes found */
    char **texts;    /* what the values point to */
    size_t text_count, text_room;
};

/* CMD_OK, or a failure, already said. settings_file_free in either case. */
int settings_file_read(const struct settings *table, const char *path, struct settings_file *out);
void settings_file_free(struct settings_file *self);

/* Gives *to what the file says at its top and in that section (from 1). Mistakes are said. */
int settings_file_apply(const struct settings *table, struct settings_file *self, size_t section,
                        void *to, struct settings_given *given);

/* The line that gave the row its value for that section; 0: none did. */
unsigned settings_file_line(const struct settings_file *self, const struct setting *row,
                            size_t section);

#endif
