#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

void *shs__malloc(size_t size)
{
    return malloc(size);
}

void *shs__calloc(size_t count, size_t size)
{
    return calloc(count, size);
}

void shs__zero(void *ptr, size_t size)
{
    memset(ptr, 0, size);
}

void *shs__realloc(void *ptr, size_t size)
{
    return realloc(ptr, size);
}

void shs__free(void *ptr)
{
    free(ptr);
}

char *shs__strndup(const char *bytes, size_t len)
{
    char *copy = shs__malloc(len + 1);

    if (copy == NULL)
        return NULL;
    if (len > 0)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

char *shs__strdup(const char *text)
{
    return text == NULL ? NULL : shs__strndup(text, strlen(text));
}

char *shs__asprintf(const char *fmt, ...)
{
    va_list ap;
    char *text;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0)
        return NULL;
    text = shs__malloc((size_t)len + 1);
    if (text == NULL)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(text, (size_t)len + 1, fmt, ap);
    va_end(ap);
    return text;
}
