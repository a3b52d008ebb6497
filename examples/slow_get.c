/*
 * slow_get.c - a SecureHTTPServer whose do_GET is slow: eight clients, served in the time of one.
 *
 *   slow_get CERT KEY     prints its address, and serves until its input ends
 *
 * do_GET sleeps, as it would wait for a database. Without a threading mixin the second client would
 * wait for the first, and the eighth for seven.
 */
#include <shs/shs.h>

#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define SLOW_MS 500

static int slow_get(struct shs_request *req, struct shs_response *res)
{
    struct timespec t = {.tv_nsec = SLOW_MS * 1000000L};

    (void)req;
    nanosleep(&t, NULL);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, "at last\n", 8);
}

static const struct shs_http_handler handler = {.name = "slow", .do_GET = slow_get};

static void *serve(void *server)
{
    return shs_serve_forever(server) == SHS_OK ? NULL : server;
}

int main(int argc, char **argv)
{
    SecureHTTPServer *server = NULL;
    struct shs_options opt;
    struct shs_error err;
    pthread_t thread;
    void *failed = NULL;
    char byte;

    if (argc != 3)
        return fprintf(stderr, "usage: slow_get CERT KEY\n"), 2;
    shs_options_init(&opt);
    opt.certfile = argv[1];
    opt.keyfile = argv[2];
    if (shs_secure_http_server_new(&server, &opt, &handler, &err) != SHS_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    if (pthread_create(&thread, NULL, serve, server) != 0)
        return 1;
    printf("https://%s:%u/ each answer takes %d ms\n", shs_server_host(server),
           shs_server_port(server), SLOW_MS);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    shs_shutdown(server);
    pthread_join(thread, &failed);
    shs_server_free(server);
    return failed != NULL;
}
