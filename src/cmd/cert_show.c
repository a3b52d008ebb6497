/* cert_show.c - `shs cert show` and `shs cert check`. */
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/chars.h"
#include "certs/look.h"
#include "cmd/cert.h"
#include "cmd/stop_signals.h"

#define OUT_CEILING ((size_t)8 << 20)
#define FINDINGS_MAX 64

/* `shs cert check`'s exit codes, beside CMD_OK. */
#define CHECK_SOON 1
#define CHECK_BROKEN 2
#define CHECK_UNREACHABLE 3

struct look_args {
    struct flag_list operands;
    const char *ca, *host, *now;
    unsigned timeout;
    int64_t expires_in;
    bool json, client, strict;
};

#define LOOK_FLAGS(a)                                                                              \
    {"ca", FLAG_TEXT, &(a)->ca, "CA",                                                              \
     "also judge the chain as a client that trusts this: PEM,\nor a directory with ca.pem"},       \
        {"host", FLAG_TEXT, &(a)->host, "NAME",                                                    \
         "the name it must be for; for HOST:PORT also what the\nserver is asked for (HOST)"},      \
        {"client", FLAG_SET, &(a)->client, NULL, "it is a client's certificate"},                  \
        {"strict", FLAG_SET, &(a)->strict, NULL,                                                   \
         "judge as a strict verifier, such as Python 3.13"},                                       \
        {"now", FLAG_TEXT, &(a)->now, "DATE", "judge as at that time: +30d, 2026-11-28"},          \
        {"timeout", FLAG_NUMBER, &(a)->timeout, "SECONDS", "for a server (10)"},                   \
    {                                                                                              \
        "json", FLAG_SET, &(a)->json, NULL, "JSON instead of text"                                 \
    }

/* "[::1]:443" or "host:443" in two; false: it is none. */
static bool split_place(const char *place, char *host, size_t cap, const char **port)
{
    const char *colon = strrchr(place, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - place);

    if (len == 0 || colon[1] == '\0' || colon[1 + strspn(colon + 1, "0123456789")] != '\0')
        return false;
    *port = colon + 1;
    if (place[0] == '[' && place[len - 1] == ']') {
        place++;
        len -= 2;
    } else if (memchr(place, ':', len) != NULL) {
        return false; /* an IPv6 address without brackets */
    }
    if (len == 0 || len >= cap)
        return false;
    memcpy(host, place, len);
    host[len] = '\0';
    return true;
}

/* "https://host/path" as "host:443": people copy what is in front of them. */
static const char *strip_url(const char *url)
{
    static char out[300];
    const char *place = url + 8, *from;
    size_t len;

    if (strncasecmp(url, "https://", 8) != 0)
        return url;
    len = strcspn(place, "/?#");
    from = place[0] == '[' ? memchr(place, ']', len) : place;
    if (from == NULL || len > sizeof out - 8)
        return url;
    snprintf(out, sizeof out, "%.*s%s", (int)len, place,
             memchr(from, ':', len - (size_t)(from - place)) != NULL ? "" : ":443");
    return out;
}

static bool is_address(const char *host)
{
    return strchr(host, ':') != NULL || host[strspn(host, "0123456789.")] == '\0';
}

/* More than a number has room for is as good as for ever. */
static unsigned timeout_ms(const struct look_args *a)
{
    return a->timeout < UINT_MAX / 1000 ? a->timeout * 1000 : UINT_MAX;
}

static int open_look(struct look_args *a, struct shs__look **out, int unreachable)
{
    static char host[256];
    struct shs_error err = {.code = SHS_OK};
    const char *place = strip_url(a->operands.items[0]), *port = NULL;
    struct stat info;
    char *text = NULL;
    size_t len = 0;
    unsigned number;
    int code = CMD_OK;

    if (stat(place, &info) != 0 && split_place(place, host, sizeof host, &port)) {
        const char *sni = a->host != NULL ? a->host : host;

        /* The C library takes greater numbers, and uses what is left of them: another port. */
        if (!shs__read_port(shs_str_of(port), &number) || number == 0)
            return cmd_fail(CMD_USAGE, "'%.300s' has no port from 1 to 65535", place);
        stop_signals_ignore_pipe();
        if (shs__look_host(out, host, port, is_address(sni) ? NULL : sni, timeout_ms(a), &err) !=
            SHS_OK)
            return cmd_fail(unreachable, "%s", err.text);
        if (a->host == NULL)
            a->host = host;
        return CMD_OK;
    }
    if (cert_read(place, &text, &len) != CMD_OK)
        return unreachable;
    if (shs__look_bytes(out, text, len, &err) != SHS_OK)
        code = cmd_fail(unreachable, "%s: %s", place, err.text);
    shs_bytes_free(text, len);
    return code;
}

static int make_wish(const struct look_args *a, struct shs__look_wish *wish, char **ca)
{
    struct shs_error err = {.code = SHS_OK};
    struct stat info;
    char *path;
    int code = CMD_OK;

    *wish = (struct shs__look_wish){
        .host = a->host,
        .now = (int64_t)time(NULL),
        .expires_in = a->expires_in,
        .client = a->client,
        .strict = a->strict,
    };
    if (a->now != NULL && shs_parse_date(&wish->now, a->now, wish->now, &err) != SHS_OK)
        return cert_fail(&err);
    if (a->ca != NULL && stat(a->ca, &info) == 0 && S_ISDIR(info.st_mode)) {
        path = shs__asprintf("%s/ca.pem", a->ca);
        code = path == NULL ? cmd_fail(CMD_FAILED, "out of memory")
                            : cert_read(path, ca, &wish->ca_pem_len);
        shs__free(path);
    } else if (a->ca != NULL) {
        code = cert_read(a->ca, ca, &wish->ca_pem_len);
    }
    wish->ca_pem = *ca;
    return code;
}

static int print_look(const struct shs__look *look, const struct shs__look_wish *wish, bool json)
{
    struct shs_buf out;
    int code = CMD_OK;

    shs__buf_init(&out, OUT_CEILING);
    if (shs__look_print(look, wish, json, &out) != SHS_OK)
        code = cmd_fail(CMD_FAILED, "there is too much of it to print");
    else
        fwrite(shs__buf_head(&out), 1, out.len, stdout);
    shs__buf_free(&out);
    return code;
}

static const char show_about[] =
    "usage: shs cert show FILE|HOST:PORT|URL [OPTION]...\n"
    "\n"
    "Says what is in a certificate and its chain, and why clients would refuse it.\n";

int cert_show(int argc, char **argv)
{
    static struct look_args a;
    struct shs__look *look = NULL;
    struct shs__look_wish wish;
    char *ca = NULL;
    const struct flag flags[] = {LOOK_FLAGS(&a)};
    int code;

    a.timeout = 10;
    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &a.operands, 1, show_about, NULL,
                     &code))
        return code;
    if (a.operands.count == 0)
        return cmd_fail(CMD_USAGE, "shs cert show needs a file or HOST:PORT");
    code = open_look(&a, &look, CMD_FAILED);
    if (code == CMD_OK)
        code = make_wish(&a, &wish, &ca);
    if (code == CMD_OK)
        code = print_look(look, &wish, a.json);
    if (ca != NULL)
        shs_bytes_free(ca, strlen(ca));
    shs__look_free(look);
    return code;
}

static const char check_about[] =
    "usage: shs cert check FILE|HOST:PORT|URL [OPTION]...\n"
    "\n"
    "Judges a certificate: exit status 0 when it is fine, 1 when it expires soon, 2 when clients\n"
    "would refuse it, 3 when it cannot be read or the server cannot be reached.\n";

/* One line a finding, and the exit code that is the worst of them. */
static int verdict(const struct shs__look *look, const struct shs__look_wish *wish,
                   const char *place, bool quiet)
{
    static struct shs__finding list[FINDINGS_MAX];
    size_t count = shs__look_judge(look, wish, list, FINDINGS_MAX);
    int code = CMD_OK;

    for (size_t i = 0; i < count; i++) {
        if (list[i].level == SHS_FINDING_NOTE)
            continue;
        if (!quiet)
            printf("%s %s: %s\n",
                   list[i].level == SHS_FINDING_ERROR     ? "error  "
                   : list[i].level == SHS_FINDING_WARNING ? "warning"
                                                          : "soon   ",
                   list[i].word, list[i].text);
        if (list[i].level == SHS_FINDING_ERROR)
            code = CHECK_BROKEN;
        else if (list[i].level == SHS_FINDING_SOON && code == CMD_OK)
            code = CHECK_SOON;
    }
    if (code == CMD_OK && !quiet)
        printf("fine    %s\n", place);
    return code;
}

int cert_check(int argc, char **argv)
{
    static struct look_args a;
    struct shs__look *look = NULL;
    struct shs__look_wish wish;
    char *ca = NULL;
    const struct flag flags[] = {
        {"expires-in", FLAG_SPAN, &a.expires_in, "TIME",
         "status 1 when it expires within this time: 30d, 12h (14d)"},
        LOOK_FLAGS(&a),
    };
    int code;

    a.timeout = 10;
    a.expires_in = 14 * 86400;
    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &a.operands, 1, check_about, NULL,
                     &code))
        return code;
    if (a.operands.count == 0)
        return cmd_fail(CMD_USAGE, "shs cert check needs a file or HOST:PORT");
    code = open_look(&a, &look, CHECK_UNREACHABLE);
    if (code == CMD_OK) {
        code = make_wish(&a, &wish, &ca);
        if (code == CMD_FAILED) /* 1 would say that it runs out soon */
            code = CHECK_UNREACHABLE;
    }
    if (code == CMD_OK && a.json)
        code = print_look(look, &wish, true);
    if (code == CMD_OK)
        code = verdict(look, &wish, a.operands.items[0], a.json);
    if (ca != NULL)
        shs_bytes_free(ca, strlen(ca));
    shs__look_free(look);
    return code;
}
