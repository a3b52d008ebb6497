/*
 * cmd.h - what the subcommands of `shs` share: exit codes, and how they say what is wrong.
 *
 * The command may do what the library never does: read the environment, print, catch signals, exit.
 */
#ifndef SHS_CMD_H
#define SHS_CMD_H

#include "base/base.h"

#define CMD_OK 0
#define CMD_FAILED 1 /* it was asked for rightly and could not be done */
#define CMD_USAGE 2  /* it was asked for wrongly */

/* "?" for each byte that a terminal would take for a command (C0, DEL and, in UTF-8, C1), or that
   turns the text around. What others say comes through here. */
void cmd_clean(char *text);

/* One line on stderr, "shs: error: ...". Returns `code`, to be returned. */
int cmd_fail(int code, const char *fmt, ...) SHS_PRINTF(2, 3);

/* From now on the first mistake of this thread is kept in `text` (cap bytes, "" before), and none
   is printed. NULL: they are printed again. */
void cmd_fail_keep(char *text, size_t cap);

/* The same, "shs: warning: ...", and it goes on. */
void cmd_warn(const char *fmt, ...) SHS_PRINTF(1, 2);

/*
 * What was printed is written now: CMD_OK; or CMD_FAILED, and it has been said that the standard
 * output cannot be written, also when an earlier part of it was lost. A second call does not say it
 * again.
 */
int cmd_flush(void);

/* The same for whoever goes on without it: a warning. */
void cmd_flush_or_warn(void);

/* Text for a person to paste into a shell: quoted if it needs to be. For shs__free; may be NULL. */
char *cmd_shell_quote(const char *text);

/* The subcommands. argv[0] is the subcommand's name. Each returns an exit code. */
int cmd_serve(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_cert(int argc, char **argv);
int cmd_acl(int argc, char **argv);
int cmd_ctl(int argc, char **argv);
int cmd_trust(int argc, char **argv);
int cmd_lab(int argc, char **argv);
int cmd_completion(int argc, char **argv);

#endif
