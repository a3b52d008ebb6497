/*
 * hello.h - the ClientHello, read and changed before OpenSSL sees it.
 */
#ifndef SHS_LAB_HELLO_H
#define SHS_LAB_HELLO_H

#include "lab/rows.h"

#define LAB_HELLO_LIST 96

struct shs__lab_list {
    uint16_t items[LAB_HELLO_LIST];
    size_t count;
};

struct shs__lab_hello {
    char sni[256];  /* lower case; "" = none */
    char alpn[128]; /* "h2,http/1.1" */
    unsigned legacy_version;
    bool has_alpn, offers_13;
    struct shs__lab_list ciphers, extensions, versions, groups, signatures;
    struct shs__lab_list shares; /* the groups it sends a key for */
};

/* Bytes of a ClientHello at most: the record layer's and what post-quantum keys need. */
#define LAB_HELLO_MAX 65536

/*
 * Reads records. SHS_OK; SHS_WAIT_READ when there must come more; SHS_PROTO when it is none.
 * `message` gets the handshake message, its header included.
 */
int shs__lab_hello_read(struct shs__lab_hello *out, struct shs_str records,
                        struct shs_buf *message);

/* A group, in OpenSSL's word, that the client offers and sends no key for: who takes that one has
   to ask it again. NULL when there is none. */
const char *shs__lab_hello_spare_group(const struct shs__lab_hello *hello);

/* Changes the message. */
void shs__lab_hello_edit(struct shs_buf *message, enum shs__lab_edit edit);

/* The message as records. */
int shs__lab_hello_frame(const struct shs_buf *message, struct shs_buf *records);

/* As JSON; SHS_NOMEM. */
int shs__lab_hello_print(const struct shs__lab_hello *hello, const char *client,
                         struct shs_buf *out);

#endif
