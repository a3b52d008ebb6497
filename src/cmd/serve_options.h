/*
 * serve_options.h - the command line of `shs serve`, as values.
 */
#ifndef SHS_CMD_SERVE_OPTIONS_H
#define SHS_CMD_SERVE_OPTIONS_H

#include <shs/server.h>

#include "cmd/serve_limits.h"
#include "cmd/serve_site.h"
#include "handler/access_format.h"

#define SERVE_HEADERS_MAX 32

/* How requests are served side by side: a name and the mixin that does it. */
struct serve_threading {
    const char *name;
    int (*push)(struct shs_server *server, struct shs_error *err); /* NULL: one after the other */
    size_t bound; /* offset of the member of struct shs_options that --threads sets */
};

enum serve_handler { SERVE_FILES, SERVE_ECHO };

struct serve_options {
    const char *directory;
    const char *bind; /* NULL = loopback, "" = every interface */
    const char *port; /* digits */
    const char *cert, *key, *password_file;
    bool plain;
    const struct serve_threading *threading;
    enum serve_handler handler;
    const char *log_file; /* NULL: stderr */
    enum shs_log_level log_level;
    bool request_id;
    bool log; /* false: no access log */
    enum shs_access_style log_style;
    char *headers[2 * SERVE_HEADERS_MAX + 1]; /* name, value, ..., NULL: ours */
    size_t header_count;
    /* Copied into the server's options where they were given. */
    bool has_threads, has_max_threads;
    unsigned threads, max_threads;
    struct serve_limits limits;
    struct serve_site_options site;
};

/*
 * Reads the command line. True: go on with *out. False: it is done, with *exit_code (--help was
 * printed, or one line says what is wrong). serve_options_free in either case.
 */
bool serve_options_parse(struct serve_options *out, int argc, char **argv, int *exit_code);
void serve_options_free(struct serve_options *self);

#endif
