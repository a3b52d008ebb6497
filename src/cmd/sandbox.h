/*
 * sandbox.h - what the process gives up for good: new privileges, files that it has no business
 * with (landlock), and system calls that a server does not make (seccomp, with libseccomp).
 *
 * Two steps, for landlock holds for the thread that closes it and those it starts, so it comes
 * before the first of them; and the filter comes when all sockets are open, for all threads.
 *
 *     sandbox_open(&box);                              nothing is given up yet
 *     sandbox_allow(&box, "/srv/www", SANDBOX_READ);   and so on: the rest will be out of reach
 *     sandbox_close(&box);                             from here on, for this thread and its own
 *     ... threads, sockets ...
 *     sandbox_filter(&box, SANDBOX_NO_SOCKETS);        for all threads
 *
 * What the kernel or the build does not have is left out, and `text` says so. Never in a build with
 * sanitizers (they ptrace and fork at the end) is there a filter; in one that counts coverage
 * (files are written at exit) and under valgrind there is nothing.
 */
#ifndef SHS_CMD_SANDBOX_H
#define SHS_CMD_SANDBOX_H

#include "base/base.h"

/* What may be done below a directory, or with a file. */
enum sandbox_access {
    SANDBOX_READ = 1,   /* read files and directories */
    SANDBOX_CHANGE = 2, /* make, write, rename and remove files; make directories */
    SANDBOX_SOCKET = 4, /* make and remove Unix sockets */
    SANDBOX_DEVICE = 8  /* write to what is there: /dev/null */
};

/* What the filter allows beside what every server needs. */
enum sandbox_needs {
    SANDBOX_SOCKETS = 1, /* new sockets: further groups of workers, the watchdog's probe, --proxy */
    SANDBOX_CHILDREN = 2 /* fork, and signals for those */
};

struct sandbox {
    int ruleset; /* -1: no landlock */
    int abi;     /* of landlock; 0: there is none */
    unsigned readable, writable;
    char text[256]; /* what has been given up, in words */
    bool landlock;  /* files are out of reach */
    bool refused;   /* something was left out because it is forbidden here, as in some containers */
    int error;      /* the first errno of something that should have worked; 0 */
};

/* False: there is no sandbox in such a build or under such a tool, and text says why. */
bool sandbox_open(struct sandbox *self);
/* A path that is not there is left out: what is made there later is out of reach. NULL is fine. */
void sandbox_allow(struct sandbox *self, const char *path, unsigned access);
/* What a kernel or a container forbids is left out: `refused`, and text says why. False: there was
   no memory or the like; error says why. */
bool sandbox_close(struct sandbox *self);
bool sandbox_filter(struct sandbox *self, unsigned needs);

#endif
