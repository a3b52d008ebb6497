#include "cmd/qr_code.h"

#ifdef SHS_HAVE_QRENCODE

#include <stdlib.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <qrencode.h>

#define QUIET 4 /* light modules around it, which readers need (ISO/IEC 18004) */

#define BLACK_BELOW_WHITE "\033[40;97m"
#define WHITE_GROUND "\033[107m"
#define BLACK_GROUND "\033[40m"
#define NORMAL "\033[0m"

/* What the C library would take the locale's encoding from. */
static bool is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < SHS_ARRAY_LEN(names); i++) {
        const char *value = getenv(names[i]);

        if (value != NULL && value[0] != '\0')
            return strcasestr(value, "UTF-8") != NULL || strcasestr(value, "utf8") != NULL;
    }
    return false;
}

static bool is_colour_terminal(FILE *to)
{
    const char *term = getenv("TERM");

    return isatty(fileno(to)) == 1 && term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
}

static bool is_dark(const QRcode *code, int x, int y)
{
    return x >= 0 && y >= 0 && x < code->width && y < code->width &&
           (code->data[y * code->width + x] & 1) != 0;
}

/* Two rows of modules in a line: the upper halves of blocks, and the lower ones. */
static void draw_halves(FILE *to, const QRcode *code)
{
    static const char *const blocks[] = {"\u2588", "\u2580", "\u2584", " "};

    for (int y = -QUIET; y < code->width + QUIET; y += 2) {
        fputs(BLACK_BELOW_WHITE, to);
        for (int x = -QUIET; x < code->width + QUIET; x++) {
            bool below = y + 1 == code->width + QUIET || is_dark(code, x, y + 1);

            fputs(blocks[(is_dark(code, x, y) ? 2 : 0) + (below ? 1 : 0)], to);
        }
        fputs(NORMAL "\n", to);
    }
}

/* A module is two blanks on a ground of its colour. */
static void draw_blanks(FILE *to, const QRcode *code)
{
    for (int y = -QUIET; y < code->width + QUIET; y++) {
        for (int x = -QUIET; x < code->width + QUIET; x++)
            fprintf(to, "%s  ", is_dark(code, x, y) ? BLACK_GROUND : WHITE_GROUND);
        fputs(NORMAL "\n", to);
    }
}

enum qr_code qr_code_draw(FILE *to, const char *text, unsigned *columns, unsigned *rows)
{
    bool halves = is_utf8();
    struct winsize window;
    unsigned side;
    QRcode *code;

    if (!is_colour_terminal(to))
        return QR_NO_TERMINAL;
    code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L);
    if (code == NULL)
        return QR_FAILED;
    side = (unsigned)code->width + 2 * QUIET;
    *columns = halves ? side : 2 * side;
    *rows = halves ? (side + 1) / 2 : side;
    /* A terminal that does not know its size (0, as on a serial line) is taken as it is. */
    if (ioctl(fileno(to), TIOCGWINSZ, &window) == 0 &&
        ((window.ws_col != 0 && window.ws_col < *columns) ||
         (window.ws_row != 0 && window.ws_row < *rows))) {
        QRcode_free(code);
        return QR_TOO_NARROW;
    }
    if (halves)
        draw_halves(to, code);
    else
        draw_blanks(to, code);
    QRcode_free(code);
    return QR_DRAWN;
}

#else

enum qr_code qr_code_draw(FILE *to, const char *text, unsigned *columns, unsigned *rows)
{
    SHS_UNUSED(to);
    SHS_UNUSED(text);
    *columns = *rows = 0;
    return QR_NOT_BUILT;
}

#endif
