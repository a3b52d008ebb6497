/*
 * llhttp_is_strict.c - is the llhttp of this build one that refuses what a server must refuse?
 *
 * A loose build of llhttp 8 takes "\r\n\rX" for the end of the head (CVE-2025-23167), and whatever
 * follows for the next request. LLHTTP_STRICT_MODE on the compiler's command line is what prevents
 * it, and a version from 9.2.1 on has no loose mode.
 */
#include <stdio.h>
#include <string.h>

#include <llhttp.h>

int main(void)
{
    static const char attack[] = "GET / HTTP/1.1\r\nHost: a\r\n\rX";
    static const char plain[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    llhttp_settings_t settings;
    llhttp_t parser;
    llhttp_errno_t refused, taken;

    llhttp_settings_init(&settings);
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    refused = llhttp_execute(&parser, attack, strlen(attack));
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    taken = llhttp_execute(&parser, plain, strlen(plain));

    if (taken != HPE_OK) {
        printf("llhttp refused a plain request: %s\n", llhttp_errno_name(taken));
        return 1;
    }
    if (refused == HPE_OK) {
        printf("llhttp accepted \\r\\n\\rX as the end of a head: it was built without "
               "LLHTTP_STRICT_MODE=1. Configure again from an empty build directory.\n");
        return 1;
    }
    printf("strict: %s\n", llhttp_errno_name(refused));
    return 0;
}
