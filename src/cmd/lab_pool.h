/*
 * lab_pool.h - commands beside one another, each with a limit, and what they wrote.
 *
 * Each is a process group of its own, that is killed as a whole when its time is over. SIGINT,
 * SIGTERM, SIGHUP and SIGQUIT end them all. What they have left running ends with the last of them.
 */
#ifndef SHS_CMD_LAB_POOL_H
#define SHS_CMD_LAB_POOL_H

#include "base/base.h"

#define POOL_JOBS_MAX 64
#define POOL_OUTPUT_MAX 16384

struct pool_result {
    bool started;   /* else `status` is the errno of it */
    bool timed_out; /* and was killed */
    bool crashed;   /* a signal has ended it, or what a shell has run for it */
    int status;     /* its exit status, or 128 and the signal that ended it */
    double seconds;
    /* stdout and stderr together. Of more than POOL_OUTPUT_MAX bytes the beginning and the end, in
       lines of their own. Each NUL in it is a line's end; one is behind it. */
    const char *output;
    size_t output_len;
};

struct pool_caller {
    void *ctx;
    /* The next command: its words, which are used before this is called again. NULL: no more. */
    char *const *(*next)(void *ctx, size_t *index);
    void (*done)(void *ctx, size_t index, const struct pool_result *result);
};

/* Blocks those signals, on this thread and those that it starts: before there are any. A pipe whose
   reader has gone is an error then, and no signal. */
void pool_prepare(void);

/*
 * Runs them, `jobs` at once. CMD_OK; 128 and a signal's number when one came; CMD_FAILED, and it
 * has been said.
 */
int pool_run(const struct pool_caller *caller, char *const *envp, unsigned jobs, unsigned limit_ms);

#endif
