/*
 * lab_env.c - `shs lab env`, `hosts` and `hello`: what a shell or a client needs to find a lab, and
 * what the last client has offered.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/flags.h"
#include "cmd/lab.h"
#include "cmd/lab_env.h"
#include "testing/client.h"

/* The lab is on this machine, which may be a slow one that is busy. */
#define LIMIT_MS 15000u
#define NAME_MAX_BYTES 512

/* -- asking the lab ---------------------------------------------------------------------------- */

int lab_fetch(const char *host, unsigned port, const char *path, struct shs_test_answer **answer)
{
    struct shs_test_client_spec spec = {.host = host, .port = port};
    struct shs_test_request asked, request;
    struct shs_test_client client;
    struct shs_error err;

    shs_test_request_init(&asked);
    asked.target = path;
    if (shs__test_request_take(&request, &asked, &err) != SHS_OK)
        return cmd_fail(CMD_FAILED, "%s", err.text);
    spec.deadline_ns = shs__deadline_after(shs_now_ns(), LIMIT_MS);
    memset(&client, 0, sizeof client);
    client.fd = -1;
    if (shs__test_client_ask(answer, &spec, &request, &client, &err) != SHS_OK)
        return cmd_fail(CMD_FAILED, "no lab answers on port %u: %s", port, err.text);
    if (shs_test_answer_status(*answer) == 200)
        return CMD_OK;
    cmd_fail(CMD_FAILED, "the lab on port %u has no %s (%d)", port, path,
             shs_test_answer_status(*answer));
    shs_test_answer_free(*answer);
    *answer = NULL;
    return CMD_FAILED;
}

/* Where the lab is: as --port says, or the one that was started last. */
struct place {
    char host[LAB_HOST_MAX];
    unsigned port;
};

static int find_lab(struct place *place)
{
    if (place->port > 65535)
        return cmd_fail(CMD_USAGE, "--port %u is not a port", place->port);
    snprintf(place->host, sizeof place->host, "127.0.0.1");
    if (place->port > 0 || lab_here_find(place->host, &place->port))
        return CMD_OK;
    return cmd_fail(CMD_FAILED, "no lab of yours is served: start 'shs lab serve', or say the port "
                                "of one with --port");
}

static int fetch(struct place *place, const char *path, struct shs_test_answer **answer)
{
    int code = find_lab(place);

    return code == CMD_OK ? lab_fetch(place->host, place->port, path, answer) : code;
}

/* The next string of that key in JSON, from *at on; what the lab writes has no escapes in these. */
static bool next_string(const char **at, const char *key, char out[NAME_MAX_BYTES])
{
    char quoted[64];
    const char *found, *end;

    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    found = strstr(*at, quoted);
    if (found == NULL)
        return false;
    found += strlen(quoted);
    found += strspn(found, " ");
    end = found[0] == '"' ? strchr(found + 1, '"') : NULL;
    if (end == NULL || end - found > NAME_MAX_BYTES - 1)
        return false;
    snprintf(out, NAME_MAX_BYTES, "%.*s", (int)(end - found - 1), found + 1);
    *at = end;
    return true;
}

/* -- env --------------------------------------------------------------------------------------- */

enum shell { SHELL_SH, SHELL_FISH, SHELL_PWSH, SHELL_DOTENV, SHELL_GITHUB, SHELL_DOCKER };

static const char *const shells[] = {"sh", "fish", "pwsh", "dotenv", "github", "docker"};

struct printer {
    FILE *to;
    enum shell shell;
};

static void print_unset(const struct printer *p, const char *name)
{
    if (p->shell == SHELL_SH)
        fprintf(p->to, "unset %s\n", name);
    else if (p->shell == SHELL_FISH)
        fprintf(p->to, "set -e %s;\n", name);
    else if (p->shell == SHELL_PWSH)
        fprintf(p->to, "Remove-Item Env:%s -ErrorAction SilentlyContinue\n", name);
    else
        fprintf(p->to, "%s%s=\n", p->shell == SHELL_DOCKER ? "--env " : "", name);
}

/* In PowerShell a quote within quotes is two. */
static void print_pwsh(FILE *to, const char *name, const char *value)
{
    fprintf(to, "$env:%s = '", name);
    for (; *value != '\0'; value++) {
        if (*value == '\'')
            putc('\'', to);
        putc(*value, to);
    }
    fputs("'\n", to);
}

/* A trust_env_each function. */
static int print_variable(void *ctx, const char *name, const char *value)
{
    const struct printer *p = ctx;
    char *quoted;

    if (value == NULL) {
        print_unset(p, name);
        return CMD_OK;
    }
    quoted = cmd_shell_quote(value);
    if (quoted == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    if (p->shell == SHELL_SH)
        fprintf(p->to, "export %s=%s\n", name, quoted);
    else if (p->shell == SHELL_FISH)
        fprintf(p->to, "set -gx %s %s;\n", name, quoted);
    else if (p->shell == SHELL_PWSH)
        print_pwsh(p->to, name, value);
    else if (p->shell == SHELL_DOCKER)
        fprintf(p->to, "--env %s=%s\n", name, quoted);
    else
        fprintf(p->to, "%s=%s\n", name, value);
    shs__free(quoted);
    return CMD_OK;
}

static int find_shell(const char *name, enum shell *out)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(shells); i++) {
        if (name == NULL || strcmp(name, shells[i]) == 0) {
            *out = (enum shell)i;
            return CMD_OK;
        }
    }
    return cmd_fail(CMD_USAGE,
                    "--shell '%s' is not one of sh, fish, pwsh, dotenv, github and docker", name);
}

int lab_env_write(FILE *to, const struct trust_env *trust, const char *shell)
{
    struct printer p = {.to = to};
    int code = find_shell(shell, &p.shell);

    return code == CMD_OK ? trust_env_each(trust, print_variable, &p) : code;
}

static const char env_about[] =
    "usage: shs lab env [OPTION]...\n"
    "\n"
    "Prints every variable by which programs are told of an authority and of a proxy, for the lab\n"
    "that you have started last with 'shs lab serve', or that is on --port:\n"
    "\n"
    "    eval \"$(shs lab env)\"\n";

/* Also what Java and wget want, if the lab has a directory. */
static int print_env(const struct place *place, const char *manifest, const char *shell)
{
    char ca[NAME_MAX_BYTES], dir[NAME_MAX_BYTES], proxy[LAB_HOST_MAX + 32];
    struct trust_env trust = {
        .ca_path = ca,
        .proxy = proxy,
        .proxy_host = place->host,
        .proxy_port = place->port,
        .no_proxy = "",
    };
    char *p12 = NULL, *wgetrc = NULL;
    const char *at = manifest;
    int code;

    if (!next_string(&at, "ca_path", ca))
        return cmd_fail(CMD_FAILED, "what answers on port %u is not a lab", place->port);
    snprintf(proxy, sizeof proxy,
             strchr(place->host, ':') == NULL ? "http://%s:%u" : "http://[%s]:%u", place->host,
             place->port);
    at = manifest;
    if (next_string(&at, "dir", dir) && dir[0] != '\0') {
        trust.p12_path = p12 = shs__asprintf("%s/ca.p12", dir);
        trust.wgetrc = wgetrc = shs__asprintf("%s/wgetrc", dir);
        trust.php_dir = dir;
    }
    code = lab_env_write(stdout, &trust, shell);
    shs__free(p12);
    shs__free(wgetrc);
    return code;
}

int lab_env(int argc, char **argv)
{
    static struct flag_list operands;
    struct shs_test_answer *answer = NULL;
    const char *shell_name = NULL;
    struct place place = {.port = 0};
    enum shell shell;
    int code;
    const struct flag flags[] = {
        {"port", FLAG_NUMBER, &place.port, "PORT", "of the lab (the one that was started last)"},
        {"shell", FLAG_TEXT, &shell_name, "NAME", "sh (default) fish pwsh dotenv github docker"},
    };

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 0, env_about, NULL, &code))
        return code;
    code = find_shell(shell_name, &shell);
    if (code == CMD_OK)
        code = fetch(&place, "/manifest.json", &answer);
    if (code == CMD_OK)
        code = print_env(&place, shs_test_answer_body(answer).ptr, shell_name);
    shs_test_answer_free(answer);
    return code;
}

/* -- hosts ------------------------------------------------------------------------------------- */

static const char *const host_formats[] = {"hosts", "curl", "chromium", "pac", "dnsmasq"};

/* An address is not a name that something could be told of. */
static bool is_address(const char *host)
{
    return strchr(host, ':') != NULL || host[strspn(host, "0123456789.")] == '\0';
}

static void print_host(FILE *to, const char *format, const char *host, unsigned port)
{
    if (is_address(host))
        return;
    if (strcmp(format, "curl") == 0)
        fprintf(to, "connect-to = \"%s:443:127.0.0.1:%u\"\n", host, port);
    else
        fprintf(to, "127.0.0.1 %s\n", host);
}

int lab_hosts_write(FILE *to, const char *format, const char *manifest, unsigned port)
{
    char domain[NAME_MAX_BYTES], host[NAME_MAX_BYTES];
    const char *at = manifest;

    if (!next_string(&at, "domain", domain))
        return cmd_fail(CMD_FAILED, "what answers on port %u is not a lab", port);
    if (strcmp(format, "chromium") == 0) {
        fprintf(to, "--host-resolver-rules=\"MAP *.%s:443 127.0.0.1:%u\"\n", domain, port);
    } else if (strcmp(format, "dnsmasq") == 0) {
        fprintf(to, "address=/%s/127.0.0.1\n", domain);
    } else {
        while (next_string(&at, "host", host))
            print_host(to, format, host, port);
    }
    return CMD_OK;
}

static const char hosts_about[] =
    "usage: shs lab hosts [OPTION]...\n"
    "\n"
    "For clients that know no proxy: where the names of the lab are. hosts: lines of\n"
    "/etc/hosts (the client then has to ask the lab's port); curl: a configuration for --config;\n"
    "chromium: a flag; pac: a proxy script; dnsmasq: a line of its configuration.\n";

int lab_hosts(int argc, char **argv)
{
    static struct flag_list operands;
    struct shs_test_answer *answer = NULL;
    const char *format = "hosts";
    struct place place = {.port = 0};
    bool known = false;
    int code;
    const struct flag flags[] = {
        {"port", FLAG_NUMBER, &place.port, "PORT", "of the lab (the one that was started last)"},
        {"format", FLAG_TEXT, &format, "NAME", "hosts (default) curl chromium pac dnsmasq"},
    };

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 0, hosts_about, NULL,
                     &code))
        return code;
    for (size_t i = 0; i < SHS_ARRAY_LEN(host_formats); i++)
        known = known || strcmp(format, host_formats[i]) == 0;
    if (!known)
        return cmd_fail(CMD_USAGE,
                        "--format '%s' is not one of hosts, curl, chromium, pac and dnsmasq",
                        format);
    code = fetch(&place, strcmp(format, "pac") == 0 ? "/proxy.pac" : "/manifest.json", &answer);
    if (code != CMD_OK)
        return code;
    if (strcmp(format, "pac") == 0)
        fputs(shs_test_answer_body(answer).ptr, stdout);
    else
        code = lab_hosts_write(stdout, format, shs_test_answer_body(answer).ptr, place.port);
    shs_test_answer_free(answer);
    return code;
}

/* -- hello ------------------------------------------------------------------------------------- */

static const char hello_about[] =
    "usage: shs lab hello [--port PORT]\n"
    "\n"
    "Prints what the last client that came to the lab offered, as JSON.\n";

int lab_hello(int argc, char **argv)
{
    static struct flag_list operands;
    struct shs_test_answer *answer = NULL;
    struct place place = {.port = 0};
    int code;
    const struct flag flags[] = {
        {"port", FLAG_NUMBER, &place.port, "PORT", "of the lab (the one that was started last)"}};

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 0, hello_about, NULL,
                     &code))
        return code;
    code = fetch(&place, "/hello", &answer);
    if (code != CMD_OK)
        return code;
    puts(shs_test_answer_body(answer).ptr);
    shs_test_answer_free(answer);
    return CMD_OK;
}
