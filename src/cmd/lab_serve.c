/* lab_serve.c - `shs lab serve`: the lab until somebody stops it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <shs/certs.h>
#include <shs/lab.h>

#include "cmd/cmd.h"
#include "cmd/flags.h"
#include "cmd/lab.h"
#include "cmd/lab_dir.h"
#include "cmd/lab_env.h"
#include "cmd/stop_signals.h"
#include "cmd/whole_file.h"

#define SECONDS_MAX 1000000

static const char about[] =
    "usage: shs lab serve [OPTION]...\n"
    "\n"
    "Serves TLS that is wrong in exactly one way, a way for each name: "
    "https://expired.badssl.test\n"
    "and some two hundred others on one port of this computer. Clients reach it through\n"
    "--proxy http://127.0.0.1:PORT, which leads to the lab and nowhere else; the same port has, "
    "in\n"
    "plain HTTP, a page that lists the names, /manifest.json, /ca.pem, /ca.p12 (for Java), /crl/,\n"
    "/ocsp, /proxy.pac, /hello (what the last client offered) and /log. Nothing is left at its "
    "end.\n";

struct args {
    struct flag_list operands;
    struct shs_lab_options o;
    const char *listen, *now, *ready_file, *dir;
    struct flag_list only, except;
    struct lab_dir files;
    char host[256];
    unsigned ready_fd;
    int64_t exit_after, stall;
    bool log, with_parent;
};

/* "127.0.0.1:0" or "[::1]:8443" or a port. */
static bool split_listen(struct args *a)
{
    const char *colon = strrchr(a->listen, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - a->listen);
    const char *host = a->listen;

    a->o.port = colon == NULL ? a->listen : colon + 1;
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len >= sizeof a->host || a->o.port[0] == '\0' ||
        a->o.port[strspn(a->o.port, "0123456789")] != '\0')
        return false;
    memcpy(a->host, host, len);
    a->host[len] = '\0';
    a->o.host = len == 0 ? NULL : a->host;
    return true;
}

/* A shs_log_fn: a line at a time, for stdio has a lock. What is wrong is no line of JSON. */
static void print_log(void *ctx, enum shs_log_level level, const char *line)
{
    struct args *a = ctx;

    if (level <= SHS_LOG_WARNING) {
        cmd_warn("%s", line);
        return;
    }
    if (a->log)
        fprintf(stderr, "%s\n", line);
    if (a->files.log != NULL)
        lab_dir_log(&a->files, line);
}

static int settle(struct args *a)
{
    struct shs_error err = {.code = SHS_OK};

    if (!split_listen(a))
        return cmd_fail(CMD_USAGE, "--listen takes ADDRESS:PORT or PORT, not '%s'", a->listen);
    if (a->now != NULL && shs_parse_date(&a->o.now, a->now, (int64_t)time(NULL), &err) != SHS_OK)
        return cmd_fail(CMD_USAGE, "%s", err.text);
    if (a->stall > SECONDS_MAX || a->exit_after > SECONDS_MAX)
        return cmd_fail(CMD_USAGE, "that is more than %d seconds", SECONDS_MAX);
    a->o.stall_ms = (unsigned)a->stall * 1000;
    a->o.log = print_log;
    a->o.log_ctx = a;
    a->o.only = a->only.count > 0 ? a->only.items : NULL;
    a->o.except = a->except.items;
    a->o.temp_dir = getenv("TMPDIR");
    if (a->o.temp_dir != NULL && a->o.temp_dir[0] != '/')
        a->o.temp_dir = NULL;
    return CMD_OK;
}

/* -- being ready ------------------------------------------------------------------------------- */

/* What a first look is taken at: a condition that is served, and that curl refuses at once. */
static const struct shs_condition *first_look(const struct shs_lab *lab)
{
    const struct shs_condition *c = shs_lab_find(lab, "expired");

    if (c != NULL && c->servable)
        return c;
    for (c = shs_lab_first(lab); c != NULL; c = shs_lab_next(lab, c)) {
        if (c->servable && c->expect == SHS_LAB_REJECT && !c->hangs)
            return c;
    }
    return shs_lab_find(lab, "good");
}

static int print_hello(const struct shs_lab *lab)
{
    const struct shs_condition *c;
    char *ca = cmd_shell_quote(shs_lab_ca_path(lab));
    size_t missing = 0;

    for (c = shs_lab_first(lab); c != NULL; c = shs_lab_next(lab, c))
        missing += c->servable ? 0 : 1;
    printf("lab     https://%s:%u   domain %s   %zu conditions", shs_lab_host(lab),
           shs_lab_port(lab), shs_lab_domain(lab), shs_lab_count(lab));
    if (missing > 0) {
        printf(" (%zu not servable here:", missing);
        for (c = shs_lab_first(lab); c != NULL; c = shs_lab_next(lab, c)) {
            if (!c->servable)
                printf(" %s", c->id);
        }
        putchar(')');
    }
    printf("\ntrust   %s   for names under .%s and loopback alone; gone at the end\n", ca,
           strrchr(shs_lab_domain(lab), '.') + 1);
    printf("page    %s/\n", shs_lab_proxy_url(lab));
    printf("try     curl --proxy %s --cacert %s https://%s/\n", shs_lab_proxy_url(lab), ca,
           first_look(lab)->host);
    printf("shell   eval \"$(shs lab env)\"\nrun     shs lab run --preset curl\n");
    shs__free(ca);
    return cmd_flush();
}

static int say_ready(const struct args *a, const struct shs_lab *lab)
{
    char line[64], why[64];
    int fd = (int)a->ready_fd, code = CMD_OK;
    struct whole_file file;

    snprintf(line, sizeof line, "%u\n", shs_lab_port(lab));
    if (fd > 0 && (shs__write_all(fd, line, strlen(line)) != SHS_OK || close(fd) != 0))
        code = cmd_fail(CMD_FAILED, "cannot write to --ready-fd %d: %s", fd,
                        shs__strerror(errno, why, sizeof why));
    if (a->ready_file == NULL || code != CMD_OK)
        return code;
    code = whole_file_open(&file, a->ready_file);
    if (code != CMD_OK)
        return code;
    (void)fputs(line, file.to);
    return whole_file_close(&file);
}

/* -- the wait ---------------------------------------------------------------------------------- */

/* Until SIGINT or SIGTERM, the time to exit, or the end of the parent. */
static void wait_for_end(const struct args *a, const sigset_t *signals)
{
    int64_t end = shs_now_ns() + a->exit_after * SHS_NS_PER_S;
    pid_t parent = getppid();

    for (;;) {
        struct timespec step = {.tv_sec = 1};
        int64_t left = end - shs_now_ns();

        if (a->exit_after > 0 && left <= 0)
            return;
        if (a->exit_after > 0 && left < SHS_NS_PER_S)
            step = (struct timespec){.tv_nsec = (long)left};
        if (sigtimedwait(signals, NULL, &step) > 0)
            return;
        if (a->with_parent && getppid() != parent)
            return;
    }
}

static int serve(struct args *a, const sigset_t *signals)
{
    struct shs_error err = {.code = SHS_OK};
    struct shs_lab *lab = NULL;
    int code;

    if (shs_lab_start(&lab, &a->o, &err) != SHS_OK)
        return cmd_fail(err.code == SHS_USAGE ? CMD_USAGE : CMD_FAILED, "%s", err.text);
    code = a->dir == NULL ? CMD_OK : lab_dir_fill(&a->files, lab);
    if (code == CMD_OK) {
        lab_here_note(shs_lab_host(lab),
                      shs_lab_port(lab)); /* who has read the next line finds it */
        code = print_hello(lab);
    }
    if (code == CMD_OK)
        code = say_ready(a, lab);
    if (code == CMD_OK)
        wait_for_end(a, signals);
    lab_here_forget();
    shs_lab_stop(lab);
    return code;
}

static int run(struct args *a)
{
    sigset_t signals;
    int code = CMD_OK;

    /* Blocked before the lab's threads are made, so that this one alone has them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGQUIT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    stop_signals_ignore_pipe();
    if (a->dir != NULL)
        code = lab_dir_make(&a->files, a->dir);
    if (code == CMD_OK && a->dir != NULL) {
        a->o.dir = a->files.path;
        a->o.keylog = a->o.keylog == NULL ? a->files.keylog : a->o.keylog;
    }
    if (code == CMD_OK)
        code = serve(a, &signals);
    lab_dir_remove(&a->files);
    return code;
}

int lab_serve(int argc, char **argv)
{
    static struct args a;
    const struct flag flags[] = {
        {"listen", FLAG_TEXT, &a.listen, "ADDRESS:PORT",
         "where (127.0.0.1:0, a port that is free)"},
        {"domain", FLAG_TEXT, &a.o.domain, "NAME", "of the names (badssl.test)"},
        {"only", FLAG_LIST, &a.only, "GLOB", "these conditions alone, and 'good'; may be repeated"},
        {"except", FLAG_LIST, &a.except, "GLOB", "not these; may be repeated"},
        {"dir", FLAG_TEXT, &a.dir, "DIR",
         "all of it as files too, until it ends: authorities,\ncertificates and keys, manifest, "
         "env.sh, hosts,\na log (slow keys are made first)"},
        {"ip-base", FLAG_TEXT, &a.o.ip_base, "ADDRESS",
         "a network of loopback addresses for what is visited\nby address (127.0.1.0)"},
        {"now", FLAG_TEXT, &a.now, "DATE", "what now is for all that is made: +30d, 2026-11-28"},
        {"stall", FLAG_SPAN, &a.stall, "TIME",
         "how long a server that says nothing keeps a client\n(30s)"},
        {"no-connect", FLAG_SET, &a.o.no_connect, NULL, "CONNECT is refused"},
        {"strict", FLAG_SET, &a.o.strict, NULL,
         "a name that is not a condition gets an alert, not a page"},
        {"keylog", FLAG_TEXT, &a.o.keylog, "FILE", "append the secrets of all sessions"},
        {"log", FLAG_SET, &a.log, NULL, "a line of JSON for each connection on stderr"},
        {"ready-fd", FLAG_NUMBER, &a.ready_fd, "N",
         "write the port to this descriptor when it listens,\nand close it"},
        {"ready-file", FLAG_TEXT, &a.ready_file, "FILE", "write the port to it when it listens"},
        {"exit-after", FLAG_SPAN, &a.exit_after, "TIME", "end by itself: 10m"},
        {"exit-with-parent", FLAG_SET, &a.with_parent, NULL,
         "end when the process that started it ends"},
        {"insecure-address", FLAG_SET, &a.o.insecure_address, NULL,
         "--listen may be more than loopback"},
    };
    int code;

    shs_lab_options_init(&a.o);
    a.listen = "127.0.0.1:0";
    a.stall = 30;
    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &a.operands, 0, about, NULL, &code))
        return code;
    code = settle(&a);
    return code == CMD_OK ? run(&a) : code;
}
