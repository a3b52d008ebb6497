/*
 * exec_child.h - a command that is run to its end, and with it whatever it has started.
 *
 * Signals for the command line (SIGINT, SIGTERM, SIGHUP, SIGQUIT) are taken from a queue while it
 * runs, and handed to it. What it leaves behind becomes our child (PR_SET_CHILD_SUBREAPER), and is
 * ended after it.
 */
#ifndef SHS_CMD_EXEC_CHILD_H
#define SHS_CMD_EXEC_CHILD_H

#include "base/base.h"

/* A command that was not run to its end; its own status is below. */
#define EXEC_TIMED_OUT 124
#define EXEC_NO_SERVER 125
#define EXEC_NOT_STARTED 126
#define EXEC_NOT_FOUND 127

/*
 * Blocks the signals, on this thread and on those that it starts from now on, so that none is lost
 * before there is somebody to hand it to. SIGPIPE is ignored here, and for the command as it was.
 */
void exec_child_prepare(void);

/* From now on what is left behind by our children becomes our child. */
void exec_child_adopt(void);

/* Ends every child that there is: SIGTERM, once for each, and after the grace SIGKILL. */
void exec_child_end_the_rest(unsigned grace_ms);

/*
 * Runs argv[0], found as a shell finds it, with that environment: its exit status, 128 and the
 * number of the signal that ended it, or one of those above, and what was wrong has been said.
 *
 *   timeout_ms  0 = none
 *   grace_ms    from the signal that ends it to SIGKILL
 */
int exec_child_run(char *const *argv, char *const *envp, unsigned timeout_ms, unsigned grace_ms);

#endif
