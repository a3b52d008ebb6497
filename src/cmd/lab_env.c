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
#include "cmd/trust_env.h"
#include "testing/client.h"

#define LIMIT_MS 5000u
#define NAME_MAX_BYTES 512

/* -- asking the lab ---------------------------------------------------------------------------- */

static int fetch(unsigned port, const char *path, struct shs_test_answer **answer)
{
    struct shs_test_client_spec spec = {.host = "127.0.0.1", .port = port};
    struct shs_test_request asked, request;
    struct shs_test_client client;
    struct shs_error err;

    if (port == 0 || port > 65535)
        return cmd_fail(CMD_USAGE,
                        "the port of the lab is needed: --port, as 'shs lab serve' says it");
    shs_test_request_init(&asked);
    asked.target = path;
    shs__test_request_take(&request, &asked);
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
    return CMD_FAILED;
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

static void print_unset(enum shell shell, const char *name)
{
    if (shell == SHELL_SH)
        printf("unset %s\n", name);
    else if (shell == SHELL_FISH)
        printf("set -e %s;\n", name);
    else if (shell == SHELL_PWSH)
        printf("Remove-Item Env:%s -ErrorAction SilentlyContinue\n", name);
    else
        printf("%s%s=\n", shell == SHELL_DOCKER ? "--env " : "", name);
}

/* A trust_env_each function. */
static int print_variable(void *ctx, const char *name, const char *value)
{
    enum shell shell = *(enum shell *)ctx;
    char *quoted;

    if (value == NULL) {
        print_unset(shell, name);
        return CMD_OK;
    }
    quoted = cmd_shell_quote(value);
    if (quoted == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    if (shell == SHELL_SH)
        printf("export %s=%s\n", name, quoted);
    else if (shell == SHELL_FISH)
        printf("set -gx %s %s;\n", name, quoted);
    else if (shell == SHELL_PWSH)
        printf("$env:%s = '%s'\n", name, value);
    else if (shell == SHELL_DOCKER)
        printf("--env %s=%s\n", name, quoted);
    else
        printf("%s=%s\n", name, value);
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
    return cmd_fail(CMD_USAGE, "--shell '%s' is none of sh, fish, pwsh, dotenv, github and docker",
                    name);
}

static const char env_about[] =
    "usage: shs lab env --port PORT [OPTION]...\n"
    "\n"
    "Prints every variable by which programs are told of an authority and of a proxy, for the lab\n"
    "that 'shs lab serve' serves on that port:\n"
    "\n"
    "    eval \"$(shs lab env --port 41443)\"\n";

int lab_env(int argc, char **argv)
{
    static struct flag_list operands;
    struct shs_test_answer *answer = NULL;
    char ca[NAME_MAX_BYTES], proxy[64];
    const char *shell_name = NULL, *at;
    struct trust_env trust = {.proxy = proxy, .no_proxy = ""};
    enum shell shell = SHELL_SH;
    unsigned port = 0;
    int code;
    const struct flag flags[] = {
        {"port", FLAG_NUMBER, &port, "PORT", "of the lab"},
        {"shell", FLAG_TEXT, &shell_name, "NAME", "sh (default) fish pwsh dotenv github docker"},
    };

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 0, env_about, NULL, &code))
        return code;
    code = find_shell(shell_name, &shell);
    if (code == CMD_OK)
        code = fetch(port, "/manifest.json", &answer);
    if (code != CMD_OK)
        return code;
    at = shs_test_answer_body(answer).ptr;
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", port);
    if (next_string(&at, "ca_path", ca)) {
        trust.ca_path = ca;
        code = trust_env_each(&trust, print_variable, &shell);
    } else {
        code = cmd_fail(CMD_FAILED, "what answers on port %u is no lab", port);
    }
    shs_test_answer_free(answer);
    return code;
}

/* -- hosts ------------------------------------------------------------------------------------- */

static const char *const host_formats[] = {"hosts", "curl", "chromium", "pac", "dnsmasq"};

static void print_host(const char *format, const char *host, unsigned port)
{
    if (strcmp(format, "curl") == 0)
        printf("connect-to = \"%s:443:127.0.0.1:%u\"\n", host, port);
    else
        printf("127.0.0.1 %s\n", host);
}

static int print_hosts(const char *format, const char *json, unsigned port)
{
    char domain[NAME_MAX_BYTES], host[NAME_MAX_BYTES];
    const char *at = json;

    if (!next_string(&at, "domain", domain))
        return cmd_fail(CMD_FAILED, "what answers on port %u is no lab", port);
    if (strcmp(format, "chromium") == 0) {
        printf("--host-resolver-rules=\"MAP *.%s:443 127.0.0.1:%u\"\n", domain, port);
    } else if (strcmp(format, "dnsmasq") == 0) {
        printf("address=/%s/127.0.0.1\n", domain);
    } else {
        while (next_string(&at, "host", host))
            print_host(format, host, port);
    }
    return CMD_OK;
}

static const char hosts_about[] =
    "usage: shs lab hosts --port PORT [OPTION]...\n"
    "\n"
    "For clients that know no proxy: where the names of the lab on that port are. hosts: lines of\n"
    "/etc/hosts (the client then has to ask the lab's port); curl: a configuration for --config;\n"
    "chromium: a flag; pac: a proxy script; dnsmasq: a line of its configuration.\n";

int lab_hosts(int argc, char **argv)
{
    static struct flag_list operands;
    struct shs_test_answer *answer = NULL;
    const char *format = "hosts";
    unsigned port = 0;
    bool known = false;
    int code;
    const struct flag flags[] = {
        {"port", FLAG_NUMBER, &port, "PORT", "of the lab"},
        {"format", FLAG_TEXT, &format, "NAME", "hosts (default) curl chromium pac dnsmasq"},
    };

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 0, hosts_about, NULL,
                     &code))
        return code;
    for (size_t i = 0; i < SHS_ARRAY_LEN(host_formats); i++)
        known = known || strcmp(format, host_formats[i]) == 0;
    if (!known)
        return cmd_fail(CMD_USAGE,
                        "--format '%s' is none of hosts, curl, chromium, pac and dnsmasq", format);
    code = fetch(port, strcmp(format, "pac") == 0 ? "/proxy.pac" : "/manifest.json", &answer);
    if (code != CMD_OK)
        return code;
    if (strcmp(format, "pac") == 0)
        fputs(shs_test_answer_body(answer).ptr, stdout);
    else
        code = print_hosts(format, shs_test_answer_body(answer).ptr, port);
    shs_test_answer_free(answer);
    return code;
}

/* -- hello ------------------------------------------------------------------------------------- */

static const char hello_about[] =
    "usage: shs lab hello --port PORT\n"
    "\n"
    "Prints what the last client that came to the lab on that port offered, as JSON.\n";

int lab_hello(int argc, char **argv)
{
    static struct flag_list operands;
    struct shs_test_answer *answer = NULL;
    unsigned port = 0;
    int code;
    const struct flag flags[] = {{"port", FLAG_NUMBER, &port, "PORT", "of the lab"}};

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 0, hello_about, NULL,
                     &code))
        return code;
    code = fetch(port, "/hello", &answer);
    if (code != CMD_OK)
        return code;
    puts(shs_test_answer_body(answer).ptr);
    shs_test_answer_free(answer);
    return CMD_OK;
}
