/*
 * scenario.h - what is done while something fails, as a table: a conversation with a server that
 * runs, a call of the library, or the command.
 */
#ifndef FAULTS_SCENARIO_H
#define FAULTS_SCENARIO_H

#include "world.h"

enum flags {
    IS_HEAD = 1,     /* answers have no body */
    TOUCHES = 2,     /* the files were changed just before: nothing of them is known any more */
    RESUMES = 4,     /* with the session of the connection before */
    CHANGES = 8,     /* the body is another one each time: it has to be whole JSON or so */
    STORES = 16,     /* a file is there afterwards, whole or not at all */
    MAY_REFUSE = 32, /* 403 is an answer as well: the certificate could not be judged */
    MAY_CODE = 64,   /* not compressed is right as well */
    MAY_OMIT = 256,  /* an archive, in which a file may be missing that may not be read */
    MAY_LACK = 128,  /* a listing, in which an entry may be without its size and date */
};

struct scenario;

/* What is said to it goes to `text`, when it is not WHOLE. */
typedef enum verdict talk_fn(const struct scenario *scenario, struct world *world, char text[200]);
/* One call of the library, or one command. */
typedef enum verdict call_fn(struct world *world, char text[200]);

struct scenario {
    const char *name;
    enum threading threading;
    enum over over;
    const char *ask; /* the requests, as they are sent */
    int status;      /* of each of the answers */
    unsigned answers;
    unsigned flags;
    size_t body;                      /* so many bytes follow, of a length that `ask` says */
    talk_fn *talk;                    /* NULL: HTTP, as above */
    call_fn *call;                    /* not a conversation; with a server when `serves` */
    bool serves;                      /* `call` needs the world's server */
    int (*open)(struct world *world); /* NULL: world_open */
    unsigned openssl_keeps; /* allocations that OpenSSL itself does not give back when it fails
                               there; 0: OPENSSL_OWN */
    bool forks;             /* `call` is made in a child of its own each time */
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

#endif
