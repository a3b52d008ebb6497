/*
 * qr_code.h - a text as a QR code on a terminal, with libqrencode.
 */
#ifndef SHS_CMD_QR_CODE_H
#define SHS_CMD_QR_CODE_H

#include <stdio.h>

#include "base/base.h"

/* What came of it. */
enum qr_code {
    QR_DRAWN,
    QR_NO_TERMINAL, /* a pipe or a file, or a terminal without colours: nothing is drawn */
    QR_TOO_NARROW,  /* the window has not so many columns, or rows */
    QR_NOT_BUILT,   /* this build is without libqrencode */
    QR_FAILED       /* out of memory, or the text is too long */
};

/*
 * Draws `text` on `to`, if that is a terminal and it fits: dark on light whatever the terminal's
 * colours are, with half blocks where its locale is UTF-8. *columns and *rows: what it needs, where
 * it is too narrow.
 */
enum qr_code qr_code_draw(FILE *to, const char *text, unsigned *columns, unsigned *rows);

#endif
