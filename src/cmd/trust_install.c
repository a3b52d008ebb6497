/*
 * Everything is looked at before anything is changed: what cannot be done is refused whole. Each
 * store then says what was done to it and how to undo that.
 */
#include "cmd/trust_install.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cert.h"

#define PEM_CEILING ((size_t)65536)
#define BROWSERS_MAX 64
#define TOOL_MS 120000
#define TOOL_STEP_MS 5

/* Where systems keep authorities of their administrator, and what reads them from there. */
struct system_store {
    const char *directory, *suffix, *tool;
    const char *forget; /* its option with which it looks for what is gone; NULL: it always does */
};
static const struct system_store systems[] = {
    {"/usr/local/share/ca-certificates", ".crt", "update-ca-certificates", "--fresh"}, /* Debian */
    {"/etc/pki/ca-trust/source/anchors", ".pem", "update-ca-trust", NULL},             /* Fedora */
    {"/etc/ca-certificates/trust-source/anchors", ".pem", "update-ca-trust", NULL},    /* Arch */
    {"/etc/pki/trust/anchors", ".pem", "update-ca-certificates", NULL}, /* openSUSE */
};

/* Databases of NSS: Chromium's for the user, one for each profile of Firefox. Below HOME. */
static const char *const browser_stores[] = {
    ".pki/nssdb/cert9.db",
    ".local/share/pki/nssdb/cert9.db",
    "snap/chromium/current/.pki/nssdb/cert9.db",
    ".mozilla/firefox/*/cert9.db",
    "snap/firefox/common/.mozilla/firefox/*/cert9.db",
    ".var/app/org.mozilla.firefox/.mozilla/firefox/*/cert9.db",
};

struct work {
    const char *file, *only, *root;
    bool remove, dry_run;
    struct shs_buf pem;
    char fingerprint[SHS_LOOK_FINGERPRINT], name[TRUST_NAME_MAX];
    const struct system_store *system; /* NULL: none is known here, or it is not wanted */
    char system_path[PATH_MAX];        /* the authority's file in it */
    char tool[PATH_MAX];               /* what reads it; "": with --root nothing is run */
    char certutil[PATH_MAX];
    char browsers[BROWSERS_MAX][PATH_MAX]; /* "sql:DIRECTORY" */
    size_t browser_count;
    size_t done, failed;
};

/* -- programs ---------------------------------------------------------------------------------- */

/* Where a program of the system is: PATH of a user lacks /usr/sbin. */
static bool find_tool(const char *name, char *out, size_t cap)
{
    static const char *const places[] = {"/usr/sbin", "/usr/bin",        "/sbin",
                                         "/bin",      "/usr/local/sbin", "/usr/local/bin"};

    for (size_t i = 0; i < SHS_ARRAY_LEN(places); i++) {
        snprintf(out, cap, "%s/%s", places[i], name);
        if (access(out, X_OK) == 0)
            return true;
    }
    out[0] = '\0';
    return false;
}

static void run_child(const char *const *argv, int input)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setsid(); /* no terminal, so that nothing can ask for a password */
    if (null < 0 || dup2(input < 0 ? null : input, STDIN_FILENO) < 0 ||
        dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
        _exit(126);
    execv(argv[0], (char *const *)argv); /* which changes nothing of it */
    _exit(127);
}

/* Its exit status, or -1: it could not be started, was ended by a signal or took too long. */
static int run_tool(const char *const *argv, int input)
{
    const struct timespec step = {.tv_nsec = TOOL_STEP_MS * SHS_NS_PER_MS};
    int64_t deadline = shs__deadline_after(shs_now_ns(), TOOL_MS);
    int status = 0;
    pid_t pid = fork(), ended;

    if (pid == 0)
        run_child(argv, input);
    if (pid < 0)
        return -1;
    while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && shs_now_ns() < deadline)
        nanosleep(&step, NULL);
    if (ended == 0) {
        (void)kill(-pid, SIGKILL);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
        return -1;
    }
    return ended == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* certutil on a database; the authority is its input, if `pem` is one. */
static int run_certutil(const struct work *work, const char *store, const char *verb,
                        const struct shs_buf *pem)
{
    const char *argv[] = {work->certutil, "-d", store, verb, "-n",
                          work->name,     NULL, NULL,  NULL, NULL};
    int input = -1, status;

    if (pem != NULL) {
        argv[6] = "-t";
        argv[7] = "C,,";
        argv[8] = "-a";
        input = memfd_create("ca.pem", MFD_CLOEXEC);
        if (input < 0 || shs__write_all(input, shs__buf_head(pem), pem->len) != SHS_OK ||
            lseek(input, 0, SEEK_SET) != 0) {
            if (input >= 0)
                (void)close(input);
            return -1;
        }
    }
    status = run_tool(argv, input);
    if (input >= 0)
        (void)close(input);
    return status;
}

/* -- what there is ----------------------------------------------------------------------------- */

void trust_name(const char *fingerprint, char name[TRUST_NAME_MAX])
{
    size_t len = 4;

    memcpy(name, "shs-", len);
    for (const char *at = fingerprint; *at != '\0' && len < 16; at++) {
        if (*at != ':')
            name[len++] = (char)shs__lower((unsigned char)*at);
    }
    name[len] = '\0';
}

static bool wants(const struct work *work, const char *which)
{
    return work->only == NULL || strcmp(work->only, which) == 0;
}

static const char *root_of(const struct work *work)
{
    return work->root == NULL ? "" : work->root;
}

static int look_at_system(struct work *work)
{
    char directory[PATH_MAX];
    struct stat st;

    for (size_t i = 0; work->system == NULL && i < SHS_ARRAY_LEN(systems); i++) {
        snprintf(directory, sizeof directory, "%s%s", root_of(work), systems[i].directory);
        if (stat(directory, &st) == 0 && S_ISDIR(st.st_mode))
            work->system = &systems[i];
    }
    if (work->system == NULL)
        return cmd_fail(CMD_FAILED,
                        "there is no store of the system that is known here: not one of the "
                        "directories of Debian, Fedora, Arch and openSUSE is there. Nothing was "
                        "changed. '--only browsers' leaves the system out; 'shs trust print %s' "
                        "says how others are told",
                        work->file);
    if (snprintf(work->system_path, sizeof work->system_path, "%s/%s%s", directory, work->name,
                 work->system->suffix) >= (int)sizeof work->system_path)
        return cmd_fail(CMD_FAILED, "%s: the path is too long", directory);
    if (!work->dry_run && access(directory, W_OK) != 0)
        return cmd_fail(CMD_FAILED,
                        "%s may only be changed by root. Nothing was changed: run 'sudo shs trust "
                        "%s %s --only system', and without sudo the same with '--only browsers'",
                        directory, work->remove ? "remove" : "install", work->file);
    if (work->root == NULL && !find_tool(work->system->tool, work->tool, sizeof work->tool))
        return cmd_fail(CMD_FAILED, "there is no %s, which would read %s. Nothing was changed",
                        work->system->tool, directory);
    return CMD_OK;
}

static bool add_browser(struct work *work, const char *database)
{
    size_t len = strlen(database) - strlen("/cert9.db");

    if (work->browser_count == BROWSERS_MAX)
        return false;
    return snprintf(work->browsers[work->browser_count++], PATH_MAX, "sql:%.*s", (int)len,
                    database) < PATH_MAX;
}

static bool find_browsers(struct work *work, const char *home)
{
    char pattern[PATH_MAX];
    bool fits = true;

    for (size_t i = 0; i < SHS_ARRAY_LEN(browser_stores); i++) {
        glob_t found;

        if (snprintf(pattern, sizeof pattern, "%s%s/%s", root_of(work), home, browser_stores[i]) >=
            (int)sizeof pattern)
            return false;
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t f = 0; fits && f < found.gl_pathc; f++)
            fits = add_browser(work, found.gl_pathv[f]);
        globfree(&found);
    }
    return fits;
}

static int look_at_browsers(struct work *work)
{
    const char *home = getenv("HOME");

    if (home == NULL || home[0] != '/')
        return cmd_fail(CMD_FAILED, "HOME is not set, so the stores of browsers cannot be found. "
                                    "Nothing was changed; '--only system' leaves them out");
    if (!find_browsers(work, home))
        return cmd_fail(CMD_FAILED,
                        "there are more than %d stores of browsers in %s%s, or their "
                        "paths are too long. Nothing was changed",
                        BROWSERS_MAX, root_of(work), home);
    if (work->browser_count == 0) {
        if (work->only == NULL)
            return CMD_OK;
        return cmd_fail(CMD_FAILED,
                        "no browser has a store in %s%s: start it once, and try again. Nothing was "
                        "changed",
                        root_of(work), home);
    }
    if (!find_tool("certutil", work->certutil, sizeof work->certutil))
        return cmd_fail(CMD_FAILED, "the stores of browsers need certutil: apt-get install "
                                    "libnss3-tools. Nothing was changed; '--only system' leaves "
                                    "them out");
    for (size_t i = 0; !work->dry_run && i < work->browser_count; i++) {
        if (access(work->browsers[i] + 4, W_OK) != 0)
            return cmd_fail(CMD_FAILED, "%s cannot be written. Nothing was changed",
                            work->browsers[i] + 4);
    }
    return CMD_OK;
}

/* -- the system -------------------------------------------------------------------------------- */

/* The file that is there is this authority's. */
static bool is_there(const struct work *work)
{
    struct shs_buf text;
    bool same = false;
    int fd = open(work->system_path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    shs__buf_init(&text, PEM_CEILING);
    same = shs__read_all(fd, &text) == SHS_OK && text.len == work->pem.len &&
           memcmp(shs__buf_head(&text), shs__buf_head(&work->pem), text.len) == 0;
    shs__buf_free(&text);
    (void)close(fd);
    return same;
}

/* The system reads its directory again. */
static bool refresh(const struct work *work, bool gone)
{
    const char *argv[] = {work->tool, gone ? work->system->forget : NULL, NULL};

    return work->tool[0] == '\0' || run_tool(argv, -1) == 0;
}

static void say_refreshed(const struct work *work)
{
    if (work->tool[0] == '\0')
        printf("        nothing was run: '%s' has to be, in %s\n", work->system->tool, work->root);
    else
        printf("        and ran %s\n", work->tool);
}

static int install_in_system(struct work *work)
{
    if (is_there(work)) {
        printf("system: %s already exists\n", work->system_path);
        return CMD_OK;
    }
    if (work->dry_run) {
        printf("system: would write %s and run %s\n", work->system_path, work->system->tool);
        return CMD_OK;
    }
    if (cert_write(work->system_path, shs__buf_head(&work->pem), work->pem.len, 0644, true) !=
        CMD_OK)
        return CMD_FAILED;
    if (!refresh(work, false)) {
        bool gone = unlink(work->system_path) == 0, undone = gone && refresh(work, true);

        return cmd_fail(CMD_FAILED, "%s has failed. %s %s%s", work->tool, work->system_path,
                        gone ? "was removed again" : "could not be removed again",
                        undone ? "" : "; run it once more, to be sure that nothing is trusted");
    }
    printf("system: wrote %s\n", work->system_path);
    say_refreshed(work);
    printf("        undo: sudo rm %s && sudo %s%s%s\n", work->system_path, work->system->tool,
           work->system->forget == NULL ? "" : " ",
           work->system->forget == NULL ? "" : work->system->forget);
    return CMD_OK;
}

static int remove_from_system(struct work *work)
{
    char text[96];

    if (access(work->system_path, F_OK) != 0) {
        printf("system: %s is not there\n", work->system_path);
        return CMD_OK;
    }
    if (work->dry_run) {
        printf("system: would remove %s and run %s\n", work->system_path, work->system->tool);
        return CMD_OK;
    }
    if (unlink(work->system_path) != 0)
        return cmd_fail(CMD_FAILED, "cannot remove %s: %s", work->system_path,
                        shs__strerror(errno, text, sizeof text));
    if (!refresh(work, true))
        return cmd_fail(CMD_FAILED,
                        "%s was removed, but %s has failed: run it again, until then programs go "
                        "on trusting it",
                        work->system_path, work->tool);
    printf("system: removed %s\n", work->system_path);
    say_refreshed(work);
    printf("        undo: sudo shs trust install %s --only system\n", work->file);
    return CMD_OK;
}

/* -- browsers ---------------------------------------------------------------------------------- */

static int change_browser(struct work *work, const char *store)
{
    bool there = run_certutil(work, store, "-L", NULL) == 0;

    if (there != work->remove) {
        printf("browser: '%s' is %s %s\n", work->name, there ? "already in" : "not in", store);
        return CMD_OK;
    }
    if (work->dry_run) {
        printf("browser: would %s '%s' %s %s\n", work->remove ? "remove" : "add", work->name,
               work->remove ? "from" : "to", store);
        return CMD_OK;
    }
    if (run_certutil(work, store, work->remove ? "-D" : "-A", work->remove ? NULL : &work->pem) !=
        0)
        return cmd_fail(CMD_FAILED,
                        "certutil could not %s '%s' in %s: has the store a password, or is it "
                        "damaged? 'shs trust print' says the command",
                        work->remove ? "remove" : "add", work->name, store);
    if (work->remove) {
        printf("browser: removed '%s' from %s\n", work->name, store);
        printf("        undo: shs trust install %s --only browsers\n", work->file);
    } else {
        printf("browser: added '%s' to %s\n", work->name, store);
        printf("        undo: certutil -d '%s' -D -n %s\n", store, work->name);
    }
    return CMD_OK;
}

/* -- the commands ------------------------------------------------------------------------------ */

static int change_all(struct work *work)
{
    size_t done = 0;
    int code = CMD_OK;

    if (work->system != NULL)
        code = work->remove ? remove_from_system(work) : install_in_system(work);
    if (code != CMD_OK && work->browser_count > 0)
        return cmd_fail(code, "the %zu stores of browsers were left as they are",
                        work->browser_count);
    for (size_t i = 0; i < work->browser_count; i++) {
        if (change_browser(work, work->browsers[i]) == CMD_OK)
            done++;
        else
            code = CMD_FAILED;
    }
    if (done < work->browser_count)
        return cmd_fail(code,
                        "of %zu stores of browsers %zu were changed, and %zu were not: see "
                        "above",
                        work->browser_count, done, work->browser_count - done);
    return code;
}

static void say_the_rest(const struct work *work)
{
    char *quoted = cmd_shell_quote(work->file);

    if (work->browser_count > 0 && !work->dry_run)
        printf("Browsers that run take notice when they are started again.\n");
    if (work->browser_count == 0 && work->only == NULL)
        printf("No browser has a store here.\n");
    if (!work->remove)
        printf("SHA-256 fingerprint: %s\n"
               "Java has a store of its own: shs trust print %s --client java\n",
               work->fingerprint, quoted == NULL ? "FILE" : quoted);
    shs__free(quoted);
}

int trust_read(const char *path, struct shs_buf *pem, char fingerprint[SHS_LOOK_FINGERPRINT],
               bool *over)
{
    struct shs__look *look = NULL;
    struct shs_error err = {.code = SHS_OK};
    char *text = NULL;
    size_t len = 0;
    int code = cert_read(path, &text, &len), rc;

    if (code != CMD_OK)
        return code;
    rc = shs__look_bytes(&look, text, len, &err);
    if (rc == SHS_OK && over != NULL)
        rc = shs__look_authorities(look, (int64_t)time(NULL), over, &err);
    if (rc == SHS_OK && shs__look_count(look) != 1)
        rc = shs_error_set(&err, SHS_USAGE, 0, "it has %zu certificates: give one authority's file",
                           shs__look_count(look));
    if (rc == SHS_OK)
        rc = shs__look_copy(look, 0, pem, fingerprint, &err);
    if (rc != SHS_OK)
        code = cmd_fail(CMD_FAILED, "%s: %s", path, err.text);
    shs__look_free(look);
    shs_bytes_free(text, len);
    return code;
}

static int read_authority(struct work *work)
{
    bool over = false;
    int code = trust_read(work->file, &work->pem, work->fingerprint, work->remove ? NULL : &over);

    if (code == CMD_OK && over)
        code = cmd_fail(CMD_FAILED,
                        "%s has expired: clients refuse what it signed, whatever they are "
                        "told. Nothing was changed",
                        work->file);
    if (code == CMD_OK)
        trust_name(work->fingerprint, work->name);
    return code;
}

static int change_stores(struct work *work)
{
    int code;

    shs__buf_init(&work->pem, PEM_CEILING);
    code = read_authority(work);
    if (code == CMD_OK && wants(work, "system"))
        code = look_at_system(work);
    if (code == CMD_OK && wants(work, "browsers"))
        code = look_at_browsers(work);
    if (code == CMD_OK)
        code = change_all(work);
    if (code == CMD_OK)
        say_the_rest(work);
    shs__buf_free(&work->pem);
    return code;
}

static int change(int argc, char **argv, bool remove, const char *about)
{
    static struct flag_list operands;
    static struct work work; /* large */
    const struct flag flags[] = {
        {"only", FLAG_TEXT, &work.only, "STORES", "'system' or 'browsers' alone"},
        {"dry-run", FLAG_SET, &work.dry_run, NULL, "say what would be done, and change nothing"},
        {"root", FLAG_TEXT, &work.root, "DIR",
         "the stores of a system in DIR, such as an image; nothing is run there"},
    };
    int code;

    memset(&work, 0, sizeof work);
    if (!flags_parse(argc, argv, flags, SHS_ARRAY_LEN(flags), &operands, 1, about, NULL, &code))
        return code;
    if (operands.count == 0)
        return cmd_fail(CMD_USAGE, "shs trust %s needs the authority's file, such as ca.pem",
                        remove ? "remove" : "install");
    if (work.only != NULL && strcmp(work.only, "system") != 0 && strcmp(work.only, "browsers") != 0)
        return cmd_fail(CMD_USAGE, "--only %s: there are 'system' and 'browsers'", work.only);
    if (work.root != NULL && work.root[0] != '/')
        return cmd_fail(CMD_USAGE, "--root %s: give the whole path", work.root);
    work.file = operands.items[0];
    work.remove = remove;
    return change_stores(&work);
}

int trust_install(int argc, char **argv)
{
    return change(argc, argv, false,
                  "usage: shs trust install FILE [OPTION]...\n"
                  "\n"
                  "Has the system and the browsers of this machine trust the authority in FILE\n"
                  "(PEM): the system's store, and those of Chromium and Firefox in HOME by\n"
                  "certutil. Says what it did and how to undo it, and never asks. What cannot be\n"
                  "done is refused before anything is changed. The system's store takes root, and\n"
                  "the browsers' ones are your own: see --only.\n");
}

int trust_remove(int argc, char **argv)
{
    return change(
        argc, argv, true,
        "usage: shs trust remove FILE [OPTION]...\n"
        "\n"
        "Undoes 'shs trust install FILE'. An authority that is not there is no mistake.\n");
}
