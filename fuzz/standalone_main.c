/*
 * standalone_main.c - a fuzz target without libFuzzer: runs it over files, and over each of them
 * cut short and with one bit changed, so that a corpus is a regression test for any compiler.
 *
 *   target FILE_OR_DIRECTORY ...
 */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILE ((size_t)1 << 20)
#ifndef VARIANTS
#define VARIANTS 64u
#endif

static unsigned long files, inputs;

/* A copy of exact size, so that a sanitizer sees a read behind its end. */
static void run_copy(const uint8_t *data, size_t size, size_t at, unsigned flip)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size);

    MUST(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    if (at < size)
        copy[at] = (uint8_t)(copy[at] ^ flip);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    inputs++;
}

static void run_variants(const uint8_t *data, size_t size)
{
    uint64_t seed = fuzz_seed(data, size);

    run_copy(data, size, size, 0);
    for (unsigned i = 0; i < VARIANTS && size > 0; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        run_copy(data, (size_t)(seed >> 33) % size, size, 0);
        run_copy(data, size, (size_t)(seed >> 35) % size, 1u << (seed >> 61));
    }
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(MAX_FILE);
    size_t size;

    if (file == NULL || data == NULL) {
        perror(path);
        free(data);
        if (file != NULL)
            fclose(file);
        return 1;
    }
    size = fread(data, 1, MAX_FILE, file);
    fclose(file);
    run_variants(data, size);
    free(data);
    files++;
    return 0;
}

static int run_path(const char *path)
{
    char name[4096];
    struct dirent *entry;
    struct stat st;
    DIR *dir;
    int failed = 0;

    if (stat(path, &st) != 0) {
        perror(path);
        return 1;
    }
    if (!S_ISDIR(st.st_mode))
        return run_file(path);
    dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        return 1;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(name, sizeof name, "%s/%s", path, entry->d_name) < (int)sizeof name)
            failed |= run_file(name);
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= run_path(argv[i]);
    printf("%lu files, %lu inputs\n", files, inputs);
    if (files == 0)
        fprintf(stderr, "%s: no input; name a corpus directory\n", argv[0]);
    return failed || files == 0;
}
