/*
 * lab_score.h - what a run through the lab has come to, and how it is told: as a table by group,
 * JSON, JUnit's XML, TAP, GitHub's annotations, or a page.
 */
#ifndef SHS_CMD_LAB_SCORE_H
#define SHS_CMD_LAB_SCORE_H

#include <stdio.h>

#include "base/base.h"

#define SCORE_SAID_MAX 200

/* Exit codes beside CMD_OK and CMD_USAGE. */
#define SCORE_ACCEPTED_BAD 3
#define SCORE_REFUSED_GOOD 4
#define SCORE_HANGS 5
#define SCORE_NO_SANITY 6

enum score_expect { SCORE_ACCEPT, SCORE_REJECT, SCORE_EITHER };
enum score_verdict {
    SCORE_NOT_RUN,
    SCORE_ACCEPTED,
    SCORE_REJECTED,
    SCORE_HUNG,
    SCORE_CRASHED, /* a signal has ended it, which is not a verdict of its own */
    SCORE_NOT_APPLICABLE
};

struct score_case {
    const char *id, *group;
    const char *tier; /* "critical" "high" "medium" "low" */
    enum score_expect expect;
    const char *reason; /* that a rejection should have, in a word; "" = any */
    enum score_verdict verdict;
    bool other_reason; /* it was rejected, and for another one */
    bool known;        /* the baseline has it so: score_compare */
    bool late; /* its time was over, and the condition is not one that takes time: no verdict */
    double seconds;
    char said[SCORE_SAID_MAX]; /* by who was tested: its reason in its own words, one line */
};

enum score_format { SCORE_TABLE, SCORE_JSON, SCORE_JUNIT, SCORE_TAP, SCORE_GITHUB };

struct score {
    const char *title; /* "curl 7.88.1" */
    const char *profile;
    struct score_case *cases;
    size_t count;
    double seconds;
    bool filtered; /* these are not all that there are */
};

/* True, and *out; or false. */
bool score_format_parse(const char *name, enum score_format *out);

/* Is it not as it should be? Also when it is known. */
bool score_is_bad(const struct score_case *c);

/* Prints it all. SCORE_TABLE ends with the score and the exit code. */
void score_print(FILE *to, const struct score *score, enum score_format format, int code);
/* A page of its own: a chart by group, and each case that is bad with both reasons. */
int score_write_page(const char *path, const struct score *score);

/* What to exit with: CMD_OK, or the first of the codes above that holds. */
int score_exit_code(const struct score *score);

/*
 * A baseline is a file of lines, "ID VERDICT": what is known and looked at. score_compare prints
 * what is different to `to`, marks what is known, and returns what to exit with: CMD_OK when
 * nothing is, else as score_exit_code for what is new, or CMD_FAILED when only good news or unknown
 * labels are. One that is written again keeps the comments, and where `filtered` says so what was
 * not run.
 */
int score_write_baseline(const char *path, const struct score *score);
int score_compare(FILE *to, const char *path, const struct score *score, int *code);

/* Cuts text to one printable line that every format takes. */
void score_line(char line[SCORE_SAID_MAX], const char *text, size_t len);
void score_say(struct score_case *c, const char *text, size_t len);

#endif
