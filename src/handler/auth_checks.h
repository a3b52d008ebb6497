/*
 * auth_checks.h - who may verify a password now, who has to wait, and what need not be verified.
 *
 * Concept
 *
 *   A password's hash is slow on purpose: verifying one keeps a core busy for a tenth of a second.
 *   So few run at a time, and the others wait, each for a bounded time. Equal credentials are
 *   verified once, whoever asks meanwhile has the same result; what was right is known as long as
 *   it
 *   is used. An address whose guesses were wrong comes behind those that made none, and one check
 *   is always left to the others.
 *
 *   Bounded: waiting requests in all and of one address, what is known, what is held against
 *   addresses. No thread of its own.
 */
#ifndef SHS_HANDLER_AUTH_CHECKS_H
#define SHS_HANDLER_AUTH_CHECKS_H

#include <pthread.h>

#include <shs/digest.h>

#include "base/base.h"

/* Verifications at a time. */
#define SHS_CHECKS_RUNNING 2u
/* Requests that wait for one, in all and of one address; and how long. */
#define SHS_CHECKS_WAITING 64u
#define SHS_CHECKS_WAITING_OF_ONE 16u
#define SHS_CHECKS_WAIT_MS 10000u
/* Requests that wait for the result of another one with the same credentials. */
#define SHS_CHECKS_FOLLOWERS 256u
/* Credentials that were right, and how long since their last use. */
#define SHS_CHECKS_KNOWN 1024u
#define SHS_CHECKS_KNOWN_MS 60000u
/* ... but not longer than this since they were verified: the file of users may be another one. */
#define SHS_CHECKS_KNOWN_AGE_MS 3600000u
/* Wrong guesses that are forgiven, and after which time half of them is forgotten. */
#define SHS_CHECKS_FORGIVEN 3u
#define SHS_CHECKS_FORGET_MS 30000u

struct shs_checks;

enum shs_check_turn {
    SHS_CHECK_RIGHT,    /* known, or verified by somebody else meanwhile */
    SHS_CHECK_WRONG,    /* likewise */
    SHS_CHECK_YOURS,    /* verify them, and say what came out: shs__checks_done */
    SHS_CHECK_TOO_MANY, /* too many wait, or it took too long */
};

/* One request's; on its stack. */
struct shs_check {
    unsigned char digest[SHS_SHA256_LEN];
    uint64_t address; /* a hash of it */
    uint64_t number;  /* in the order they came */
    uint64_t turn;    /* in the order they got their turn */
    unsigned followers;
    enum { SHS_CHECK_WAITS, SHS_CHECK_RUNS, SHS_CHECK_OVER } state;
    bool guilty; /* its address had made more wrong guesses than are forgiven */
    bool right, failed;
    struct shs_check *next;
};

int shs__checks_new(struct shs_checks **out, unsigned wait_ms);
void shs__checks_free(struct shs_checks *self); /* NULL is fine; nobody waits any more */

/* Waits, as long as it has to. Any thread. */
enum shs_check_turn shs__checks_enter(struct shs_checks *self, struct shs_check *check);
/* How many wait for a place of their own. */
unsigned shs__checks_waiting(struct shs_checks *self);
/* After SHS_CHECK_YOURS, on the same thread. failed: nothing came out, who waited tries itself. */
void shs__checks_done(struct shs_checks *self, struct shs_check *check, bool right, bool failed);

#endif
