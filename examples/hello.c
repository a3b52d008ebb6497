/* hello.c - the whole program: `hello cert.pem key.pem 8443`, then curl it. */
#include <shs/shs.h>
#include <stdio.h>

static int hello_get(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, "Hello, world\n", 13);
}
static const struct shs_http_handler hello = {.name = "hello", .do_GET = hello_get};

int main(int argc, char **argv)
{
    SecureHTTPServer *server = NULL;
    struct shs_options opt;
    struct shs_error err;
    shs_options_init(&opt);
    opt.certfile = argc > 1 ? argv[1] : "cert.pem";
    opt.keyfile = argc > 2 ? argv[2] : NULL;
    opt.port = argc > 3 ? argv[3] : "8443";
    if (shs_secure_http_server_new(&server, &opt, &hello, &err) != SHS_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    printf("https://localhost:%u/\n", shs_server_port(server));
    fflush(stdout);
    int rc = shs_serve_forever(server);
    shs_server_free(server);
    return rc != SHS_OK;
}
