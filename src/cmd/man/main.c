/*
 * main.c - makes the man pages. It is not installed; cmake/ShsPages.cmake runs it.
 *
 *   shs_man page TEMPLATE [HEADER]...   a page from its template, see README.md
 *   shs_man header DATE HEADER          the page of a public header
 *
 * The page is written to the standard output.
 */
#include <errno.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/man/header.h"
#include "cmd/man/mdoc.h"
#include "cmd/man/options.h"

#define LINE_MAX_BYTES 1024
#define MARK ".\\\" @"

static struct pages pages;

/* "@options lab run" */
static int insert(const char *what, char **headers)
{
    size_t len = strcspn(what, " ");
    const struct page *page = pages_find(&pages, what[len] == ' ' ? what + len + 1 : "");

    if (strncmp(what, "headers", len) == 0) {
        int code = CMD_OK;

        puts(".Bl -tag -width Ds");
        for (; code == CMD_OK && *headers != NULL; headers++)
            code = man_header_line(*headers);
        puts(".El");
        return code;
    }
    if (page == NULL)
        return cmd_fail(CMD_FAILED, "there is no command '%s'", what + len);
    if (strncmp(what, "synopsis", len) == 0)
        man_synopsis(page);
    else if (strncmp(what, "page", len) == 0)
        man_page(page);
    else if (strncmp(what, "list", len) == 0)
        man_list(&pages, page);
    else if (strncmp(what, "commands", len) == 0)
        man_commands(page);
    else if (strncmp(what, "keys", len) == 0 && page->settings != NULL)
        man_keys(page);
    else
        return cmd_fail(CMD_FAILED, "'%s' is nothing that can be put into a page", what);
    return CMD_OK;
}

static int print_page(const char *path, char **headers)
{
    FILE *from = fopen(path, "re");
    char line[LINE_MAX_BYTES];
    int code = CMD_OK;

    if (from == NULL)
        return cmd_fail(CMD_FAILED, "cannot read %s: %s", path, strerror(errno));
    while (code == CMD_OK && fgets(line, sizeof line, from) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, MARK, strlen(MARK)) == 0)
            code = insert(line + strlen(MARK), headers);
        else
            puts(line);
    }
    (void)fclose(from);
    return code;
}

int main(int argc, char **argv)
{
    int code = pages_collect(&pages);

    if (code != CMD_OK)
        return code;
    if (argc >= 3 && strcmp(argv[1], "page") == 0)
        code = print_page(argv[2], argv + 3);
    else if (argc == 4 && strcmp(argv[1], "header") == 0)
        code = man_header(argv[3], argv[2]);
    else
        code =
            cmd_fail(CMD_USAGE, "shs_man page TEMPLATE [HEADER]..., or shs_man header DATE HEADER");
    pages_free(&pages);
    if (code == CMD_OK)
        code = cmd_flush();
    return code;
}
