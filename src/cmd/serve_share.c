#include "cmd/serve_share.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/qr_code.h"
#include "cmd/serve_share_ca.h"

#define MDNS_SOCKET "/run/avahi-daemon/socket"

bool serve_share_is_everywhere(const struct serve_options *o)
{
    for (size_t i = 0; i < o->place_count; i++) {
        if (o->places[i].path == NULL && serve_is_everywhere(o->places[i].host))
            return true;
    }
    return false;
}

/* -- URLs -------------------------------------------------------------------------------------- */

/* "a, b" has the word "a". */
static bool is_listed(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = list; *at != '\0'; at += at[0] == ',' ? 2 : 0) {
        size_t part = strcspn(at, ",");

        if (part == len && memcmp(at, word, len) == 0)
            return true;
        at += part;
    }
    return false;
}

static void make_url(char *out, const struct serve_options *o, const char *host, unsigned port)
{
    bool six = strchr(host, ':') != NULL;

    snprintf(out, SERVE_URL_MAX, "%s://%s%s%s:%u/", o->plain ? "http" : "https", six ? "[" : "",
             host, six ? "]" : "", port);
}

/* The lines, and the first URL of all. */
struct lines {
    const struct serve_options *o;
    bool begun;
    char first[SERVE_URL_MAX];
};

static void say_url(struct lines *to, const char *host, unsigned port)
{
    char url[SERVE_URL_MAX];
    size_t len = strlen(host);
    bool mdns = len > 6 && strcmp(host + len - 6, ".local") == 0;

    make_url(url, to->o, host, port);
    if (to->first[0] == '\0')
        memcpy(to->first, url, sizeof url);
    printf("%s    %s%s\n", to->begun ? "" : "For other devices:\n", url,
           mdns && access(MDNS_SOCKET, F_OK) != 0
               ? "  (where a service such as avahi-daemon announces this name)"
               : "");
    to->begun = true;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

static void say_listener(struct lines *to, const struct shs_listener *at,
                         const struct serve_here *here, const char *left_out)
{
    const char *host = shs_listener_host(at);
    unsigned port = shs_listener_port(at);

    if (shs_listener_family(at) == AF_UNIX)
        return;
    if (!serve_is_everywhere(host)) {
        if (!is_loopback(host)) /* its URL is in a line above */
            say_url(to, host, port);
        return;
    }
    for (size_t i = 0; i < here->count; i++) {
        bool six = strchr(here->names[i], ':') != NULL;

        if (!(six && strchr(host, ':') == NULL) && !is_listed(left_out, here->names[i]))
            say_url(to, here->names[i], port);
    }
}

static const struct shs_listener *first_of_network(const struct shs_server *server)
{
    for (unsigned i = 0; i < shs_server_listener_count(server); i++) {
        const struct shs_listener *at = shs_server_listener(server, i);

        if (shs_listener_family(at) != AF_UNIX)
            return at;
    }
    return NULL;
}

/* -- the authority ----------------------------------------------------------------------------- */

static void say_ca(const struct shs_server *server, const struct serve_options *o,
                   const struct lines *lines, const struct shs_local_ca *local)
{
    const struct shs_listener *first = first_of_network(server);
    char url[SERVE_URL_MAX];

    if (lines->first[0] != '\0')
        memcpy(url, lines->first, sizeof url);
    else
        make_url(url, o, "localhost", first == NULL ? 0 : shs_listener_port(first));
    url[strlen(url) - 1] = '\0';
    printf("To trust it on another device, open there: %s" SERVE_SHARE_CA_PATH "\n"
           "Compare the SHA-256 fingerprint: %s\n",
           url, local->fingerprint);
}

/* -- the code ---------------------------------------------------------------------------------- */

static void draw(const char *url)
{
    unsigned columns = 0, rows = 0;

    if (qr_code_draw(stdout, url, &columns, &rows) == QR_TOO_NARROW)
        printf("(No QR code: it needs a window of %u columns and %u rows.)\n", columns, rows);
}

void serve_share_say(const struct shs_server *server, const struct serve_options *o,
                     const struct serve_here *here, const struct shs_local_ca *local)
{
    const struct shs_listener *first = first_of_network(server);
    struct lines lines = {.o = o};

    for (unsigned i = 0; i < shs_server_listener_count(server); i++)
        say_listener(&lines, shs_server_listener(server, i), here, local->left_out);
    for (size_t i = 0; first != NULL && i < o->names.count; i++)
        say_url(&lines, o->names.items[i], shs_listener_port(first));
    if (here->more)
        printf("    ... and further addresses: %d are named at most\n", SERVE_HERE_MAX);
    if (o->share_ca)
        say_ca(server, o, &lines, local);
    if (lines.begun && !o->no_qr)
        draw(lines.first);
}
