#include "h1_expect.h"

#include <string.h>

void h1_has(struct h1_lab *lab, const char *part)
{
    if (strstr(h1_lab_text(lab), part) == NULL)
        fail_msg("\"%s\" is not in:\n%s", part, h1_lab_text(lab));
}

void h1_has_not(struct h1_lab *lab, const char *part)
{
    if (strstr(h1_lab_text(lab), part) != NULL)
        fail_msg("\"%s\" is in:\n%s", part, h1_lab_text(lab));
}

unsigned h1_count(struct h1_lab *lab, const char *part)
{
    unsigned n = 0;

    for (const char *p = h1_lab_text(lab); (p = strstr(p, part)) != NULL; p++)
        n++;
    return n;
}

const char *h1_body(struct h1_lab *lab)
{
    const char *end = strstr(h1_lab_text(lab), "\r\n\r\n");

    assert_non_null(end);
    return end + 4;
}
