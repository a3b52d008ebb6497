/*
 * lab_dir.h - `shs lab serve --dir`: what a lab has, as files, for as long as it is served.
 *
 *   ca.pem ca.p12 wgetrc php.ini            what clients are to trust
 *   env.sh env.ps1                          variables that say so
 *   intermediate.pem crl.pem manifest.json  of the lab; hosts, curl.cfg: for who knows no proxy
 *   server/LABEL.pem LABEL.key              each condition's certificate and key
 *   clients/alice.pem .key .p12             a certificate that `client` lets in
 *   keylog.txt connections.jsonl            what happens meanwhile
 */
#ifndef SHS_CMD_LAB_DIR_H
#define SHS_CMD_LAB_DIR_H

#include <stdatomic.h>
#include <stdio.h>

#include <shs/lab.h>

#include "base/base.h"

#define LAB_DIR_FILES_MAX 1200

struct lab_dir {
    char *path, *keylog;            /* absolute; path NULL: there is none */
    FILE *log;                      /* connections.jsonl */
    atomic_bool log_lost;           /* a line of it could not be written, and that was said */
    char *files[LAB_DIR_FILES_MAX]; /* all that were made, under `path` */
    size_t count;
};

/* Makes the directory (0700), before the lab is: it must not be there, or be empty. */
int lab_dir_make(struct lab_dir *self, const char *path);
/* Writes the files of a lab that listens. Slow keys are made for it. */
int lab_dir_fill(struct lab_dir *self, struct shs_lab *lab);
/* A line of connections.jsonl, from any thread. Says it once when that cannot be written. */
void lab_dir_log(struct lab_dir *self, const char *line);
/* Removes what was made, and the directory unless something else is in it. */
void lab_dir_remove(struct lab_dir *self);

#endif
