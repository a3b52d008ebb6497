/*
 * exec_options.h - the command line of `shs exec` as values.
 */
#ifndef SHS_CMD_EXEC_OPTIONS_H
#define SHS_CMD_EXEC_OPTIONS_H

#include <shs/testing.h>

#include "base/base.h"

#define EXEC_NAMES_MAX 32
#define EXEC_RULES_MAX 64

struct exec_options {
    const struct shs_http_handler *handler; /* NULL: the files of `directory` */
    const char *directory;
    enum shs_tls_client_auth client_auth;
    bool plain;
    const char *names[EXEC_NAMES_MAX + 4]; /* of the certificate, NULL at the end */
    size_t name_count;
    const char *cert_fault;                     /* of the server's certificate; NULL = none */
    struct shs_test_rule rules[EXEC_RULES_MAX]; /* views into argv */
    size_t rule_count;
    unsigned grace_ms;   /* from a signal that ends CMD to SIGKILL */
    unsigned drain_ms;   /* for the requests that are under way when CMD has ended */
    unsigned timeout_ms; /* for CMD; 0 = none */
    char **command;      /* NULL-terminated, part of argv or of `shell` */
    char *shell[4];
};

/*
 * Reads argv. True: go on. False: end with *code, for it was --help or a mistake, and everything
 * has been said.
 */
bool exec_options_parse(struct exec_options *self, int argc, char **argv, int *code);

#endif
