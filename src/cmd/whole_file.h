/* whole_file.h - a file that has its name when it is complete, and not before. */
#ifndef SHS_CMD_WHOLE_FILE_H
#define SHS_CMD_WHOLE_FILE_H

#include <stdio.h>

#include "base/base.h"

struct whole_file {
    FILE *to;
    char *path;  /* what it will be; a link is followed */
    char *fresh; /* what it is until then; NULL: a device, which is written to as it stands */
};

/* CMD_OK, or a failure already said. Then write to self->to, and close. */
int whole_file_open(struct whole_file *self, const char *path);
/* What was there is replaced; or it stays, if not all could be written: a failure already said. */
int whole_file_close(struct whole_file *self);
/* What was there stays. */
void whole_file_drop(struct whole_file *self);

/* Of the system's, such as /dev/stdout or what a shell has for >(CMD). */
bool whole_file_is_device(const char *path);

#endif
