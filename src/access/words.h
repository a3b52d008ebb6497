/*
 * words.h - a file of rules as lines of words.
 */
#ifndef SHS_ACCESS_WORDS_H
#define SHS_ACCESS_WORDS_H

#include "base/base.h"

#define SHS_ACCESS_WORDS 1024
#define SHS_ACCESS_TEXT_MAX 255

struct shs_words {
    const char *name; /* of the file, for messages */
    struct shs_arena *memory;
    struct shs_str rest; /* what is not read yet */
    unsigned next_line;
    /* the line that was read */
    unsigned line;
    size_t count;
    struct shs_str at[SHS_ACCESS_WORDS];
};

void shs__words_begin(struct shs_words *self, const char *name, struct shs_str text,
                      struct shs_arena *memory);
/* The next line that has words: SHS_OK; SHS_CLOSED at the end; SHS_USAGE, SHS_LIMIT or SHS_NOMEM
   with *err. */
int shs__words_next(struct shs_words *self, struct shs_error *err);
/* The words of the line, a blank between, cut; NUL-terminated. ptr NULL: no memory. */
struct shs_str shs__words_text(const struct shs_words *self);

/* "NAME:LINE" in messages: of a long name the end. SHS_USAGE, with the sentence behind it. */
int shs__words_fault(const struct shs_words *self, struct shs_error *err, const char *fmt, ...)
    SHS_PRINTF(3, 4);

#endif
