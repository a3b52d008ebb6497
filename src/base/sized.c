#include "base/base.h"

/* More than any struct of ours will ever have: what is larger was never set. */
#define SIZE_MOST ((size_t)65536)

void shs__sized_init(void *to, size_t size, const void *defaults, size_t known)
{
    memcpy(to, defaults, size < known ? size : known);
    if (size > known)
        memset((char *)to + known, 0, size - known);
}

int shs__sized_copy(void *to, size_t known, const void *from, const char *name,
                    struct shs_error *err)
{
    size_t size;

    if (from == NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "struct %s is NULL: make one, and fill it with %s_init", name, name);
    memcpy(&size, from, sizeof size);
    /* The size itself, and one member at least. */
    if (size <= sizeof size || size > SIZE_MOST)
        return shs_error_set(err, SHS_USAGE, 0,
                             "struct %s was not initialised (its size is %zu): call %s_init first",
                             name, size, name);
    memcpy(to, from, size < known ? size : known);
    memcpy(to, &known, sizeof known);
    return SHS_OK;
}
