/*
 * my_mixin.c - a mixin of your own in one file: pushed on any server of the family, it counts
 * connections, refuses a client's third one, and says what it saw.
 *
 *   MyMixIn > ThreadingMixIn > TCPServer > BaseServer
 *
 * In Python it would be
 *
 *   class MyMixIn:
 *       def verify_request(self, request, client_address):
 *           self.count += 1
 *           return self.count <= 2 and super().verify_request(request, client_address)
 *       def server_close(self):
 *           super().server_close()
 *           print("closed after", self.count)
 *
 * It runs by itself: three clients of its own connect, the third is refused.
 */
#include <shs/shs.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- the mixin: a layer, a table, and whatever state it wants ---------------------------------- */

struct my_mixin {
    struct shs_layer layer;
    unsigned limit, count;
};

static bool my_verify_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct my_mixin *self = SHS_CONTAINER_OF(layer, struct my_mixin, layer);

    self->count++; /* verify_request runs on the serving thread only */
    return self->count <= self->limit && shs_super_verify_request(layer, conn);
}

static int my_server_close(struct shs_layer *layer)
{
    struct my_mixin *self = SHS_CONTAINER_OF(layer, struct my_mixin, layer);
    int rc = shs_super_server_close(layer);

    printf("closed after %u connections\n", self->count);
    return rc;
}

static const struct shs_server_ops my_mixin_ops = {
    .name = "MyMixIn",
    .verify_request = my_verify_request,
    .server_close = my_server_close,
};

/* -- a handler to have something to serve ------------------------------------------------------ */

static int greet(struct shs_request_handler *self)
{
    return shs_conn_write(self->request, "hello\n", 6);
}

static const struct shs_request_handler_class greeter = {
    .name = "Greeter", .instance_size = sizeof(struct shs_request_handler), .handle = greet};

/* -- three clients ----------------------------------------------------------------------------- */

static void *serve(void *server)
{
    return shs_serve_forever(server) == SHS_OK ? NULL : server;
}

static int ask(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    char answer[16] = "";
    ssize_t n;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        return 1;
    n = recv(fd, answer, sizeof answer - 1, MSG_WAITALL);
    close(fd);
    printf("client got: %s", n > 0 ? answer : "(nothing)\n");
    return 0;
}

int main(void)
{
    struct my_mixin mine = {.limit = 2};
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err = {.code = SHS_OK};
    pthread_t thread;
    void *failed = NULL;
    int rc;

    shs_options_init(&opt);
    opt.bind_and_activate = false; /* compose first */
    rc = shs_tcp_server_new(&server, &opt, &greeter, &err);
    if (rc == SHS_OK)
        rc = shs_threading_mixin_push(server, &err);
    if (rc == SHS_OK)
        rc = shs_server_push(server, &mine.layer, &my_mixin_ops);
    if (rc == SHS_OK)
        rc = shs_server_bind_and_activate(server, &err);
    if (rc != SHS_OK) {
        fprintf(stderr, "my_mixin: %s\n", err.text);
        shs_server_free(server);
        return 1;
    }
    printf("%s\n", shs_server_describe(server));
    if (pthread_create(&thread, NULL, serve, server) != 0)
        return 1;
    for (int i = 0; i < 3; i++)
        rc += ask(shs_server_port(server));
    if (shs_shutdown_wait(server, 5000) != SHS_OK)
        rc++;
    pthread_join(thread, &failed);
    shs_server_free(server);
    return rc != 0 || failed != NULL;
}
