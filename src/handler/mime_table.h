/*
 * mime_table.h - between mime.c (our own table, lookups) and mime_map.c (the system's).
 */
#ifndef SHS_HANDLER_MIME_TABLE_H
#define SHS_HANDLER_MIME_TABLE_H

#include "handler/mime.h"

#define SHS_MIME_EXTENSION_MAX 11

struct shs_mime_entry {
    char extension[SHS_MIME_EXTENSION_MAX + 1]; /* in small letters */
    const char *type;
};

/* The entry for an extension in small letters; NULL when it is not in the map. */
const struct shs_mime_entry *shs__mime_find(const struct shs_mime_map *map, const char *extension);

#endif
