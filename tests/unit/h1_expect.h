/*
 * h1_expect.h - what a test with cmocka demands of the text that the client of an h1_lab has by
 * now.
 */
#ifndef H1_EXPECT_H
#define H1_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "h1_lab.h"

void h1_has(struct h1_lab *lab, const char *part);
void h1_has_not(struct h1_lab *lab, const char *part);
/* How often it is in there. */
unsigned h1_count(struct h1_lab *lab, const char *part);
/* What follows the first head. */
const char *h1_body(struct h1_lab *lab);

/* A handler class for GET and POST with that function; it is gone at the end of the block. */
#define H1_HANDLER(fn)                                                                             \
    (&(const struct shs_http_handler){.name = "t", .do_GET = (fn), .do_POST = (fn)})

#endif
