/*
 * main.c - `shs`: finds the subcommand and leaves the rest to it.
 */
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/commands.h"

int main(int argc, char **argv)
{
    int rc = commands_run(&commands_top, argc, argv);

    if (fflush(stdout) != 0 && rc == CMD_OK)
        return cmd_fail(CMD_FAILED, "cannot write to the standard output");
    return rc;
}
