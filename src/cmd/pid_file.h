/* pid_file.h - `--pid-file`: the process's number, as long as it serves. */
#ifndef SHS_CMD_PID_FILE_H
#define SHS_CMD_PID_FILE_H

#include "base/base.h"

/* In one step, so that no reader sees half of it. NULL: nothing is done. CMD_OK, or a failure
   already said. */
int pid_file_write(const char *path);
/* Unless another process has written its number there. */
void pid_file_remove(const char *path);

#endif
