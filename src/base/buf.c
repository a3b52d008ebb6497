#include "base/base.h"

#include <stdio.h>

#define BUF_FIRST_CAP 512u

void shs__buf_init(struct shs_buf *b, size_t ceiling)
{
    memset(b, 0, sizeof *b);
    b->ceiling = ceiling;
}

void shs__buf_free(struct shs_buf *b)
{
    if (b->data != NULL) /* most have nothing: free(3) need not be asked */
        shs__free(b->data);
    b->data = NULL;
    b->start = b->len = b->cap = 0;
}

int shs__buf_reserve_slow(struct shs_buf *b, size_t more)
{
    size_t need, cap;
    char *data;

    if (more > b->ceiling || b->len > b->ceiling - more)
        return SHS_LIMIT;
    need = b->len + more;
    if (need <= b->cap) {
        memmove(b->data, b->data + b->start, b->len);
        b->start = 0;
        return SHS_OK;
    }
    cap = b->cap < BUF_FIRST_CAP ? BUF_FIRST_CAP : b->cap;
    while (cap < need)
        cap = cap > b->ceiling / 2 ? b->ceiling : cap * 2;
    if (cap > b->ceiling)
        cap = b->ceiling;
    data = shs__malloc(cap);
    if (data == NULL)
        return SHS_NOMEM;
    if (b->len > 0)
        memcpy(data, b->data + b->start, b->len);
    shs__free(b->data);
    b->data = data;
    b->start = 0;
    b->cap = cap;
    return SHS_OK;
}

int shs__buf_renew(struct shs_buf *b, size_t more, char **old)
{
    struct shs_buf next;
    int rc;

    if (more > b->ceiling || b->len > b->ceiling - more)
        return SHS_LIMIT;
    shs__buf_init(&next, b->ceiling);
    rc = shs__buf_reserve(&next, b->len + more);
    if (rc != SHS_OK)
        return rc;
    if (b->len > 0)
        memcpy(next.data, b->data + b->start, b->len);
    next.len = b->len;
    *old = b->data;
    *b = next;
    return SHS_OK;
}

int shs__buf_append_slow(struct shs_buf *b, const void *bytes, size_t len)
{
    int rc = shs__buf_reserve(b, len);

    if (rc != SHS_OK)
        return rc;
    if (len > 0)
        memcpy(shs__buf_tail(b), bytes, len);
    b->len += len;
    return SHS_OK;
}

int shs__buf_printf(struct shs_buf *b, const char *fmt, ...)
{
    va_list ap;
    int len, rc;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0)
        return SHS_USAGE;
    rc = shs__buf_reserve(b, (size_t)len + 1); /* vsnprintf also writes its NUL */
    if (rc != SHS_OK)
        return rc;
    va_start(ap, fmt);
    vsnprintf(shs__buf_tail(b), (size_t)len + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)len;
    return SHS_OK;
}

void shs__buf_consume(struct shs_buf *b, size_t len)
{
    b->start += len;
    b->len -= len;
    if (b->len == 0)
        b->start = 0;
}
