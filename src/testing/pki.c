#include "testing/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <shs/certs.h>

#include "certs/faults.h"

static int out_of_memory(struct shs_error *err)
{
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a certificate.");
}

/* Certificates and key as PEM of our own. */
static int keep(const struct shs_issued_cert *cert, char **cert_pem, char **key_pem,
                struct shs_error *err)
{
    *cert_pem = shs__strdup(shs_issued_cert_pem(cert));
    *key_pem = shs__strdup(shs_issued_cert_key_pem(cert));
    return *cert_pem != NULL && *key_pem != NULL ? SHS_OK : out_of_memory(err);
}

static int issue(const struct shs_ca *ca, const struct shs_cert_options *opt, char **cert_pem,
                 char **key_pem, struct shs_error *err)
{
    struct shs_issued_cert *cert = NULL;
    int rc = shs_ca_issue(&cert, ca, opt, err);

    if (rc == SHS_OK)
        rc = keep(cert, cert_pem, key_pem, err);
    shs_issued_cert_free(cert);
    return rc;
}

/* One that can sign what is asked for: below another when something between is to be missing. */
static int make_authority(struct shs_ca **out, const char *fault, struct shs_error *err)
{
    struct shs_ca_options o = {.size = sizeof o};
    struct shs_ca *root = NULL;
    int rc;

    o.key = shs__fault_signer_key(fault, NULL);
    if (fault == NULL || strcmp(fault, "incomplete-chain") != 0)
        return shs_ca_new(out, &o, err);
    rc = shs_ca_new(&root, &o, err);
    if (rc == SHS_OK)
        rc = shs_ca_intermediate(out, root, &o, err);
    shs_ca_free(root);
    return rc;
}

static int make_certificates(struct shs_test_pki *self, const struct shs_test_pki_wish *wish,
                             struct shs_error *err)
{
    struct shs_cert_options leaf = {
        .size = sizeof leaf, .names = wish->names, .fault = wish->fault};
    struct shs_cert_options user = {.size = sizeof user, .client = true, .common_name = "client"};
    const struct shs_ca *ca = wish->ca;
    struct shs_ca *own = NULL;
    int rc = ca != NULL ? SHS_OK : make_authority(&own, wish->fault, err);

    if (ca == NULL)
        ca = own;
    if (rc == SHS_OK && (self->ca_pem = shs__strdup(shs_ca_root_pem(ca))) == NULL)
        rc = out_of_memory(err);
    if (rc == SHS_OK)
        rc = issue(ca, &leaf, &self->cert_pem, &self->key_pem, err);
    if (rc == SHS_OK && wish->client)
        rc = issue(ca, &user, &self->client_pem, &self->client_key_pem, err);
    shs_ca_free(own);
    return rc;
}

/* -- files ------------------------------------------------------------------------------------- */

static int write_file(const struct shs_test_pki *self, const char *name, const char *bytes,
                      char **path, struct shs_error *err)
{
    size_t len = strlen(bytes);
    char *file = shs__asprintf("%s/%s", self->place.path, name), why[96];
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

static int write_files(struct shs_test_pki *self, bool client, const char *client_ca_pem,
                       struct shs_error *err)
{
    int rc = write_file(self, "ca.pem", self->ca_pem, &self->ca_path, err);

    if (rc == SHS_OK && client)
        rc = write_file(self, "client.pem", self->client_pem, &self->client_path, err);
    if (rc == SHS_OK && client)
        rc = write_file(self, "client.key", self->client_key_pem, &self->client_key_path, err);
    if (rc == SHS_OK && client_ca_pem != NULL)
        rc = write_file(self, "client-ca.pem", client_ca_pem, &self->client_ca_path, err);
    return rc;
}

/* -- life -------------------------------------------------------------------------------------- */

int shs__test_pki_make(struct shs_test_pki *self, const struct shs_test_pki_wish *wish,
                       struct shs_error *err)
{
    int rc;

    memset(self, 0, sizeof *self);
    rc = make_certificates(self, wish, err);
    if (rc == SHS_OK)
        rc = shs__throwaway_dir(&self->place, wish->temp_dir, "shs-test-server", err);
    if (rc == SHS_OK)
        rc = write_files(self, wish->client, wish->client_ca_pem, err);
    if (rc != SHS_OK)
        shs__test_pki_free(self);
    return rc;
}

static void forget(char **pem)
{
    if (*pem != NULL)
        explicit_bzero(*pem, strlen(*pem));
    shs__free(*pem);
    *pem = NULL;
}

static void remove_file(const struct shs_test_pki *self, char **path)
{
    if (*path != NULL && shs__throwaway_is_ours(&self->place))
        (void)unlink(*path);
    shs__free(*path);
    *path = NULL;
}

void shs__test_pki_free(struct shs_test_pki *self)
{
    remove_file(self, &self->ca_path);
    remove_file(self, &self->client_ca_path);
    remove_file(self, &self->client_path);
    remove_file(self, &self->client_key_path);
    shs__throwaway_remove(&self->place);
    forget(&self->ca_pem);
    forget(&self->cert_pem);
    forget(&self->client_pem);
    forget(&self->key_pem);
    forget(&self->client_key_pem);
}
