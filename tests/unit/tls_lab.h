/*
 * tls_lab.h - certificates and contexts for the tests of TLS, made again in each run, and nothing
 * read from the tree.
 */
#ifndef TLS_LAB_H
#define TLS_LAB_H

#include <time.h>

#include <openssl/ssl.h>

#include "certs/minter.h"
#include "tls/config/context.h"
#include "tls/wire/stream.h"

#define LAB_DAY ((int64_t)86400)

struct tls_lab {
    EVP_PKEY *ca_key, *key;
    X509 *ca, *leaf;
    struct shs_buf cert_pem, key_pem;
    struct shs_options opt;
};

/* A CA, and a leaf of its for localhost with a key of that kind; P-256 for the CA itself. */
void lab_open(struct tls_lab *lab, enum shs_key_kind kind);
void lab_close(struct tls_lab *lab);
/* Another leaf of that CA, good between the two times. */
X509 *lab_leaf(const struct tls_lab *lab, EVP_PKEY *key, int64_t from, int64_t to);

/* SHS_TEST_RECORDS=direct: the servers of this run leave libssl as soon as a handshake is over. */
bool lab_is_direct(void);
struct shs_tls_context *lab_server(const struct tls_lab *lab);
/* A client that trusts the lab's CA; version 0 = any. */
struct shs_tls_context *lab_client(const struct tls_lab *lab, int version);

/* Both handshakes in turn, until both are complete or one failed: the server's answer. */
int lab_handshake(struct shs_tls_stream *server, struct shs_tls_stream *client);

/*
 * One lab, with P-256, for a group of tests: cmocka_run_group_tests(tests, lab_setup,
 * lab_teardown).
 */
extern struct tls_lab group_lab;
int lab_setup(void **state);
int lab_teardown(void **state);

#endif
