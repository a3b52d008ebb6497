#include "certs/local_ca.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "certs/minter.h"

#define DAY ((int64_t)86400)
#define HOUR ((int64_t)3600)
#define CA_DAYS 3650
#define LEAF_DAYS 397 /* what browsers accept of a server, at most */
#define RENEW_DAYS 30 /* made again when less than that is left; while it is served a day more: */
#define EARLY_DAYS 1  /* before TLSMixIn says that it ends soon */
#define FILE_CEILING ((size_t)65536)
#define NAMES_MAX 100u
#define ALWAYS 3 /* names that every leaf has */
#define LOCK_MS 10000
#define LOCK_STEP_MS 20

/* A clock before 2025 stands wrong: what is made then lasts as if it were made at that time. */
#define EARLIEST ((int64_t)1735689600)

#define CA_FILE "ca.key"
#define CA_EXPIRED "ca.key.expired"
#define CA_PUBLIC "ca.pem"
#define LEAF_FILE "localhost.pem"

/* One call's work. */
struct store {
    const char *dir;
    int dir_fd, lock_fd;
    int64_t now;
    bool renew; /* the leaf alone, for this very CA */
    struct shs_error *err;
    EVP_PKEY *ca_key;
    X509 *ca;
    int64_t ca_start, ca_end;         /* Unix time */
    int64_t leaf_start, leaf_end;     /* likewise */
    const char *names[NAMES_MAX + 1]; /* that the leaf must have, ended by NULL */
    size_t count, wanted;             /* of them; from names[wanted] on they may be left out */
};

static int fail_file(const struct store *st, const char *what, const char *name)
{
    char buf[96];
    int sys_errno = errno;

    return shs_error_set(st->err, SHS_IO, sys_errno, "Cannot %s %s/%s: %s.", what, st->dir, name,
                         shs__strerror(sys_errno, buf, sizeof buf));
}

static int fail_memory(const struct store *st)
{
    return shs_error_set(st->err, SHS_NOMEM, 0, "Out of memory for the CA in %s.", st->dir);
}

/* -- files ------------------------------------------------------------------------------------- */

/* mkdir -p, each one for its owner alone. */
static int make_dirs(const struct store *st)
{
    char *path = shs__strdup(st->dir), *at, buf[96];
    int rc = SHS_OK;

    if (path == NULL)
        return fail_memory(st);
    for (at = path + 1; rc == SHS_OK; at++) {
        char c = *at;

        if (c != '/' && c != '\0')
            continue;
        *at = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            rc = shs_error_set(st->err, SHS_IO, errno, "Cannot make the directory %s: %s.", path,
                               shs__strerror(errno, buf, sizeof buf));
        *at = c;
        if (c == '\0')
            break;
    }
    shs__free(path);
    return rc;
}

static int lock_dir(struct store *st)
{
    const struct timespec step = {.tv_nsec = LOCK_STEP_MS * SHS_NS_PER_MS};
    int64_t deadline = shs__deadline_after(shs_now_ns(), LOCK_MS);
    struct stat info;

    st->dir_fd = open(st->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (st->dir_fd < 0)
        return fail_file(st, "open", "");
    if (fstat(st->dir_fd, &info) != 0)
        return fail_file(st, "examine", "");
    if ((info.st_mode & 022) != 0)
        return shs_error_set(st->err, SHS_TLS, 0,
                             "Others may write into %s, and so exchange the CA. Look at what is in "
                             "it, then chmod 700 it.",
                             st->dir);
    st->lock_fd = openat(st->dir_fd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (st->lock_fd < 0)
        return fail_file(st, "open", ".lock");
    while (flock(st->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (shs__has_no_lock(errno))
            return SHS_OK; /* two that begin at once may each make a CA: the last one's stays */
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail_file(st, "lock", ".lock");
        if (shs_now_ns() >= deadline)
            return shs_error_set(st->err, SHS_TIMEOUT, 0,
                                 "Another process has held the lock %s/.lock for %d seconds: end "
                                 "it, and try again.",
                                 st->dir, LOCK_MS / 1000);
        nanosleep(&step, NULL);
    }
    return SHS_OK;
}

/* The whole file into *out; SHS_CLOSED when there is none. A file with a key must be private. */
static int read_file(const struct store *st, const char *name, bool secret, struct shs_buf *out)
{
    struct stat info;
    int rc = SHS_OK, fd = openat(st->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return errno == ENOENT ? SHS_CLOSED : fail_file(st, "open", name);
    if (fstat(fd, &info) != 0) {
        rc = fail_file(st, "examine", name);
    } else if (secret && (info.st_mode & 077) != 0) {
        rc = shs_error_set(st->err, SHS_TLS, 0,
                           "Others may read the private key in %s/%s. Was it copied? chmod 600 it, "
                           "or remove it to have a new one made.",
                           st->dir, name);
    }
    if (rc == SHS_OK) {
        rc = shs__read_all(fd, out);
        if (rc == SHS_LIMIT)
            rc = shs_error_set(st->err, SHS_TLS, 0, "%s/%s is too long for a key or a certificate.",
                               st->dir, name);
        else if (rc == SHS_NOMEM)
            rc = fail_memory(st);
        else if (rc != SHS_OK)
            rc = fail_file(st, "read", name);
    }
    close(fd);
    return rc;
}

/* To the disk, as far as the file system can. */
static int sync_file(int fd)
{
    return fsync(fd) == 0 || shs__has_no_sync(errno) ? 0 : -1;
}

/* Complete under another name, on the disk, and then under its own: never half a file. */
static int write_file(const struct store *st, const char *name, mode_t mode,
                      const struct shs_buf *content)
{
    char fresh[64];
    int fd, rc = SHS_OK;

    snprintf(fresh, sizeof fresh, ".%s.new", name);
    (void)unlinkat(st->dir_fd, fresh, 0); /* of a process that was killed; we hold the lock */
    fd = openat(st->dir_fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_file(st, "make", fresh);
    if (shs__write_all(fd, shs__buf_head(content), content->len) != SHS_OK ||
        fchmod(fd, mode) != 0 || sync_file(fd) != 0)
        rc = fail_file(st, "write", fresh);
    close(fd);
    if (rc == SHS_OK && renameat(st->dir_fd, fresh, st->dir_fd, name) != 0)
        rc = fail_file(st, "replace", name);
    if (rc == SHS_OK && sync_file(st->dir_fd) != 0)
        rc = fail_file(st, "write", name);
    if (rc != SHS_OK)
        (void)unlinkat(st->dir_fd, fresh, 0);
    return rc;
}

static void wipe(struct shs_buf *b)
{
    if (b->data != NULL)
        OPENSSL_cleanse(b->data, b->cap);
    shs__buf_free(b);
}

/* -- a certificate and its key in one file ----------------------------------------------------- */

/* No password callback: a key of ours is not encrypted, and nobody is to be asked on a terminal. */
static int no_password(char *buf, int cap, int rwflag, void *arg)
{
    SHS_UNUSED(buf);
    SHS_UNUSED(cap);
    SHS_UNUSED(rwflag);
    SHS_UNUSED(arg);
    return -1;
}

/* Both, and they belong together; or neither. */
static bool parse_pair(const struct shs_buf *pem, EVP_PKEY **key, X509 **cert)
{
    BIO *one = BIO_new_mem_buf(shs__buf_head(pem), (int)pem->len);
    BIO *two = BIO_new_mem_buf(shs__buf_head(pem), (int)pem->len);

    *key = one == NULL ? NULL : PEM_read_bio_PrivateKey(one, NULL, no_password, NULL);
    *cert = two == NULL ? NULL : PEM_read_bio_X509(two, NULL, no_password, NULL);
    BIO_free(one);
    BIO_free(two);
    if (*key != NULL && *cert != NULL && X509_check_private_key(*cert, *key) == 1) {
        ERR_clear_error();
        return true;
    }
    ERR_clear_error();
    EVP_PKEY_free(*key);
    X509_free(*cert);
    *key = NULL;
    *cert = NULL;
    return false;
}

static int write_pair(const struct store *st, const char *name, EVP_PKEY *key, X509 *cert)
{
    struct shs_buf pem;
    int rc;

    shs__buf_init(&pem, FILE_CEILING);
    rc = shs__buf_reserve(&pem, FILE_CEILING); /* at once: growing would leave copies of the key */
    if (rc != SHS_OK)
        return fail_memory(st);
    rc = shs__mint_key_pem(&pem, key, NULL, st->err);
    if (rc == SHS_OK)
        rc = shs__mint_cert_pem(&pem, cert, st->err);
    if (rc == SHS_OK)
        rc = write_file(st, name, 0600, &pem);
    wipe(&pem);
    return rc;
}

static int64_t unix_time(const ASN1_TIME *when)
{
    struct tm tm;

    return ASN1_TIME_to_tm(when, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* Before the CA's first day: the clock is wrong, and no reason to make or judge anything by it. */
static bool clock_is_early(const struct store *st)
{
    return st->now < st->ca_start;
}

/* -- the CA ------------------------------------------------------------------------------------ */

/*
 * Whom it may sign for: names that mean nothing outside of somebody's own network (RFC 6761, RFC
 * 6762, RFC 8375, "internal"), private addresses, this machine, and what is asked for now. Whoever
 * gets hold of its key can pretend to be none of the world's servers to those who trust it.
 */
struct permitted {
    const char *names[NAMES_MAX + 32];
    char host[256];
};

static void permit(const struct store *st, struct permitted *out)
{
    static const char *const own[] = {
        "localhost",    "test",          "example",        "internal",      "local",
        "home.arpa",    "127.0.0.0/8",   "::1/128",        "fc00::/7",      "fe80::/10",
        "10.0.0.0/8",   "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
        "192.0.2.0/24", "2001:db8::/32",
    };
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
    size_t count = 0, i;

    for (i = 0; i < SHS_ARRAY_LEN(own); i++)
        out->names[count++] = own[i];
    for (i = 0; st->names[i] != NULL; i++)
        out->names[count++] = st->names[i];
    if (gethostname(out->host, sizeof out->host) == 0) {
        out->host[sizeof out->host - 1] = '\0';
        if (out->host[0] != '\0' && out->host[0] != '.' &&
            out->host[strspn(out->host, allowed)] == '\0')
            out->names[count++] = out->host;
    }
    out->names[count] = NULL;
}

static int make_ca(struct store *st)
{
    struct permitted permitted;
    unsigned char tag[4];
    char name[64];
    struct shs_cert_spec spec = {
        .common_name = name,
        .not_before = st->now - HOUR,
        .not_after = (st->now < EARLIEST ? EARLIEST : st->now) + CA_DAYS * DAY,
        .ca = true,
        .usage = "serverAuth", /* of what it signs: no client, no code, no mail */
        .permitted = permitted.names,
    };
    int rc;

    permit(st, &permitted);

    /* Two roots of one name would be mistaken for each other. */
    if (RAND_bytes(tag, sizeof tag) != 1)
        return shs_error_set(st->err, SHS_TLS, 0, "OpenSSL has no random numbers.");
    snprintf(name, sizeof name, "shs local CA %02x%02x%02x%02x", tag[0], tag[1], tag[2], tag[3]);
    EVP_PKEY_free(st->ca_key);
    X509_free(st->ca);
    st->ca_key = NULL;
    st->ca = NULL;
    rc = shs__mint_key(&st->ca_key, SHS_KEY_P256, st->err);
    if (rc == SHS_OK)
        rc = shs__mint_cert(&st->ca, &spec, st->ca_key, NULL, NULL, st->err);
    return rc == SHS_OK ? write_pair(st, CA_FILE, st->ca_key, st->ca) : rc;
}

static void note_dates(struct store *st)
{
    st->ca_start = unix_time(X509_get0_notBefore(st->ca));
    st->ca_end = unix_time(X509_get0_notAfter(st->ca));
}

/* The file of a CA that has expired stays under another name: the clock may be what is wrong. */
static int put_aside(const struct store *st)
{
    if (renameat(st->dir_fd, CA_FILE, st->dir_fd, CA_EXPIRED) != 0 && errno != ENOENT)
        return fail_file(st, "rename", CA_FILE);
    return SHS_OK;
}

static int open_ca(struct store *st, struct shs_local_ca *made)
{
    struct shs_buf pem;
    int rc;

    shs__buf_init(&pem, FILE_CEILING);
    rc = read_file(st, CA_FILE, true, &pem);
    if (rc == SHS_OK && !parse_pair(&pem, &st->ca_key, &st->ca))
        rc = shs_error_set(st->err, SHS_TLS, 0,
                           "%s/%s is damaged: it does not hold a CA's key and its certificate. "
                           "Remove it to have a new CA made, which must then be trusted again.",
                           st->dir, CA_FILE);
    wipe(&pem);
    if (rc == SHS_OK)
        note_dates(st);
    if (rc == SHS_OK && st->now < st->ca_end && !(st->renew && clock_is_early(st)))
        return SHS_OK;
    if (rc == SHS_OK && st->renew)
        rc = SHS_CLOSED;
    if (st->renew)
        return rc;
    if (rc == SHS_OK) {
        snprintf(made->warning, sizeof made->warning,
                 "By the clock of this machine the local CA in %s has expired: a new one was made, "
                 "which must be trusted again; the old one is %s.",
                 st->dir, CA_EXPIRED);
        rc = put_aside(st);
    }
    if (rc == SHS_CLOSED || rc == SHS_OK) {
        made->ca_made = true;
        rc = make_ca(st);
    }
    if (rc == SHS_OK)
        note_dates(st);
    return rc;
}

/* What its owner should know of the CA's time, if there is nothing else. */
static void warn(const struct store *st, struct shs_local_ca *made)
{
    if (made->warning[0] != '\0')
        return;
    if (clock_is_early(st))
        snprintf(made->warning, sizeof made->warning,
                 "The clock of this machine is before the first day of the local CA in %s: is it "
                 "right? Clients with another clock are served all the same.",
                 st->dir);
    else if (st->now < EARLIEST)
        snprintf(made->warning, sizeof made->warning,
                 "The clock of this machine stands before 2025: the certificates in %s are made by "
                 "it. Set it, and start again.",
                 st->dir);
    else if (st->ca_end - st->now < RENEW_DAYS * DAY)
        snprintf(made->warning, sizeof made->warning,
                 "The local CA in %s expires in less than %d days. Remove %s to have a new one "
                 "made, which must be trusted again.",
                 st->dir, (int)((st->ca_end - st->now) / DAY) + 1, CA_FILE);
}

/* ca.pem is what ca.key says. */
static int publish_ca(const struct store *st)
{
    struct shs_buf want, have;
    int rc;

    shs__buf_init(&want, FILE_CEILING);
    shs__buf_init(&have, FILE_CEILING);
    rc = shs__mint_cert_pem(&want, st->ca, st->err);
    if (rc == SHS_OK)
        rc = read_file(st, CA_PUBLIC, false, &have);
    if (rc == SHS_CLOSED ||
        (rc == SHS_OK && (have.len != want.len ||
                          memcmp(shs__buf_head(&have), shs__buf_head(&want), want.len) != 0)))
        rc = write_file(st, CA_PUBLIC, 0644, &want);
    shs__buf_free(&want);
    shs__buf_free(&have);
    return rc;
}

/* -- the leaf ---------------------------------------------------------------------------------- */

/* Valid now and for a while, or as long as its CA; by a clock that is wrong, whatever it says. */
static bool lasts(const struct store *st, const X509 *leaf)
{
    int64_t start = unix_time(X509_get0_notBefore(leaf)), end = unix_time(X509_get0_notAfter(leaf));
    int64_t days = RENEW_DAYS + (st->renew ? EARLY_DAYS : 0);

    if (clock_is_early(st))
        return true;
    return start <= st->now && st->now < end && (end > st->now + days * DAY || end >= st->ca_end);
}

static bool leaf_serves(const struct store *st, X509 *leaf)
{
    size_t i;

    if (X509_check_issued(st->ca, leaf) != X509_V_OK || X509_verify(leaf, st->ca_key) != 1 ||
        !lasts(st, leaf)) {
        ERR_clear_error();
        return false;
    }
    for (i = 0; st->names[i] != NULL; i++) {
        if (!shs__cert_covers(leaf, st->names[i]))
            return false;
    }
    return true;
}

/* Somebody may trust this CA as it is: it is not made again without being asked. */
static int not_permitted(const struct store *st)
{
    char names[160] = "";
    size_t used = 0, i;

    for (i = ALWAYS; st->names[i] != NULL && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > ALWAYS ? ", " : "",
                                 st->names[i]);
    return shs_error_set(st->err, SHS_TLS, 0,
                         "The CA in %s may not sign for %s: it was made for this machine and "
                         "private networks. Give a certificate of your own, or remove %s/%s to "
                         "have a CA made that may; it must then be trusted again.",
                         st->dir, names, st->dir, CA_FILE);
}

static int make_leaf(struct store *st)
{
    int64_t now = clock_is_early(st) ? st->ca_start + HOUR : st->now;
    struct shs_cert_spec spec = {
        .common_name = "localhost",
        .names = st->names,
        .not_before = now - HOUR,
        .not_after = now - HOUR + LEAF_DAYS * DAY,
        .server_auth = true,
    };
    EVP_PKEY *key = NULL;
    X509 *leaf = NULL;
    int rc;

    if (spec.not_after > st->ca_end)
        spec.not_after = st->ca_end;
    st->leaf_start = spec.not_before;
    st->leaf_end = spec.not_after;
    rc = shs__mint_key(&key, SHS_KEY_P256, st->err);
    if (rc == SHS_OK)
        rc = shs__mint_cert(&leaf, &spec, key, st->ca, st->ca_key, st->err);
    if (rc == SHS_OK && !shs__cert_permitted(leaf, st->ca))
        rc = not_permitted(st);
    if (rc == SHS_OK)
        rc = write_pair(st, LEAF_FILE, key, leaf);
    EVP_PKEY_free(key);
    X509_free(leaf);
    return rc;
}

static int open_leaf(struct store *st, bool *made)
{
    struct shs_buf pem;
    EVP_PKEY *key = NULL;
    X509 *leaf = NULL;
    bool serves;
    int rc;

    shs__buf_init(&pem, FILE_CEILING);
    rc = read_file(st, LEAF_FILE, true, &pem);
    serves = rc == SHS_OK && parse_pair(&pem, &key, &leaf) && leaf_serves(st, leaf);
    if (serves) {
        st->leaf_start = unix_time(X509_get0_notBefore(leaf));
        st->leaf_end = unix_time(X509_get0_notAfter(leaf));
    }
    EVP_PKEY_free(key);
    X509_free(leaf);
    wipe(&pem);
    if (serves || (rc != SHS_OK && rc != SHS_CLOSED))
        return rc;
    *made = true;
    return make_leaf(st);
}

/* May the CA sign for that name alone? */
static int is_permitted(const struct store *st, EVP_PKEY *key, const char *name, bool *permitted)
{
    const char *const one[] = {name, NULL};
    struct shs_cert_spec spec = {
        .names = one,
        .not_before = st->ca_start,
        .not_after = st->ca_end,
        .server_auth = true,
    };
    X509 *probe = NULL;
    int rc = shs__mint_cert(&probe, &spec, key, st->ca, st->ca_key, st->err);

    *permitted = rc == SHS_OK && shs__cert_permitted(probe, st->ca);
    X509_free(probe);
    return rc;
}

/* What was only found goes, where the CA was not made for it: a laptop in another network must not
   keep the server from starting. */
static int leave_out(struct store *st, struct shs_local_ca *made)
{
    size_t kept = st->wanted, used = 0;
    int rc = SHS_OK;

    for (size_t i = st->wanted; rc == SHS_OK && i < st->count; i++) {
        bool permitted = false;

        rc = is_permitted(st, st->ca_key, st->names[i], &permitted);
        if (permitted)
            st->names[kept++] = st->names[i];
        else if (rc == SHS_OK && used < sizeof made->left_out)
            used += (size_t)snprintf(made->left_out + used, sizeof made->left_out - used, "%s%s",
                                     used > 0 ? ", " : "", st->names[i]);
    }
    st->names[kept] = NULL;
    st->count = kept;
    return rc;
}

/* -- the call ---------------------------------------------------------------------------------- */

static int add_names(struct store *st, const char *const *names)
{
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        if (st->count == NAMES_MAX)
            return shs_error_set(st->err, SHS_USAGE, 0, "A local certificate has %u names at most.",
                                 NAMES_MAX);
        st->names[st->count++] = names[i];
    }
    st->names[st->count] = NULL;
    return SHS_OK;
}

static int gather_names(struct store *st, const char *const *names, const char *const *also)
{
    static const char *const always[ALWAYS + 1] = {"localhost", "127.0.0.1", "::1", NULL};
    int rc = add_names(st, always);

    if (rc == SHS_OK)
        rc = add_names(st, names);
    st->wanted = st->count;
    return rc == SHS_OK ? add_names(st, also) : rc;
}

/* What others are given of the CA. */
static int copy_ca(const struct store *st, struct shs_local_ca *out)
{
    int len = i2d_X509(st->ca, NULL), rc;
    unsigned char *at;
    struct shs_buf pem;

    shs__buf_init(&pem, FILE_CEILING);
    rc = shs__mint_cert_pem(&pem, st->ca, st->err);
    if (rc == SHS_OK) {
        out->ca_pem = shs__strndup(shs__buf_head(&pem), pem.len);
        out->ca_der = len > 0 ? shs__malloc((size_t)len) : NULL;
        if (out->ca_pem == NULL || out->ca_der == NULL)
            rc = fail_memory(st);
    }
    shs__buf_free(&pem);
    if (rc != SHS_OK)
        return rc;
    at = out->ca_der;
    out->ca_der_len = (size_t)i2d_X509(st->ca, &at);
    return SHS_OK;
}

static int fill(const struct store *st, struct shs_local_ca *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0, i;

    if (X509_digest(st->ca, EVP_sha256(), digest, &len) != 1 || len != 32)
        return shs_error_set(st->err, SHS_TLS, 0, "OpenSSL cannot make a SHA-256 fingerprint.");
    for (i = 0; i < len; i++)
        snprintf(out->fingerprint + 3u * i, sizeof out->fingerprint - 3u * i, "%02X%s", digest[i],
                 i + 1 < len ? ":" : "");
    out->ca_path = shs__asprintf("%s/%s", st->dir, CA_PUBLIC);
    out->leaf_path = shs__asprintf("%s/%s", st->dir, LEAF_FILE);
    if (out->ca_path == NULL || out->leaf_path == NULL)
        return fail_memory(st);
    return copy_ca(st, out);
}

int shs__local_ca_open(struct shs_local_ca *out, const char *dir, const char *const *names,
                       int64_t now, struct shs_error *err)
{
    return shs__local_ca_open_also(out, dir, names, NULL, now, err);
}

/* When the leaf has to be looked at again: not before its start, and when little is left of it. */
static void note_leaf(const struct store *st, struct shs_local_ca *made)
{
    made->leaf_start = st->leaf_start;
    made->leaf_due =
        st->leaf_end >= st->ca_end ? INT64_MAX : st->leaf_end - (RENEW_DAYS + EARLY_DAYS) * DAY;
}

static int open_store(struct shs_local_ca *out, const char *dir, const char *const *names,
                      const char *const *also, int64_t now, bool renew, struct shs_error *err)
{
    struct store st = {
        .dir = dir, .dir_fd = -1, .lock_fd = -1, .now = now, .renew = renew, .err = err};
    struct shs_local_ca made;
    int rc;

    memset(&made, 0, sizeof made);
    /* What OpenSSL could not set up at its first use it falls over at the second. */
    if (OSSL_LIB_CTX_get0_global_default() == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for OpenSSL.");
    ERR_clear_error();
    if (dir == NULL || dir[0] == '\0')
        return shs_error_set(err, SHS_USAGE, 0, "The local CA needs a directory for its files.");
    rc = gather_names(&st, names, also);
    if (rc == SHS_OK)
        rc = make_dirs(&st);
    if (rc == SHS_OK)
        rc = lock_dir(&st);
    if (rc == SHS_OK)
        rc = open_ca(&st, &made);
    if (rc == SHS_OK)
        rc = publish_ca(&st);
    if (rc == SHS_OK)
        rc = leave_out(&st, &made);
    if (rc == SHS_OK)
        rc = open_leaf(&st, &made.leaf_made);
    if (rc == SHS_OK)
        rc = fill(&st, &made);
    if (rc == SHS_OK) {
        warn(&st, &made);
        note_leaf(&st, &made);
    }
    if (rc == SHS_OK)
        *out = made;
    else
        shs__local_ca_free(&made);
    EVP_PKEY_free(st.ca_key);
    X509_free(st.ca);
    if (st.lock_fd >= 0)
        close(st.lock_fd); /* and the lock with it */
    if (st.dir_fd >= 0)
        close(st.dir_fd);
    return rc;
}

int shs__local_ca_open_also(struct shs_local_ca *out, const char *dir, const char *const *names,
                            const char *const *also, int64_t now, struct shs_error *err)
{
    return open_store(out, dir, names, also, now, false, err);
}

int shs__local_ca_renew(struct shs_local_ca *self, const char *dir, const char *const *names,
                        const char *const *also, int64_t now, bool *changed, struct shs_error *err)
{
    struct shs_local_ca made;
    int rc = open_store(&made, dir, names, also, now, true, err);

    *changed = false;
    if (rc != SHS_OK)
        return rc == SHS_CLOSED ? SHS_OK : rc;
    *changed = made.leaf_start != self->leaf_start || made.leaf_due != self->leaf_due;
    self->leaf_start = made.leaf_start;
    self->leaf_due = made.leaf_due;
    shs__local_ca_free(&made);
    return SHS_OK;
}

bool shs__local_ca_due(const struct shs_local_ca *self, int64_t now)
{
    return now >= self->leaf_due || now < self->leaf_start;
}

void shs__local_ca_free(struct shs_local_ca *self)
{
    shs__free(self->ca_path);
    shs__free(self->leaf_path);
    shs__free(self->ca_pem);
    shs__free(self->ca_der);
    memset(self, 0, sizeof *self);
}
