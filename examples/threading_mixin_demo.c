/*
 * threading_mixin_demo.c - the socketserver documentation's ThreadingMixIn program: port 0, a
 * server thread, three clients whose answers carry the name of the thread that served them; and
 * what daemon_threads is for.
 *
 * Python:
 *
 *   class ThreadedTCPRequestHandler(socketserver.BaseRequestHandler):
 *       def handle(self):
 *           data = str(self.request.recv(1024), 'ascii')
 *           cur_thread = threading.current_thread()
 *           response = bytes("{}: {}".format(cur_thread.name, data), 'ascii')
 *           self.request.sendall(response)
 *
 *   class ThreadedTCPServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
 *       pass
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_getname_np */
#endif
#include <shs/shs.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* -- class ThreadedTCPRequestHandler ----------------------------------------------------------- */

static int threaded_handle(struct shs_request_handler *self)
{
    char data[1024], response[1100], name[16] = "?";
    size_t got = 0;
    int rc = shs_conn_read(self->request, data, sizeof data, &got);

    if (rc != SHS_OK)
        return rc;
    pthread_getname_np(pthread_self(), name, sizeof name);
    snprintf(response, sizeof response, "%s: %.*s", name, (int)got, data);
    return shs_conn_write(self->request, response, strlen(response));
}

static const struct shs_request_handler_class threaded = {
    .name = "ThreadedTCPRequestHandler",
    .instance_size = sizeof(struct shs_request_handler),
    .handle = threaded_handle,
};

static void *serve(void *server)
{
    return shs_serve_forever(server) == SHS_OK ? NULL : server;
}

static int dial(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int client(unsigned port, const char *message)
{
    char response[256];
    int fd = dial(port);
    ssize_t n;

    if (fd < 0 || send(fd, message, strlen(message), MSG_NOSIGNAL) < 0)
        return 1;
    n = recv(fd, response, sizeof response - 1, MSG_WAITALL);
    close(fd);
    if (n <= 0)
        return 1;
    response[n] = '\0';
    printf("Received: %s\n", response);
    return 0;
}

static int three_clients(void)
{
    const char *const messages[] = {"Hello from client1", "Hello from client2",
                                    "Hello from client3"};
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;
    pthread_t server_thread;
    void *failed = NULL;
    int rc = 0;

    /* Port 0 means to select an arbitrary unused port. */
    shs_options_init(&opt);
    opt.port = "0";
    if (shs_threading_tcp_server_new(&server, &opt, &threaded, &err) != SHS_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    /* A thread with the server: it will start one more thread for each request. */
    if (pthread_create(&server_thread, NULL, serve, server) != 0)
        return 1;
    printf("Server loop running: %s\n", shs_server_describe(server));
    for (int i = 0; i < 3 && rc == 0; i++)
        rc = client(shs_server_port(server), messages[i]);
    shs_shutdown(server);
    pthread_join(server_thread, &failed);
    shs_server_free(server);
    return rc != 0 || failed != NULL;
}

/* -- daemon_threads ---------------------------------------------------------------------------- */

static atomic_int begun, done, may_go, work_ms;

static void pause_ms(long ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000};

    nanosleep(&t, NULL);
}

static int slow_handle(struct shs_request_handler *self)
{
    shs_conn_set_idle(self->request, false); /* a request in flight */
    begun = 1;
    for (int i = 0; i < work_ms && !may_go; i++)
        pause_ms(1);
    done = 1;
    return SHS_OK;
}

static const struct shs_request_handler_class slow = {
    .name = "Slow", .instance_size = sizeof(struct shs_request_handler), .handle = slow_handle};

/* Closes a server whose handler is at work, and says whether it waited for it. */
static int close_while_working(bool daemon_threads)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;
    pthread_t server_thread;
    int fd;

    begun = done = may_go = 0;
    work_ms = daemon_threads ? 10000 : 200;
    shs_options_init(&opt);
    opt.daemon_threads = daemon_threads;
    opt.close_ms = 100; /* our client does not hang up */
    if (shs_threading_tcp_server_new(&server, &opt, &slow, &err) != SHS_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    if (pthread_create(&server_thread, NULL, serve, server) != 0)
        return 1;
    fd = dial(shs_server_port(server));
    while (!begun)
        pause_ms(1);
    shs_shutdown(server);
    pthread_join(server_thread, NULL);
    shs_server_close(server);
    printf("daemon_threads = %s: server_close returned, the handler %s\n",
           daemon_threads ? "true" : "false", done ? "had finished" : "was still running");
    may_go = 1;
    shs_server_free(server); /* waits for the handler: what that uses could be freed now */
    return close(fd) != 0;
}

int main(void)
{
    return three_clients() || close_while_working(false) || close_while_working(true);
}
