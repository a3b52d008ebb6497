/* cert.c - `shs cert`: finds the subcommand; what they share. */
#include "cmd/cert.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "certs/files.h"
#include "cmd/commands.h"
#include "cmd/whole_file.h"

#define FILE_CEILING ((size_t)4 << 20)

int cert_fail(const struct shs_error *err)
{
    return cmd_fail(err->code == SHS_USAGE ? CMD_USAGE : CMD_FAILED, "%s",
                    err->text[0] != '\0' ? err->text : shs_err_text(err->code));
}

int cert_read(const char *path, char **text, size_t *len)
{
    struct shs_error err = {.code = SHS_OK};

    return shs__file_read(path, FILE_CEILING, text, len, &err) == SHS_OK ? CMD_OK : cert_fail(&err);
}

/* The paths of the two files; *key is NULL when the key is in the certificate's file. */
static bool find_pair(const char *path, char **cert, char **key)
{
    struct stat info;
    size_t len = strlen(path);

    *key = NULL;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        *cert = shs__asprintf("%s/ca.pem", path);
        *key = shs__asprintf("%s/ca.key", path);
        return *cert != NULL && *key != NULL;
    }
    *cert = shs__strdup(path);
    if (len > 4 && strcmp(path + len - 4, ".pem") == 0) {
        *key = shs__asprintf("%.*s.key", (int)(len - 4), path);
        if (*key != NULL && stat(*key, &info) != 0) {
            shs__free(*key);
            *key = NULL;
        }
    }
    return *cert != NULL;
}

/* Certificate and key as one text. */
static int read_pair(const char *path, char **out, size_t *out_len)
{
    char *cert = NULL, *key = NULL, *one = NULL, *two = NULL;
    size_t one_len = 0, two_len = 0;
    int code = find_pair(path, &cert, &key) ? CMD_OK : cmd_fail(CMD_FAILED, "out of memory");

    if (code == CMD_OK)
        code = cert_read(cert, &one, &one_len);
    if (code == CMD_OK && key != NULL)
        code = cert_read(key, &two, &two_len);
    if (code == CMD_OK) {
        *out = shs__asprintf("%s\n%s", one, two == NULL ? "" : two);
        *out_len = *out == NULL ? 0 : strlen(*out);
        if (*out == NULL)
            code = cmd_fail(CMD_FAILED, "out of memory");
    }
    shs_bytes_free(one, one_len);
    shs_bytes_free(two, two_len);
    shs__free(cert);
    shs__free(key);
    return code;
}

/* An error about a file says which. */
static int fail_file(const char *path, const struct shs_error *err)
{
    return cmd_fail(CMD_FAILED, "%s: %s", path, err->text);
}

int cert_load_ca(struct shs_ca **out, const char *path)
{
    struct shs_error err = {.code = SHS_OK};
    char *text = NULL;
    size_t len = 0;
    int code = read_pair(path, &text, &len);

    if (code == CMD_OK && shs_ca_load(out, text, len, &err) != SHS_OK)
        code = fail_file(path, &err);
    shs_bytes_free(text, len);
    return code;
}

int cert_load_issued(struct shs_issued_cert **out, const char *path)
{
    struct shs_error err = {.code = SHS_OK};
    char *text = NULL;
    size_t len = 0;
    int code = read_pair(path, &text, &len);

    if (code == CMD_OK && shs_issued_cert_load(out, text, len, &err) != SHS_OK)
        code = fail_file(path, &err);
    shs_bytes_free(text, len);
    return code;
}

void cert_file_name(char *out, size_t cap, const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                ".-_@";
    size_t used = 0;

    for (; *name != '\0' && used + 12 < cap; name++) {
        if (*name == '*') {
            memcpy(out + used, "_wildcard_", 10);
            used += 10;
        } else {
            out[used] = strchr(plain, *name) == NULL || (used == 0 && *name == '.') ? '_' : *name;
            used++;
        }
    }
    out[used] = '\0';
}

static int write_device(const char *path, const void *bytes, size_t len)
{
    struct whole_file file;
    int code = whole_file_open(&file, path);

    if (code != CMD_OK)
        return code;
    (void)fwrite(bytes, 1, len, file.to); /* whether it went well is seen at the end */
    return whole_file_close(&file);
}

int cert_write(const char *path, const void *bytes, size_t len, mode_t mode, bool replace)
{
    struct shs_error err = {.code = SHS_OK};
    const char *slash;
    char *dir;
    int code = CMD_OK;

    if (path == NULL || strcmp(path, "-") == 0)
        return fwrite(bytes, 1, len, stdout) == len
                   ? CMD_OK
                   : cmd_fail(CMD_FAILED, "cannot write to the standard output");
    if (whole_file_is_device(path))
        return write_device(path, bytes, len);
    slash = strrchr(path, '/');
    dir = slash == NULL   ? shs__strdup(".")
          : slash == path ? shs__strdup("/")
                          : shs__strndup(path, (size_t)(slash - path));
    if (dir == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    if (shs__file_write(dir, slash == NULL ? path : slash + 1, mode, bytes, len, replace, &err) !=
        SHS_OK)
        code = cert_fail(&err);
    shs__free(dir);
    return code;
}

int cmd_cert(int argc, char **argv)
{
    static const struct command rows[] = {
        {"new", "NAME...", "a certificate for a server, or with --client for a client", cert_new,
         false},
        {"ca", NULL, "an authority, or with --below one under another", cert_ca, false},
        {"crl", NULL, "a list of revoked certificates", cert_crl, false},
        {"ocsp", "FILE", "an OCSP response about a certificate", cert_ocsp, false},
        {"show", "PLACE", "what is in a file, or what a server at HOST:PORT sends", cert_show,
         false},
        {"check", "PLACE", "the same as a verdict: what is wrong with it, and when it runs out",
         cert_check, false},
    };
    static const struct command_list list = {
        "cert",
        "Makes and examines certificates for tests: good ones that do not run out, and ones that "
        "are\nwrong in exactly one thing.\n",
        rows, SHS_ARRAY_LEN(rows)};

    return commands_run(&list, argc, argv);
}
