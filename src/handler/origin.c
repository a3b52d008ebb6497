#include "handler/origin.h"

#define ORIGIN_MAX 300

bool shs__is_origin(const char *text)
{
    const char *host = strstr(text, "://");

    if (host == NULL || host == text || strlen(text) > ORIGIN_MAX)
        return false;
    host += 3;
    if (*host == '\0' || strchr(host, '/') != NULL)
        return false;
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~' || *text == '*' || *text == ',' || *text == '"')
            return false;
    }
    return true;
}

bool shs__origin_in(struct shs_str origin, char *const *list)
{
    for (; list != NULL && *list != NULL; list++) {
        if (shs__str_eq(origin, shs__str(*list)))
            return true;
    }
    return false;
}
