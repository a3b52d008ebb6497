/*
 * lab.h - the subcommands of `shs lab`.
 */
#ifndef SHS_CMD_LAB_H
#define SHS_CMD_LAB_H

/* argv[0] is "lab NAME", for messages. Each returns an exit code. */
int lab_serve(int argc, char **argv);
int lab_list(int argc, char **argv);
int lab_run(int argc, char **argv);
int lab_env(int argc, char **argv);
int lab_hosts(int argc, char **argv);
int lab_hello(int argc, char **argv);
int lab_check_server(int argc, char **argv);

#endif
