/*
 * main.c - `shs`: finds the subcommand and leaves the rest to it.
 */
#include "cmd/cmd.h"
#include "cmd/commands.h"

int main(int argc, char **argv)
{
    int rc = commands_run(&commands_top, argc, argv), written = cmd_flush();

    return rc == CMD_OK ? written : rc;
}
