/*
 * cert.h - what the subcommands of `shs cert` share.
 */
#ifndef SHS_CMD_CERT_H
#define SHS_CMD_CERT_H

#include <sys/types.h>

#include <shs/certs.h>

#include "cmd/cmd.h"
#include "cmd/flags.h"

/* "shs: error: ..." with the text; CMD_USAGE for SHS_USAGE, else CMD_FAILED. */
int cert_fail(const struct shs_error *err);

/*
 * The authority at a path: a directory with ca.pem and ca.key, a file with both, or FILE.pem that
 * has FILE.key beside it. CMD_OK with *out for shs_ca_free, or a code after an error was printed.
 */
int cert_load_ca(struct shs_ca **out, const char *path);

/* The same for a certificate. */
int cert_load_issued(struct shs_issued_cert **out, const char *path);

/* The file's text, for shs_bytes_free. CMD_OK or a code. */
int cert_read(const char *path, char **text, size_t *len);

/* A name for a file from a name in a certificate: "*" becomes "_wildcard_", what is not a letter,
   digit, ".", "-", "_" or "@" becomes "_". */
void cert_file_name(char *out, size_t cap, const char *name);

/* Writes to a file (DIR/NAME when `dir` is not NULL), or to stdout when `path` is NULL or "-". */
int cert_write(const char *path, const void *bytes, size_t len, mode_t mode, bool replace);

int cert_new(int argc, char **argv);
int cert_ca(int argc, char **argv);
int cert_crl(int argc, char **argv);
int cert_ocsp(int argc, char **argv);
int cert_show(int argc, char **argv);
int cert_check(int argc, char **argv);

#endif
