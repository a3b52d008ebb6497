/*
 * client.h - a client that holds every answer against the one that it is to be: whole and right,
 * or visibly not.
 */
#ifndef FAULTS_CLIENT_H
#define FAULTS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <openssl/ssl.h>

/* How long a server may say nothing: then it hangs. */
#define FAULTS_PATIENCE_MS 10000

struct place {
    struct sockaddr_storage address;
    socklen_t len;
};

struct line {
    int fd;
    SSL *ssl;      /* NULL: plain */
    long by_bytes; /* so many are said one by one, and then the rest */
};

/* What became of a request; the text says what is wrong. */
enum verdict { WHOLE, BROKEN, WRONG, HANGS };

struct line_options {
    SSL_CTX *tls;                 /* NULL: plain */
    const char *name;             /* that TLS asks for */
    SSL_SESSION *session;         /* to resume; NULL: none */
    void (*connected)(void *ctx); /* called before anything is said; NULL: nothing */
    void *ctx;
};

/* `options` may be NULL. */
enum verdict line_open(struct line *line, const struct place *place,
                       const struct line_options *options);
void line_close(struct line *line);
enum verdict line_say(struct line *line, const void *bytes, size_t len);

struct answer {
    int status;
    char type[80], coding[40], range[80], location[120];
    char *body;
    size_t len;
};

/* The next answer: WHOLE with *answer, or BROKEN. */
struct reader {
    char *bytes;
    size_t len, cap;
};
enum verdict answer_read(struct answer *answer, struct line *line, struct reader *reader,
                         bool head);
void answer_free(struct answer *answer);
void reader_free(struct reader *reader);

#endif
