/*
 * file_name.h - beside shs_safe_file_name.
 */
#ifndef SHS_HTTP_FILE_NAME_H
#define SHS_HTTP_FILE_NAME_H

#include "base/base.h"

/* How long the end of a name is that says what it is, with its dot: 4 of "a.txt", 7 of "a.tar.gz",
   0 of "README" and of ".profile". */
size_t shs__extension_length(struct shs_str name);

#endif
