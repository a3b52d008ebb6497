#include "testing/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "certs/minter.h"

#define PEM_MAX ((size_t)64 * 1024)
/* From 2000 to the end of 2049: a test's certificate that runs out breaks the test. */
#define NOT_BEFORE ((int64_t)946684800)
#define NOT_AFTER ((int64_t)2524607999)

struct signer {
    EVP_PKEY *key;
    X509 *cert;
};

static int terminate(struct shs_buf *pem)
{
    int rc = shs__buf_append(pem, "", 1);

    if (rc == SHS_OK)
        pem->len--;
    return rc;
}

/* A certificate and its key as PEM; `ca` NULL: of itself, and *signer keeps the two. */
static int make(const struct shs_cert_spec *spec, const struct signer *ca, struct signer *keep,
                struct shs_buf *cert_pem, struct shs_buf *key_pem, struct shs_error *err)
{
    struct signer made = {NULL, NULL};
    int rc = shs__mint_key(&made.key, SHS_KEY_P256, err);

    if (rc == SHS_OK)
        rc = shs__mint_cert(&made.cert, spec, made.key, ca == NULL ? NULL : ca->cert,
                            ca == NULL ? NULL : ca->key, err);
    if (rc == SHS_OK)
        rc = shs__mint_cert_pem(cert_pem, made.cert, err);
    if (rc == SHS_OK && key_pem != NULL)
        rc = shs__mint_key_pem(key_pem, made.key, NULL, err);
    if (rc == SHS_OK &&
        (terminate(cert_pem) != SHS_OK || (key_pem != NULL && terminate(key_pem) != SHS_OK)))
        rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a certificate.");
    if (rc == SHS_OK && keep != NULL) {
        *keep = made;
        return SHS_OK;
    }
    X509_free(made.cert);
    EVP_PKEY_free(made.key);
    return rc;
}

static int make_certificates(struct shs_test_pki *self, const char *const *names, bool client,
                             struct shs_error *err)
{
    struct shs_cert_spec ca = {.common_name = "shs throw-away test CA",
                               .ca = true,
                               .not_before = NOT_BEFORE,
                               .not_after = NOT_AFTER};
    struct shs_cert_spec leaf = {.common_name = "test server",
                                 .names = names,
                                 .server_auth = true,
                                 .not_before = NOT_BEFORE,
                                 .not_after = NOT_AFTER};
    struct shs_cert_spec user = {.common_name = "client",
                                 .client_auth = true,
                                 .not_before = NOT_BEFORE,
                                 .not_after = NOT_AFTER};
    struct signer signer = {NULL, NULL};
    int rc = make(&ca, NULL, &signer, &self->ca_pem, NULL, err);

    if (rc == SHS_OK)
        rc = make(&leaf, &signer, NULL, &self->cert_pem, &self->key_pem, err);
    if (rc == SHS_OK && client)
        rc = make(&user, &signer, NULL, &self->client_pem, &self->client_key_pem, err);
    X509_free(signer.cert);
    EVP_PKEY_free(signer.key);
    return rc;
}

/* -- files ------------------------------------------------------------------------------------- */

static int write_file(const struct shs_test_pki *self, const char *name, const void *bytes,
                      size_t len, char **path, struct shs_error *err)
{
    char *file = shs__asprintf("%s/%s", self->dir, name), why[96];
    ssize_t n = -1;
    int fd, saved;

    if (file == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the name of a file.");
    fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        *path = file; /* it is there, and is removed whatever comes now */
        n = write(fd, bytes, len);
    }
    saved = n < 0 ? errno : ENOSPC;
    if (fd >= 0 && close(fd) != 0 && n == (ssize_t)len) {
        saved = errno;
        n = -1;
    }
    if (n == (ssize_t)len)
        return SHS_OK;
    shs_error_set(err, SHS_IO, saved, "Cannot write %s: %s.", file,
                  shs__strerror(saved, why, sizeof why));
    if (fd < 0)
        shs__free(file);
    return SHS_IO;
}

static int make_directory(struct shs_test_pki *self, const char *temp_dir, struct shs_error *err)
{
    char *dir = shs__asprintf("%s/shs-throwaway-XXXXXX", temp_dir), why[96];
    int saved;

    if (dir == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the name of a directory.");
    if (mkdtemp(dir) == NULL) { /* 0700 */
        saved = errno;
        shs_error_set(err, SHS_IO, saved, "Cannot make a directory in %s: %s.", temp_dir,
                      shs__strerror(saved, why, sizeof why));
        shs__free(dir);
        return SHS_IO;
    }
    self->dir = dir;
    return SHS_OK;
}

static int write_files(struct shs_test_pki *self, bool client, const char *client_ca_pem,
                       struct shs_error *err)
{
    int rc = write_file(self, "ca.pem", shs__buf_head(&self->ca_pem), self->ca_pem.len,
                        &self->ca_path, err);

    if (rc == SHS_OK && client)
        rc = write_file(self, "client.pem", shs__buf_head(&self->client_pem), self->client_pem.len,
                        &self->client_path, err);
    if (rc == SHS_OK && client)
        rc = write_file(self, "client.key", shs__buf_head(&self->client_key_pem),
                        self->client_key_pem.len, &self->client_key_path, err);
    if (rc == SHS_OK && client_ca_pem != NULL)
        rc = write_file(self, "client-ca.pem", client_ca_pem, strlen(client_ca_pem),
                        &self->client_ca_path, err);
    return rc;
}

/* -- life -------------------------------------------------------------------------------------- */

int shs__test_pki_make(struct shs_test_pki *self, const char *temp_dir, const char *const *names,
                       bool client, const char *client_ca_pem, struct shs_error *err)
{
    int rc;

    memset(self, 0, sizeof *self);
    shs__buf_init(&self->ca_pem, PEM_MAX);
    shs__buf_init(&self->cert_pem, PEM_MAX);
    shs__buf_init(&self->key_pem, PEM_MAX);
    shs__buf_init(&self->client_pem, PEM_MAX);
    shs__buf_init(&self->client_key_pem, PEM_MAX);
    rc = make_certificates(self, names, client, err);
    if (rc == SHS_OK)
        rc = make_directory(self, temp_dir, err);
    if (rc == SHS_OK)
        rc = write_files(self, client, client_ca_pem, err);
    if (rc != SHS_OK)
        shs__test_pki_free(self);
    return rc;
}

static void forget_secret(struct shs_buf *pem)
{
    if (pem->data != NULL)
        explicit_bzero(pem->data, pem->cap);
    shs__buf_free(pem);
}

static void remove_file(char **path)
{
    if (*path != NULL)
        (void)unlink(*path);
    shs__free(*path);
    *path = NULL;
}

void shs__test_pki_free(struct shs_test_pki *self)
{
    remove_file(&self->ca_path);
    remove_file(&self->client_ca_path);
    remove_file(&self->client_path);
    remove_file(&self->client_key_path);
    if (self->dir != NULL)
        (void)rmdir(self->dir);
    shs__free(self->dir);
    self->dir = NULL;
    shs__buf_free(&self->ca_pem);
    shs__buf_free(&self->cert_pem);
    shs__buf_free(&self->client_pem);
    forget_secret(&self->key_pem);
    forget_secret(&self->client_key_pem);
}
