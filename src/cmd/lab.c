/* lab.c - `shs lab`: finds the subcommand. */
#include "cmd/lab.h"

#include <stdio.h>

#include "cmd/cmd.h"

static const char usage[] =
    "usage: shs lab COMMAND [OPTION]...\n"
    "\n"
    "A laboratory for TLS clients: servers that are wrong in exactly one way.\n"
    "\n"
    "  serve          serve them all on one port\n"
    "  list           what they are, and what a careful client does with each\n"
    "  run            send a client through all of them, and score it\n"
    "  env            every variable by which programs are told of a lab that is served\n"
    "  hosts          the same for clients that know no proxy\n"
    "  hello          what the last client offered\n"
    "  check-server   the lab turned round: bad client certificates knock at a server\n"
    "\n"
    "'shs lab COMMAND --help' tells more about each.\n";

int cmd_lab(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"serve", lab_serve},
                    {"list", lab_list},
                    {"run", lab_run},
                    {"env", lab_env},
                    {"hosts", lab_hosts},
                    {"hello", lab_hello},
                    {"check-server", lab_check_server}};
    char name[40];

    if (argc < 2)
        return cmd_fail(CMD_USAGE, "shs lab needs a command; try 'shs lab --help'");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(usage, stdout);
        return CMD_OK;
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        snprintf(name, sizeof name, "lab %s", commands[i].name);
        argv[1] = name;
        return commands[i].run(argc - 1, argv + 1);
    }
    return cmd_fail(CMD_USAGE, "unknown command 'lab %s'; try 'shs lab --help'", argv[1]);
}
