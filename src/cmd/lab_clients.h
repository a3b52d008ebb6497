/*
 * lab_clients.h - clients that `shs lab run` knows: the command for each, and what it says.
 *
 * A command is a template: {url} {site} {host} {port} {ca} {proxy} {id} {dir} {limit} are put in.
 * {site} is the URL without a port, for who comes by the proxy; {dir} a directory of the run's own,
 * in which the script is; {limit} is in seconds.
 */
#ifndef SHS_CMD_LAB_CLIENTS_H
#define SHS_CMD_LAB_CLIENTS_H

#include <shs/lab.h>

#include "base/base.h"

#define LAB_WORDS_MAX 32

struct lab_client {
    const char *name;
    const char *program;                /* that has to be installed */
    const char *command[LAB_WORDS_MAX]; /* NULL at the end */
    const char *script, *text;          /* a file in {dir}; NULL = none */
    const char *prepare; /* a line for the shell, in {dir}, before the first; or NULL */
    bool knows_http;     /* s_client does not look at the answer */
    bool direct;         /* it does not come by the proxy, and cannot visit an address */
    bool heavy; /* it keeps a core busy for a second: few at once, and more time for each */
    /* What it says when it refuses this one; "" = not known. */
    const char *(*word)(const struct shs_condition *c);
};

/* NULL when there is none of that name. */
const struct lab_client *lab_client_find(const char *name);
/* "curl, wget, ...". */
const char *lab_client_names(void);

struct lab_words {
    char *words[LAB_WORDS_MAX + 1];
};

struct lab_places {
    const char *ca, *proxy, *dir;
    unsigned port, limit_s;
};

/* Puts values in the places of a command. False when out of memory, or it has too many words. */
bool lab_words_make(struct lab_words *out, const char *const *command,
                    const struct lab_places *places, const struct shs_condition *c);
void lab_words_free(struct lab_words *self);

#endif
