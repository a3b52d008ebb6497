/*
 * main.c - `shs`: finds the subcommand and leaves the rest to it.
 */
#include <stdio.h>

#include <shs/version.h>

#include "cmd/cmd.h"

static const char usage[] = "usage: shs COMMAND [OPTION]...\n"
                            "\n"
                            "commands:\n"
                            "  serve [DIR]   serve a directory over HTTPS\n"
                            "  check         say what of a server's files breaks, and when\n"
                            "  exec CMD      run a command with an HTTPS server beside it\n"
                            "  cert COMMAND  make and examine certificates\n"
                            "  acl COMMAND   say what rules of access decide, and by which line\n"
                            "  ctl COMMAND   ask a server that runs, and steer it\n"
                            "  trust print   say how clients are told of an authority\n"
                            "  lab COMMAND   TLS servers that are wrong in exactly one way\n"
                            "  version       print the version\n"
                            "  help          print this text\n"
                            "\n"
                            "'shs COMMAND --help' tells more about a command.\n";

static int print_usage(int argc, char **argv)
{
    SHS_UNUSED(argc);
    SHS_UNUSED(argv);
    fputs(usage, stdout);
    return CMD_OK;
}

static int print_version(int argc, char **argv)
{
    SHS_UNUSED(argc);
    SHS_UNUSED(argv);
    printf("shs %s\n", shs_version());
    return CMD_OK;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", cmd_serve},       {"check", cmd_check},
    {"exec", cmd_exec},         {"ctl", cmd_ctl},
    {"cert", cmd_cert},         {"acl", cmd_acl},
    {"trust", cmd_trust},       {"lab", cmd_lab},
    {"version", print_version}, {"--version", print_version},
    {"-V", print_version},      {"help", print_usage},
    {"--help", print_usage},    {"-h", print_usage},
};

int main(int argc, char **argv)
{
    int rc;

    if (argc < 2)
        return cmd_fail(CMD_USAGE, "a command is missing; try 'shs help'");
    for (size_t i = 0; i < SHS_ARRAY_LEN(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        rc = commands[i].run(argc - 1, argv + 1);
        if (fflush(stdout) != 0 && rc == CMD_OK)
            return cmd_fail(CMD_FAILED, "cannot write to the standard output");
        return rc;
    }
    return cmd_fail(CMD_USAGE, "unknown command '%s'; try 'shs help'", argv[1]);
}
