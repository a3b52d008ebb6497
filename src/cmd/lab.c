/* lab.c - `shs lab`: finds the subcommand. */
#include "cmd/lab.h"

#include "cmd/cmd.h"
#include "cmd/commands.h"

int cmd_lab(int argc, char **argv)
{
    static const struct command rows[] = {
        {"serve", NULL, "serve them all on one port", lab_serve, false},
        {"list", NULL, "what they are, and what a careful client does with each", lab_list, false},
        {"run", "CMD", "send a client through all of them, and score it", lab_run, false},
        {"env", NULL, "every variable by which programs are told of a lab that is served", lab_env,
         false},
        {"hosts", NULL, "the same for clients that know no proxy", lab_hosts, false},
        {"hello", NULL, "what the last client offered", lab_hello, false},
        {"check-server", "URL", "test a server with bad client certificates", lab_check_server,
         false},
    };
    static const struct command_list list = {
        "lab", "A laboratory for TLS clients: servers that are wrong in exactly one way.\n", rows,
        SHS_ARRAY_LEN(rows)};

    return commands_run(&list, argc, argv);
}
