#include "handler/password.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <shs/digest.h>
#include <shs/http.h>

#ifdef SHS_HAVE_CRYPT
#include <crypt.h>
#endif

#define HASH_MAX 383

struct user {
    struct shs_str name;
    const char *hash;
};

struct shs_users {
    struct user *list;
    size_t count, room;
    struct shs_arena text;
};

/* Those of crypt(5) that are slow on purpose. DES and MD5 are guessed by the billion a second. */
static bool is_strong_hash(struct shs_str hash)
{
    static const char *const prefixes[] = {"$y$", "$2a$", "$2b$", "$2y$",
                                           "$6$", "$5$",  "$7$",  "$gy$"};

    if (hash.len > HASH_MAX)
        return false;
    for (size_t i = 0; i < hash.len; i++) {
        if (hash.ptr[i] <= ' ' || hash.ptr[i] > '~')
            return false;
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(prefixes); i++) {
        size_t len = strlen(prefixes[i]);

        if (hash.len > len + 8 && memcmp(hash.ptr, prefixes[i], len) == 0)
            return true;
    }
    return false;
}

static const struct user *find_user(const struct shs_users *users, struct shs_str name)
{
    for (size_t i = 0; i < users->count; i++) {
        if (shs__str_eq(users->list[i].name, name))
            return &users->list[i];
    }
    return NULL;
}

static int add_user(struct shs_users *users, struct shs_str name, struct shs_str hash)
{
    struct shs_str kept_name = shs__arena_copy(&users->text, name);
    char *kept_hash = shs__arena_alloc(&users->text, hash.len + 1);
    void *grown;

    if (kept_name.ptr == NULL || kept_hash == NULL)
        return SHS_NOMEM;
    memcpy(kept_hash, hash.ptr, hash.len);
    kept_hash[hash.len] = '\0';
    if (users->count == users->room) {
        users->room = users->room == 0 ? 16 : users->room * 2;
        grown = shs__realloc(users->list, users->room * sizeof *users->list);
        if (grown == NULL)
            return SHS_NOMEM;
        users->list = grown;
    }
    users->list[users->count++] = (struct user){kept_name, kept_hash};
    return SHS_OK;
}

static struct shs_str trim(struct shs_str s)
{
    while (s.len > 0 && (unsigned char)s.ptr[0] <= ' ') {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && (unsigned char)s.ptr[s.len - 1] <= ' ')
        s.len--;
    return s;
}

static int add_line(struct shs_users *users, struct shs_str line, const char *path, unsigned number,
                    struct shs_error *err)
{
    struct shs_str name, hash;
    const char *colon;

    line = trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return SHS_OK;
    colon = memchr(line.ptr, ':', line.len);
    if (colon == NULL || colon == line.ptr || colon - line.ptr > SHS_USER_NAME_MAX)
        return shs_error_set(err, SHS_USAGE, 0, "%s, line %u: that is not \"user:hash\".", path,
                             number);
    name = (struct shs_str){line.ptr, (size_t)(colon - line.ptr)};
    hash = (struct shs_str){colon + 1, line.len - name.len - 1};
    if (!is_strong_hash(hash))
        return shs_error_set(err, SHS_USAGE, 0,
                             "%s, line %u: the hash is not yescrypt, bcrypt or SHA-crypt; make one "
                             "with \"mkpasswd\".",
                             path, number);
    if (find_user(users, name) != NULL)
        return shs_error_set(err, SHS_USAGE, 0, "%s, line %u: this user is listed twice.", path,
                             number);
    if (users->count == SHS_USERS_MAX)
        return shs_error_set(err, SHS_LIMIT, 0, "%s has more than %d users.", path, SHS_USERS_MAX);
    if (add_user(users, name, hash) != SHS_OK)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the users of %s.", path);
    return SHS_OK;
}

int shs__users_parse(struct shs_users **out, struct shs_str text, const char *path,
                     struct shs_error *err)
{
    struct shs_users *users = shs__calloc(1, sizeof *users);
    const char *newline;
    int rc = SHS_OK;

    if (users == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the users of %s.", path);
    shs__arena_init(&users->text, SHS_USERS_BYTES_MAX * 2);
    for (unsigned number = 1; rc == SHS_OK && text.len > 0; number++) {
        struct shs_str line = text;

        newline = memchr(text.ptr, '\n', text.len);
        if (newline != NULL)
            line.len = (size_t)(newline - text.ptr);
        rc = add_line(users, line, path, number, err);
        text.ptr += line.len + (newline != NULL);
        text.len -= line.len + (newline != NULL);
    }
    if (rc == SHS_OK && users->count == 0)
        rc = shs_error_set(err, SHS_USAGE, 0, "%s has no user in it: lines are \"user:hash\".",
                           path);
    if (rc != SHS_OK) {
        shs__users_free(users);
        return rc;
    }
    *out = users;
    return SHS_OK;
}

int shs__users_load(struct shs_users **out, const char *path, struct shs_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc = SHS_IO;
    struct shs_buf text;
    char words[64];

    shs__buf_init(&text, SHS_USERS_BYTES_MAX);
    if (fd >= 0)
        rc = shs__read_all(fd, &text);
    if (rc != SHS_OK)
        rc = shs_error_set(
            err, rc, rc == SHS_IO ? errno : 0, "Cannot read the users of %s: %s.", path,
            rc == SHS_IO ? shs__strerror(errno, words, sizeof words) : shs_err_text(rc));
    else
        rc = shs__users_parse(out, (struct shs_str){shs__buf_head(&text), text.len}, path, err);
    if (text.len > 0)
        explicit_bzero(shs__buf_head(&text), text.len);
    shs__buf_free(&text);
    if (fd >= 0)
        close(fd);
    return rc;
}

void shs__users_free(struct shs_users *users)
{
    if (users == NULL)
        return;
    shs__free(users->list);
    shs__arena_free(&users->text);
    shs__free(users);
}

#ifdef SHS_HAVE_CRYPT
int shs__password_check(const struct shs_users *users, struct shs_str user, struct shs_str password,
                        bool *right)
{
    const struct user *found = find_user(users, user);
    /* Nobody of that name: verified all the same, against somebody's hash, and then refused. */
    const char *hash = found == NULL ? users->list[0].hash : found->hash, *made;
    char text[SHS_PASSWORD_MAX + 1];
    struct crypt_data *data;

    *right = false;
    if (password.len > SHS_PASSWORD_MAX || memchr(password.ptr, '\0', password.len) != NULL)
        return SHS_OK;
    data = shs__calloc(1, sizeof *data);
    if (data == NULL)
        return SHS_NOMEM;
    memcpy(text, password.ptr, password.len);
    text[password.len] = '\0';
    made = crypt_rn(text, hash, data, (int)sizeof *data); /* NULL when it fails */
    *right = made != NULL && strlen(made) == strlen(hash) &&
             shs_equal_secret(made, hash, strlen(hash)) && found != NULL;
    explicit_bzero(text, sizeof text);
    explicit_bzero(data, sizeof *data);
    shs__free(data);
    return SHS_OK;
}
#else
int shs__password_check(const struct shs_users *users, struct shs_str user, struct shs_str password,
                        bool *right)
{
    SHS_UNUSED(users);
    SHS_UNUSED(user);
    SHS_UNUSED(password);
    *right = false;
    return SHS_USAGE;
}
#endif
