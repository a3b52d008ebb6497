/*
 * inject.h - the library's allocations, OpenSSL's, and the library's system calls, counted, and one
 * of them failed: the k-th since it was armed, or five from there on.
 *
 * Of threads that a server made, and of processes that it forked. The thread that calls
 * faults_setup is the client's, for whom nothing fails unless it says faults_mine(true).
 */
#ifndef FAULTS_INJECT_H
#define FAULTS_INJECT_H

#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* What fails: an allocation, one of calls.inc, or each read and write is of one byte. */
enum faults_what {
    FAULTS_MEMORY,
#define CALL(name, errors) CALL_##name,
#define ALIAS(name)
#include "calls.inc"
#undef CALL
#undef ALIAS
    FAULTS_ONE_BYTE,
    FAULTS_KINDS
};

#define FAULTS_ERRORS 12

struct faults_kind {
    const char *name;
    int errors[FAULTS_ERRORS]; /* ended by 0 */
};
extern const struct faults_kind faults_kinds[FAULTS_KINDS];

/* Shared with the processes that are forked. */
struct faults_shared {
    atomic_bool armed, counting, fired;
    atomic_int what, error;
    atomic_long first, last; /* the calls that fail, from 0 */
    atomic_long at;          /* calls of that kind so far */
    atomic_long counts[FAULTS_KINDS];
    atomic_int crashed; /* a signal, or -1: a sanitizer's report */
    /* What the sweep is at, for whoever finds it dead. */
    atomic_int now_scenario, now_step;
    atomic_long now_k;
};
extern struct faults_shared *faults;

/* Once, before OpenSSL has allocated anything; false when that cannot be. */
bool faults_setup(void);
/* Is this thread the server's from here on? */
void faults_mine(bool yes);

/* From here on they are counted. */
void faults_count(void);
/* From here on number `first` fails, and those after it until `last`. */
void faults_arm(enum faults_what what, int error, long first, long last);
/* No more; did one fail? */
bool faults_disarm(void);

/* Allocations of this process that were not given back: the library's, and OpenSSL's. */
long faults_live(void);
long faults_live_in_openssl(void);

/* For the wraps: the error with which this call fails; 0: it goes on. */
int faults_due(enum faults_what what);
/* How long this read or write may be. */
size_t faults_length(size_t len);

#endif
