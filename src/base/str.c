#include "base/base.h"

struct shs_str shs__str(const char *text)
{
    struct shs_str s = {text, text == NULL ? 0 : strlen(text)};

    return s;
}

bool shs__str_eq(struct shs_str a, struct shs_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool shs__str_eq_nocase(struct shs_str a, struct shs_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (shs__lower((unsigned char)a.ptr[i]) != shs__lower((unsigned char)b.ptr[i]))
            return false;
    }
    return true;
}
