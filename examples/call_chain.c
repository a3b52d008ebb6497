/*
 * call_chain.c - who calls whom, from serve_forever to shutdown_request, in a composed server.
 *
 * Two layers of the same kind are pushed, one above the mixin and one below. Each writes the
 * method it is asked for and calls super: the order of the lines is the method resolution order.
 *
 * The puzzle of the article that this library grew from: ThreadingMixIn inherits from nothing, so
 * how does its process_request come to run? The lines tell: self.process_request is looked up from
 * the top, finds the mixin before TCPServer, and the thread it starts calls self.finish_request,
 * which is looked up from the top again.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_getname_np */
#endif
#include <shs/shs.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct tracer {
    struct shs_layer layer;
    const char *where;
    bool asked;
};

#define TRACER(l) SHS_CONTAINER_OF(l, struct tracer, layer)

static void say(struct shs_layer *layer, const char *method)
{
    char thread[16] = "?";

    pthread_getname_np(pthread_self(), thread, sizeof thread);
    printf("%-9s %-6s %s\n", thread, TRACER(layer)->where, method);
    fflush(stdout);
}

static int get_request(struct shs_layer *l, struct shs_conn **out)
{
    if (!TRACER(l)->asked) /* it is asked again later, to hear that nobody else is there */
        say(l, "get_request");
    TRACER(l)->asked = true;
    return shs_super_get_request(l, out);
}
static bool verify_request(struct shs_layer *l, struct shs_conn *conn)
{
    say(l, "verify_request");
    return shs_super_verify_request(l, conn);
}
static int process_request(struct shs_layer *l, struct shs_conn *conn)
{
    say(l, "process_request");
    return shs_super_process_request(l, conn);
}
static int finish_request(struct shs_layer *l, struct shs_conn *conn)
{
    if (shs_conn_get(conn, l) == NULL) { /* only the first of the calls for this request */
        shs_conn_set(conn, l, l);
        say(l, "finish_request");
    }
    return shs_super_finish_request(l, conn);
}
static void shutdown_request(struct shs_layer *l, struct shs_conn *conn)
{
    say(l, "shutdown_request");
    shs_super_shutdown_request(l, conn);
}
static void close_request(struct shs_layer *l, struct shs_conn *conn)
{
    say(l, "close_request");
    shs_super_close_request(l, conn);
}
static int server_close(struct shs_layer *l)
{
    say(l, "server_close");
    return shs_super_server_close(l);
}

static const struct shs_server_ops tracer_ops = {
    .name = "Tracer",
    .get_request = get_request,
    .verify_request = verify_request,
    .process_request = process_request,
    .finish_request = finish_request,
    .shutdown_request = shutdown_request,
    .close_request = close_request,
    .server_close = server_close,
};

/* -- the handler: its own three steps are part of the chain ------------------------------------ */

static struct shs_layer *handler_voice;

static int handler_setup(struct shs_request_handler *self)
{
    (void)self;
    say(handler_voice, "    RequestHandler.setup");
    return SHS_OK;
}
static int handler_handle(struct shs_request_handler *self)
{
    say(handler_voice, "    RequestHandler.handle");
    return shs_conn_write(self->request, "hello\n", 6);
}
static void handler_finish(struct shs_request_handler *self)
{
    (void)self;
    say(handler_voice, "    RequestHandler.finish");
}

static const struct shs_request_handler_class handler = {
    .name = "RequestHandler",
    .instance_size = sizeof(struct shs_request_handler),
    .setup = handler_setup,
    .handle = handler_handle,
    .finish = handler_finish,
};

static void *serve(void *server)
{
    pthread_setname_np(pthread_self(), "serving");
    printf("%-9s %-6s %s\n", "serving", "", "serve_forever");
    fflush(stdout);
    return shs_serve_forever(server) == SHS_OK ? NULL : server;
}

/* Asks, and waits until the server is done with it: the client hears the end a little earlier. */
static int ask(struct shs_server *server)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)shs_server_port(server))};
    struct timespec ms = {.tv_nsec = 1000000};
    struct shs_server_stats stats;
    char answer[16];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ssize_t n;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        return 1;
    n = recv(fd, answer, sizeof answer, MSG_WAITALL);
    close(fd);
    do {
        nanosleep(&ms, NULL);
        shs_server_get_stats(server, &stats);
    } while (stats.connections > 0 || stats.threads > 0);
    return n != 6;
}

int main(void)
{
    struct tracer below = {.where = "below"}, above = {.where = "above"}, none = {.where = ""};
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;
    pthread_t thread;
    void *failed = NULL;
    int rc;

    handler_voice = &none.layer;
    shs_options_init(&opt);
    rc = shs_tcp_server_new(&server, &opt, &handler, &err);
    if (rc == SHS_OK)
        rc = shs_server_push(server, &below.layer, &tracer_ops);
    if (rc == SHS_OK)
        rc = shs_threading_mixin_push(server, &err);
    if (rc == SHS_OK)
        rc = shs_server_push(server, &above.layer, &tracer_ops);
    if (rc != SHS_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    printf("%s\n", shs_server_describe(server));
    if (pthread_create(&thread, NULL, serve, server) != 0)
        return 1;
    rc = ask(server);
    shs_shutdown(server);
    pthread_join(thread, &failed);
    pthread_setname_np(pthread_self(), "closing");
    shs_server_free(server);
    return rc != 0 || failed != NULL;
}
