/*
 * mime.h - the media type of a file, by the end of its name.
 */
#ifndef SHS_HANDLER_MIME_H
#define SHS_HANDLER_MIME_H

#include "base/base.h"

/*
 * "text/html; charset=utf-8" for "index.html". The last extension counts, in any case;
 * "application/octet-stream" for a name without one or with one that is not known. Static storage.
 */
const char *shs__mime_type(struct shs_str name);

#endif
