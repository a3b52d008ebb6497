/*
 * mdoc.h - text as a man page has it (mdoc(7)): nothing in it is taken for a command, sentences
 * begin on lines of their own, and lines are short.
 */
#ifndef SHS_CMD_MAN_MDOC_H
#define SHS_CMD_MAN_MDOC_H

#include "base/base.h"

/* Words of running text; white space between them is one blank or a new line. */
void mdoc_words(const char *text, size_t len);
/* An argument of a macro, in quotes. Dashes are those of the keyboard. */
void mdoc_argument(const char *text);
/* A line that is printed as it is. */
void mdoc_literal(const char *line, size_t len);

/*
 * Paragraphs, a blank line between. Those with lines that are indented, or columns, are printed as
 * they are; with `headings`, a line at the margin that is not a sentence is one. `follows`: there
 * is text above.
 */
void mdoc_paragraphs(const char *text, bool headings, bool follows);
/* A subsection: the first sentence is its heading, and others are its first paragraph. */
void mdoc_heading(const char *text);

#endif
