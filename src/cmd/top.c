/* top.c - the subcommands of `shs`. */
#include <stdio.h>

#include <shs/version.h>

#include "cmd/cmd.h"
#include "cmd/commands.h"

static int print_usage(int argc, char **argv)
{
    SHS_UNUSED(argc);
    SHS_UNUSED(argv);
    return commands_run(&commands_top, 2, (char *[]){NULL, (char[]){"--help"}, NULL});
}

static int print_version(int argc, char **argv)
{
    SHS_UNUSED(argc);
    SHS_UNUSED(argv);
    printf("shs %s\n", shs_version());
    return CMD_OK;
}

static const struct command rows[] = {
    {"serve", "[DIR]", "serve a directory over HTTPS", cmd_serve, false},
    {"check", NULL, "say what will break in a server's files, and when", cmd_check, false},
    {"exec", "CMD", "run a command with an HTTPS server beside it", cmd_exec, false},
    {"cert", "COMMAND", "make and examine certificates", cmd_cert, false},
    {"acl", "COMMAND", "say what rules of access decide, and by which line", cmd_acl, false},
    {"ctl", "COMMAND", "ask a running server, and control it", cmd_ctl, false},
    {"trust", "COMMAND", "say how clients are told of an authority", cmd_trust, false},
    {"lab", "COMMAND", "TLS servers that are wrong in exactly one way", cmd_lab, false},
    {"completion", "SHELL", "print the completion for bash, zsh or fish", cmd_completion, false},
    {"version", NULL, "print the version", print_version, true},
    {"help", NULL, "print this text", print_usage, true},
    {"--version", NULL, NULL, print_version, true},
    {"-V", NULL, NULL, print_version, true},
};

const struct command_list commands_top = {NULL, NULL, rows, SHS_ARRAY_LEN(rows)};
