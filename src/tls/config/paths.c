#include "tls/config/paths.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define ENTRIES_MAX 4096
/* Times of files are taken from a clock that ticks up to 100 times a second. */
#define TICK_NS ((int64_t)20 * SHS_NS_PER_MS)
#define FNV_START ((uint64_t)14695981039346656037u)
#define FNV_PRIME ((uint64_t)1099511628211u)

/* -- which they are ---------------------------------------------------------------------------- */

/* A file, or a directory. Entries with a dot first are not read: Kubernetes has its own. */
static void file_or_directory(const char *path, shs_tls_path_fn *fn, void *ctx)
{
    struct dirent *entry;
    unsigned count = 0;
    DIR *dir = opendir(path);

    fn(ctx, path, dir != NULL);
    while (dir != NULL && count < ENTRIES_MAX && (entry = readdir(dir)) != NULL) {
        char *file;

        if (entry->d_name[0] == '.')
            continue;
        count++;
        file = shs__asprintf("%s/%s", path, entry->d_name);
        if (file != NULL)
            fn(ctx, file, false);
        shs__free(file);
    }
    if (dir != NULL)
        closedir(dir);
}

static void each_of_host(const struct shs_tls_host *host, shs_tls_path_fn *fn, void *ctx)
{
    if (host->client_ca != NULL)
        fn(ctx, host->client_ca, false);
    if (host->crl != NULL)
        file_or_directory(host->crl, fn, ctx);
    for (size_t i = 0; i < host->cert_count; i++) {
        const struct shs_tls_cert *cert = &host->certs[i];

        if (cert->certfile != NULL)
            fn(ctx, cert->certfile, false);
        if (cert->keyfile != NULL)
            fn(ctx, cert->keyfile, false);
        if (cert->ocspfile != NULL)
            fn(ctx, cert->ocspfile, false);
    }
}

void shs__tls_each_path(const struct shs_tls_config *config, shs_tls_path_fn *fn, void *ctx)
{
    if (config->ticket_secret != NULL)
        fn(ctx, config->ticket_secret, false);
    if (config->deny != NULL)
        fn(ctx, config->deny, false);
    for (size_t h = 0; h < config->host_count; h++)
        each_of_host(&config->hosts[h], fn, ctx);
}

/* -- how they are ------------------------------------------------------------------------------ */

struct look {
    uint64_t sum;
    int64_t now_ns;
    bool fresh; /* one was written just now */
};

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * FNV_PRIME;
    return hash;
}

static int64_t ns_of(struct timespec t)
{
    return shs__ns_between(&(struct timespec){0, 0}, &t);
}

static int64_t wall_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return ns_of(now);
}

/* Sums: the entries of a directory come in any order. */
static void look_at(void *ctx, const char *path, bool whole)
{
    struct look *look = ctx;
    int64_t facts[7] = {0}, age;
    struct stat st;

    if (stat(path, &st) == 0) {
        facts[0] = (int64_t)st.st_dev;
        facts[1] = (int64_t)st.st_ino;
        facts[2] = whole ? 0 : (int64_t)st.st_size;
        facts[3] = whole ? 0 : ns_of(st.st_mtim);
        facts[4] = whole ? 0 : ns_of(st.st_ctim); /* what is in it counts, each by itself */
        facts[5] = (int64_t)st.st_mode;
        age = look->now_ns - ns_of(st.st_ctim);
        look->fresh = look->fresh || (!whole && age >= -TICK_NS && age < TICK_NS);
    } else {
        facts[6] = errno;
    }
    look->sum += mix(mix(FNV_START, path, strlen(path)), facts, sizeof facts);
}

uint64_t shs__tls_look(const struct shs_tls_config *config)
{
    struct look look = {.sum = FNV_START, .now_ns = wall_ns()};

    shs__tls_each_path(config, look_at, &look);
    if (look.fresh)
        look.sum = mix(look.sum, &look.now_ns, sizeof look.now_ns);
    return look.sum == 0 ? 1 : look.sum;
}
