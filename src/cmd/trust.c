/* trust.c - `shs trust`; and `shs trust print`: how each client is told of an authority. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "certs/look.h"
#include "cmd/cert.h"
#include "cmd/trust_install.h"

/* "%s" is the file's path, quoted for a shell; "%n" what `shs trust install` calls it in stores. */
static const struct {
    const char *client, *what, *text;
} clients[] = {
    {"curl", "one call, or all of a shell",
     "curl --cacert %s https://...\nexport CURL_CA_BUNDLE=%s"},
    {"wget", "one call; so with wget2 and aria2c", "wget --ca-certificate=%s https://..."},
    {"openssl", "one call", "openssl s_client -CAfile %s -verify_return_error -connect HOST:PORT"},
    {"gnutls", "one call", "gnutls-cli --x509cafile=%s -p PORT HOST"},
    {"python", "ssl, urllib, http.client; then requests, httpx and pip",
     "export SSL_CERT_FILE=%s\nexport REQUESTS_CA_BUNDLE=%s PIP_CERT=%s"},
    {"node", "beside those it has", "export NODE_EXTRA_CA_CERTS=%s"},
    {"go", "Linux and the BSDs; elsewhere the system's store", "export SSL_CERT_FILE=%s"},
    {"rust", "rustls-native-certs and OpenSSL; then cargo",
     "export SSL_CERT_FILE=%s\nexport CARGO_HTTP_CAINFO=%s"},
    {"ruby", "and .NET on Linux", "export SSL_CERT_FILE=%s"},
    {"perl", "HTTP::Tiny, IO::Socket::SSL; then LWP",
     "export SSL_CERT_FILE=%s\nexport PERL_LWP_SSL_CA_FILE=%s"},
    {"php", "streams; then curl, one call (curl.cainfo in php.ini: all)",
     "export SSL_CERT_FILE=%s\nphp -d curl.cainfo=%s FILE"},
    {"java", "a store of its own, given on the command line",
     "keytool -importcert -noprompt -alias shs -file %s -keystore trust.p12 -storepass changeit\n"
     "export JAVA_TOOL_OPTIONS='-Djavax.net.ssl.trustStore=trust.p12 "
     "-Djavax.net.ssl.trustStorePassword=changeit'"},
    {"git", "all of a shell", "export GIT_SSL_CAINFO=%s"},
    {"aws", "AWS CLI and SDKs; then gRPC; then Deno",
     "export AWS_CA_BUNDLE=%s\nexport GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=%s\nexport DENO_CERT=%s"},
    {"chromium", "the user's store on Linux (certutil is in libnss3-tools)",
     "certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n %n -i %s"},
    {"firefox", "a profile", "certutil -d sql:PROFILE_DIRECTORY -A -t C,, -n %n -i %s"},
    {"debian", "the whole system, Debian and Ubuntu",
     "sudo cp %s /usr/local/share/ca-certificates/%n.crt && sudo update-ca-certificates"},
    {"fedora", "the whole system, Fedora and RHEL",
     "sudo cp %s /etc/pki/ca-trust/source/anchors/%n.pem && sudo update-ca-trust"},
    {"macos", "the user's keychain",
     "security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db %s"},
    {"windows", "the user's store; from WSL, where Windows sees the file",
     "certutil.exe -user -addstore Root %s"},
};

static const char about[] =
    "usage: shs trust print FILE [OPTION]...\n"
    "\n"
    "Says how each client is told of the authority in FILE (PEM). It changes nothing itself. Who\n"
    "trusts an authority trusts whoever has its key: one that was made with\n"
    "'shs cert ca --constrain' can sign for little.\n";

static void print_text(const char *text, const char *path, const char *name)
{
    const char *at;

    fputs("    ", stdout);
    while (*text != '\0') {
        if (text[0] == '%' && (text[1] == 's' || text[1] == 'n')) {
            fputs(text[1] == 's' ? path : name, stdout);
            text += 2;
            continue;
        }
        if (*text == '\n') {
            fputs("\n    ", stdout);
            text++;
            continue;
        }
        at = text + strcspn(text + 1, "%\n") + 1;
        fwrite(text, 1, (size_t)(at - text), stdout);
        text = at;
    }
    putchar('\n');
}

static int unknown_client(const char *name)
{
    char all[300] = "";
    size_t used = 0;

    for (size_t i = 0; i < SHS_ARRAY_LEN(clients) && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, " %s", clients[i].client);
    return cmd_fail(CMD_USAGE, "'%s' is not a client that is known here. There are%s", name, all);
}

static int print_clients(const char *only, const char *path, const char *name)
{
    bool any = false;

    for (size_t i = 0; i < SHS_ARRAY_LEN(clients); i++) {
        if (only != NULL && strcmp(only, clients[i].client) != 0)
            continue;
        printf("%s%s: %s\n", any ? "\n" : "", clients[i].client, clients[i].what);
        print_text(clients[i].text, path, name);
        any = true;
    }
    return any ? CMD_OK : unknown_client(only);
}

/* It is what clients can be told of. *name: of the first one, in stores. */
static int check_authority(const char *path, char name[TRUST_NAME_MAX])
{
    char fingerprint[SHS_LOOK_FINGERPRINT];
    struct shs_buf pem;
    struct shs__look *look = NULL;
    struct shs_error err = {.code = SHS_OK};
    char *text = NULL;
    size_t len = 0;
    bool over = false;
    int code = cert_read(path, &text, &len), rc;

    if (code != CMD_OK)
        return code;
    if (len > 0 && text[0] == 0x30 && strstr(text, "-----BEGIN") == NULL)
        rc = shs_error_set(&err, SHS_USAGE, 0,
                           "it is DER, and most clients read PEM: openssl x509 -inform DER -in "
                           "FILE -out ca.pem");
    else
        rc = shs__look_bytes(&look, text, len, &err);
    if (rc == SHS_OK)
        rc = shs__look_authorities(look, (int64_t)time(NULL), &over, &err);
    if (rc != SHS_OK)
        code = cmd_fail(CMD_FAILED, "%s: %s", path, err.text);
    else if (over)
        cmd_warn("%s has expired: clients refuse what it signed, whatever they are told", path);
    if (rc == SHS_OK) {
        shs__buf_init(&pem, (size_t)1 << 16);
        if (shs__look_copy(look, 0, &pem, fingerprint, &err) != SHS_OK)
            code = cmd_fail(CMD_FAILED, "%s: %s", path, err.text);
        else
            trust_name(fingerprint, name);
        shs__buf_free(&pem);
    }
    shs__look_free(look);
    shs_bytes_free(text, len);
    return code;
}

static int trust_print(int argc, char **argv)
{
    static struct flag_list operands;
    const char *client = NULL;
    const struct flag flags[] = {
        {"client", FLAG_TEXT, &client, "NAME", "this one only"},
    };
    char path[PATH_MAX], name[TRUST_NAME_MAX], *quoted;
    int code;

    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 1, about, NULL, &code))
        return code;
    if (operands.count == 0)
        return cmd_fail(CMD_USAGE, "shs trust print needs the authority's file, such as ca.pem");
    if (realpath(operands.items[0], path) == NULL)
        return cmd_fail(CMD_FAILED, "%s: no such file", operands.items[0]);
    code = check_authority(operands.items[0], name);
    if (code != CMD_OK)
        return code;
    quoted = cmd_shell_quote(path);
    code = quoted == NULL ? cmd_fail(CMD_FAILED, "out of memory")
                          : print_clients(client, quoted, name);
    shs__free(quoted);
    return code;
}

int cmd_trust(int argc, char **argv)
{
    static const struct command rows[] = {
        {"install", "FILE", "have this machine's system and browsers trust the authority in FILE",
         trust_install, false},
        {"remove", "FILE", "undo that", trust_remove, false},
        {"print", "FILE", "how each client is told of the authority in FILE", trust_print, false},
    };
    static const struct command_list list = {"trust", NULL, rows, SHS_ARRAY_LEN(rows)};

    return commands_run(&list, argc, argv);
}
