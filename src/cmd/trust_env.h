/*
 * trust_env.h - every variable by which a program can be told of a CA and of a proxy.
 *
 * All of them are set at once: the images of CI services often preset half a dozen, and one that is
 * left alone wins over the one that is set.
 */
#ifndef SHS_CMD_TRUST_ENV_H
#define SHS_CMD_TRUST_ENV_H

#include "base/base.h"

/* What the values are made of; NULL: there is none, and variables that need it are left out. */
struct trust_env {
    const char *ca_path;      /* PEM */
    const char *p12_path;     /* a trust store for Java */
    const char *java_options; /* that are there already, and are kept */
    const char *wgetrc;       /* a file for wget and wget2 */
    const char *php_dir;      /* a directory that has TRUST_ENV_PHP_INI */
    const char *php_dirs;     /* those that PHP_INI_SCAN_DIR names already, and which are kept */
    const char *proxy;        /* "http://127.0.0.1:41443" */
    const char *proxy_host;   /* "127.0.0.1", and ... */
    unsigned proxy_port;
    const char *no_proxy; /* who is asked directly */
};

#define TRUST_ENV_PHP_INI "php.ini"

/* A file for PHP, whose curl looks at no variable. NULL: no memory. */
char *trust_env_php_ini(const char *ca_path);

/*
 * Calls `each` for every variable, with its value or NULL where it has to be unset. Stops when it
 * returns another code than CMD_OK, and returns that.
 */
int trust_env_each(const struct trust_env *self,
                   int (*each)(void *ctx, const char *name, const char *value), void *ctx);

#endif
