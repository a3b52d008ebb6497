/*
 * password.h - users and the hashes of their passwords, and whether a password is right.
 *
 * The only file that includes <crypt.h> is password.c. Hashes are compared in constant time; a user
 * who does not exist costs what one who does costs.
 */
#ifndef SHS_HANDLER_PASSWORD_H
#define SHS_HANDLER_PASSWORD_H

#include "base/base.h"

#define SHS_USERS_MAX 10000
#define SHS_USERS_BYTES_MAX ((size_t)4 << 20)
#define SHS_USER_NAME_MAX 255
#define SHS_PASSWORD_MAX 511

struct shs_users;

/* Reads the lines "user:hash" of a file, or of memory. As shs_basic_auth_new. */
int shs__users_load(struct shs_users **out, const char *path, struct shs_error *err);
int shs__users_parse(struct shs_users **out, struct shs_str text, const char *path,
                     struct shs_error *err);
void shs__users_free(struct shs_users *users); /* NULL is fine */

/*
 * Is this the user's password? SHS_OK with *right; SHS_NOMEM. Takes as long as the hash is slow.
 * Any thread.
 */
int shs__password_check(const struct shs_users *users, struct shs_str user, struct shs_str password,
                        bool *right);

#endif
