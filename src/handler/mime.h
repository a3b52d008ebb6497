/*
 * mime.h - the media type of a file, by the end of its name.
 *
 * A system's own table (/etc/mime.types, the package media-types) comes first, where there is one;
 * then a small table of our own.
 */
#ifndef SHS_HANDLER_MIME_H
#define SHS_HANDLER_MIME_H

#include "base/base.h"

/*
 * "text/html; charset=utf-8" for "index.html". The last extension counts, in any case;
 * "application/octet-stream" for a name without one or with one that is not known. Static storage.
 */
const char *shs__mime_type(struct shs_str name);

/* The system's table, read once. */
struct shs_mime_map;

/*
 * Reads a file of lines "TYPE EXTENSION..." into *out. SHS_OK; SHS_IO with errno; SHS_LIMIT beyond
 * SHS_MIME_FILE_MAX bytes; SHS_NOMEM. Lines that cannot be read are skipped.
 */
#define SHS_MIME_FILE_MAX ((size_t)1 << 20)
int shs__mime_load(struct shs_mime_map **out, const char *path);
/* The same from text in memory. */
int shs__mime_parse(struct shs_mime_map **out, struct shs_str text);
void shs__mime_free(struct shs_mime_map *map); /* NULL is fine */

/* As shs__mime_type, with the map (may be NULL) over our own table. Lives as long as the map. */
const char *shs__mime_lookup(const struct shs_mime_map *map, struct shs_str name);

/* Is that the name of a kind of file that is always gzip inside, "a.svgz"? */
bool shs__mime_is_gzipped(struct shs_str name);

/* Text, and formats that are text inside: what a general compressor makes smaller. */
bool shs__mime_compressible(const char *type);

#endif
