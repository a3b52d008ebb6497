/*
 * upper_tcp_server.c - the socketserver documentation's first program: a TCP server that answers a
 * line in upper case, and the loop of clients that talks to it.
 *
 *   upper_tcp_server                each client waits for the one before it
 *   upper_tcp_server --threading    the same handler in a ThreadingTCPServer: three clients at once
 *
 * Python:
 *
 *   class MyTCPHandler(socketserver.StreamRequestHandler):
 *       def handle(self):
 *           self.data = self.rfile.readline(10000).rstrip()
 *           self.wfile.write(self.data.upper())
 *
 *   with socketserver.TCPServer((HOST, PORT), MyTCPHandler) as server:
 *       server.serve_forever()
 */
#include <shs/shs.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- the server -------------------------------------------------------------------------------- */

static int upper_handle(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self =
        SHS_CONTAINER_OF(base, struct shs_stream_request_handler, base);
    char data[10000];
    size_t len = 0;
    int rc = shs_rfile_readline(self->rfile, data, sizeof data, &len);

    if (rc != SHS_OK)
        return rc;
    for (size_t i = 0; i < len; i++)
        data[i] = (char)toupper((unsigned char)data[i]);
    return shs_wfile_write(self->wfile, data, len);
}

static const struct shs_stream_request_handler_class upper = {
    .base = {.name = "MyTCPHandler",
             .instance_size = sizeof(struct shs_stream_request_handler),
             .setup = shs_stream_request_handler_setup,
             .handle = upper_handle,
             .finish = shs_stream_request_handler_finish},
    .rbufsize = -1,
};

static void *serve(void *server)
{
    return shs_serve_forever(server) == SHS_OK ? NULL : server;
}

/* -- the client -------------------------------------------------------------------------------- */

struct client {
    unsigned port;
    const char *line;
    char answer[64];
    int fd;
};

static int client_connect(struct client *self)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)self->port)};

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    self->fd = socket(AF_INET, SOCK_STREAM, 0);
    return self->fd < 0 || connect(self->fd, (struct sockaddr *)&to, sizeof to) != 0;
}

static int client_talk(struct client *self)
{
    size_t len = strlen(self->line);
    ssize_t n;

    if (send(self->fd, self->line, len, MSG_NOSIGNAL) != (ssize_t)len)
        return 1;
    n = recv(self->fd, self->answer, sizeof self->answer - 1, MSG_WAITALL);
    close(self->fd);
    self->answer[n > 0 ? n : 0] = '\0';
    printf("Sent:     %sReceived: %s", self->line, self->answer);
    return n <= 0;
}

static const char *const lines[] = {"hello world\n", "python is nice\n", "and so is c\n"};

/* One after the other. */
static int talk_in_turn(unsigned port)
{
    for (size_t i = 0; i < 3; i++) {
        struct client client = {.port = port, .line = lines[i]};

        if (client_connect(&client) != 0 || client_talk(&client) != 0)
            return 1;
    }
    return 0;
}

/* All three are connected; the last is served first. A TCPServer without threads would still be
   waiting for the first one's line. */
static int talk_at_once(unsigned port)
{
    struct client clients[3];

    for (size_t i = 0; i < 3; i++) {
        clients[i] = (struct client){.port = port, .line = lines[i]};
        if (client_connect(&clients[i]) != 0)
            return 1;
    }
    for (size_t i = 3; i > 0; i--) {
        if (client_talk(&clients[i - 1]) != 0)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    bool threading = argc > 1 && strcmp(argv[1], "--threading") == 0;
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;
    pthread_t thread;
    void *failed = NULL;
    int rc;

    shs_options_init(&opt); /* 127.0.0.1, a port of the kernel's choice */
    rc = threading ? shs_threading_tcp_server_new(&server, &opt, &upper.base, &err)
                   : shs_tcp_server_new(&server, &opt, &upper.base, &err);
    if (rc != SHS_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    printf("%s\n", shs_server_describe(server));
    if (pthread_create(&thread, NULL, serve, server) != 0)
        return 1;
    rc = threading ? talk_at_once(shs_server_port(server)) : talk_in_turn(shs_server_port(server));
    shs_shutdown(server);
    pthread_join(thread, &failed);
    shs_server_free(server);
    return rc != 0 || failed != NULL;
}
