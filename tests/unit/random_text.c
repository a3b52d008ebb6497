#include "random_text.h"

#include <string.h>

#include "h1_lab.h"

/* What is escaped, or might be. */
static size_t odd(uint64_t number, char out[4])
{
    static const char *const texts[] = {
        "\"",           "\\",           "\n",
        "\x7f",         "\x1b",         " ",
        "\xc3\xa4",     "\xe2\x82\xac", "\xe2\x80\xae",
        "\xc2\x80",     "\xc2\x9f",     "\xc2\xa0",
        "\xd8\x9c",     "\xe2\x81\xa9", "\xf0\x9f\x98\x80",
        "\xf0\x9f\x98", "\xe2\x80",     "\xff",
        "\xc0\xaf",     "\xed\xa0\x80",
    };
    const char *text = texts[number % (sizeof texts / sizeof texts[0])];
    size_t len = strlen(text);

    if (number % 7 == 0) { /* any byte, NUL as well */
        out[0] = (char)(number >> 32);
        return 1;
    }
    memcpy(out, text, len);
    return len;
}

size_t random_text(uint64_t *seed, char *out, size_t cap)
{
    size_t want = (size_t)(h1_lab_next_random(seed) % (cap + 1)), len = 0;
    uint64_t odds = h1_lab_next_random(seed) % 3 == 0 ? 0 : 1 + h1_lab_next_random(seed) % 40;

    while (len < want) {
        uint64_t number = h1_lab_next_random(seed);
        char text[4];
        size_t n = 1;

        if (odds > 0 && number % odds == 0)
            n = odd(number >> 8, text);
        else
            text[0] = (char)('!' + (number >> 8) % 94);
        if (n > want - len)
            n = want - len;
        memcpy(out + len, text, n);
        len += n;
    }
    return len;
}
