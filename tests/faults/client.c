#include "client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>

#define MOST ((size_t)8 << 20)

static bool was_silence(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

enum verdict line_open(struct line *line, const struct place *place,
                       const struct line_options *options)
{
    struct timeval patience = {.tv_sec = FAULTS_PATIENCE_MS / 1000};

    *line = (struct line){
        .fd = socket(place->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0),
    };
    if (line->fd < 0)
        return BROKEN;
    (void)setsockopt(line->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(line->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(line->fd, (const struct sockaddr *)&place->address, place->len) != 0)
        return was_silence() ? HANGS : BROKEN;
    if (options != NULL && options->connected != NULL)
        options->connected(options->ctx);
    if (options == NULL || options->tls == NULL)
        return WHOLE;
    line->ssl = SSL_new(options->tls);
    if (line->ssl == NULL)
        return BROKEN;
    SSL_set_fd(line->ssl, line->fd);
    SSL_set_tlsext_host_name(line->ssl, options->name);
    if (options->session != NULL)
        SSL_set_session(line->ssl, options->session);
    ERR_clear_error();
    errno = 0;
    if (SSL_connect(line->ssl) == 1)
        return WHOLE;
    return was_silence() ? HANGS : BROKEN;
}

void line_close(struct line *line)
{
    if (line->ssl != NULL) {
        (void)SSL_shutdown(line->ssl);
        SSL_free(line->ssl);
    }
    /* A process that the server has forked has a copy of it: closing alone would say nothing. */
    if (line->fd >= 0) {
        (void)shutdown(line->fd, SHUT_RDWR);
        close(line->fd);
    }
    *line = (struct line){.fd = -1};
    ERR_clear_error();
}

enum verdict line_say(struct line *line, const void *bytes, size_t len)
{
    const char *at = bytes;
    int one = 1;

    if (line->by_bytes > 0)
        (void)setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    while (len > 0) {
        size_t piece = line->by_bytes > 0 ? 1 : len;
        ssize_t n;

        line->by_bytes -= line->by_bytes > 0;
        errno = 0;
        n = line->ssl != NULL ? SSL_write(line->ssl, at, (int)piece)
                              : send(line->fd, at, piece, MSG_NOSIGNAL);
        if (n <= 0)
            return was_silence() ? HANGS : BROKEN;
        at += n;
        len -= (size_t)n;
    }
    return WHOLE;
}

static enum verdict more(struct line *line, struct reader *reader)
{
    ssize_t n;

    if (reader->cap - reader->len < 16384) {
        size_t cap = reader->cap == 0 ? 65536 : reader->cap * 2;
        char *bigger = cap > MOST ? NULL : realloc(reader->bytes, cap);

        if (bigger == NULL)
            return BROKEN;
        reader->bytes = bigger;
        reader->cap = cap;
    }
    errno = 0;
    n = line->ssl != NULL ? SSL_read(line->ssl, reader->bytes + reader->len, 16384)
                          : recv(line->fd, reader->bytes + reader->len, 16384, 0);
    if (n <= 0)
        return was_silence() ? HANGS : BROKEN;
    reader->len += (size_t)n;
    return WHOLE;
}

static void take(struct reader *reader, size_t len)
{
    memmove(reader->bytes, reader->bytes + len, reader->len - len);
    reader->len -= len;
}

/* The end of the line that begins at `from`; reads on until there is one. */
static enum verdict line_end(struct line *line, struct reader *reader, size_t from, size_t *end)
{
    for (;;) {
        char *at =
            reader->len > from ? memmem(reader->bytes + from, reader->len - from, "\r\n", 2) : NULL;
        enum verdict verdict;

        if (at != NULL) {
            *end = (size_t)(at - reader->bytes);
            return WHOLE;
        }
        verdict = more(line, reader);
        if (verdict != WHOLE)
            return verdict;
    }
}

struct framing {
    bool chunked, has_length;
    size_t length;
};

static bool named(const char *text, const char *name, const char **value)
{
    size_t len = strlen(name);

    if (strncasecmp(text, name, len) != 0 || text[len] != ':')
        return false;
    *value = text + len + 1 + strspn(text + len + 1, " ");
    return true;
}

static void look_at_field(struct answer *answer, struct framing *framing, const char *text)
{
    const char *value;

    if (named(text, "Content-Length", &value)) {
        framing->has_length = true;
        framing->length = (size_t)strtoull(value, NULL, 10);
    } else if (named(text, "Transfer-Encoding", &value)) {
        framing->chunked = true;
    } else if (named(text, "Content-Type", &value)) {
        /* Of multipart/byteranges the boundary is another each time. */
        snprintf(answer->type, sizeof answer->type, "%.*s", (int)strcspn(value, ";"), value);
    } else if (named(text, "Content-Encoding", &value)) {
        snprintf(answer->coding, sizeof answer->coding, "%s", value);
    } else if (named(text, "Content-Range", &value)) {
        snprintf(answer->range, sizeof answer->range, "%s", value);
    } else if (named(text, "Location", &value)) {
        snprintf(answer->location, sizeof answer->location, "%s", value);
    }
}

static enum verdict read_head(struct answer *answer, struct framing *framing, struct line *line,
                              struct reader *reader)
{
    char text[512];

    *framing = (struct framing){.length = 0};
    for (bool first = true;; first = false) {
        size_t end;
        enum verdict verdict = line_end(line, reader, 0, &end);

        if (verdict != WHOLE)
            return verdict;
        snprintf(text, sizeof text, "%.*s", (int)end, reader->bytes);
        take(reader, end + 2);
        if (first && sscanf(text, "HTTP/1.1 %d ", &answer->status) != 1)
            return WRONG;
        if (!first && text[0] == '\0')
            return WHOLE;
        if (!first)
            look_at_field(answer, framing, text);
    }
}

static enum verdict body_of(struct answer *answer, struct line *line, struct reader *reader,
                            size_t len)
{
    char *body;

    while (reader->len < len) {
        enum verdict verdict = more(line, reader);

        if (verdict != WHOLE)
            return verdict;
    }
    body = realloc(answer->body, answer->len + len + 1);
    if (body == NULL)
        return BROKEN;
    memcpy(body + answer->len, reader->bytes, len);
    answer->body = body;
    answer->len += len;
    body[answer->len] = '\0';
    take(reader, len);
    return WHOLE;
}

static enum verdict chunks(struct answer *answer, struct line *line, struct reader *reader)
{
    for (;;) {
        size_t end, size;
        enum verdict verdict = line_end(line, reader, 0, &end);

        if (verdict != WHOLE)
            return verdict;
        size = (size_t)strtoull(reader->bytes, NULL, 16);
        take(reader, end + 2);
        if (size == 0)
            break;
        verdict = body_of(answer, line, reader, size);
        if (verdict == WHOLE)
            verdict = line_end(line, reader, 0, &end);
        if (verdict != WHOLE)
            return verdict;
        if (end != 0)
            return WRONG;
        take(reader, 2);
    }
    for (;;) { /* trailers */
        size_t end;
        enum verdict verdict = line_end(line, reader, 0, &end);

        if (verdict != WHOLE)
            return verdict;
        take(reader, end + 2);
        if (end == 0)
            return WHOLE;
    }
}

enum verdict answer_read(struct answer *answer, struct line *line, struct reader *reader, bool head)
{
    struct framing framing;
    enum verdict verdict;

    *answer = (struct answer){.status = 0};
    do {
        verdict = read_head(answer, &framing, line, reader);
    } while (verdict == WHOLE && answer->status < 200);
    if (verdict != WHOLE || head || answer->status == 204 || answer->status == 304)
        return verdict;
    if (framing.chunked)
        return chunks(answer, line, reader);
    return framing.has_length ? body_of(answer, line, reader, framing.length) : WRONG;
}

void answer_free(struct answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}

void reader_free(struct reader *reader)
{
    free(reader->bytes);
    *reader = (struct reader){.bytes = NULL};
}
