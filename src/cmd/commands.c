#include "cmd/commands.h"

#include "cmd/cmd.h"

#define NAME_MAX_LEN 64

/* Set while somebody looks at all pages, and only then. */
static const struct command_watcher *watching;

static const char *name_of(const struct command_list *list)
{
    return list->name == NULL ? "" : list->name;
}

static void print_list(const struct command_list *list)
{
    const char *between = list->name == NULL ? "" : " ";
    int width = 0;

    printf("usage: shs%s%s COMMAND [OPTION]...\n\n%s%s", between, name_of(list),
           list->about == NULL ? "" : list->about, list->about == NULL ? "" : "\n");
    for (size_t i = 0; i < list->count; i++) {
        const struct command *row = &list->rows[i];
        int len = (int)(strlen(row->name) + (row->operands ? strlen(row->operands) + 1 : 0));

        width = row->help != NULL && len > width ? len : width;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct command *row = &list->rows[i];

        if (row->help != NULL)
            printf("  %s%s%-*s  %s\n", row->name, row->operands == NULL ? "" : " ",
                   width - (int)strlen(row->name) - (row->operands == NULL ? 0 : 1),
                   row->operands == NULL ? "" : row->operands, row->help);
    }
    printf("\n'shs%s%s COMMAND --help' tells more about each.\n", between, name_of(list));
}

static int run(const struct command_list *list, const struct command *row, int argc, char **argv)
{
    char name[NAME_MAX_LEN];

    snprintf(name, sizeof name, "%s%s%s", name_of(list), list->name == NULL ? "" : " ", row->name);
    argv[0] = name;
    return row->run(argc, argv);
}

static void visit(const struct command_list *list)
{
    static char help[] = "--help";

    watching->list(watching->ctx, list);
    for (size_t i = 0; i < list->count; i++) {
        char *argv[] = {NULL, help, NULL};

        if (!list->rows[i].bare)
            (void)run(list, &list->rows[i], 2, argv);
    }
}

int commands_run(const struct command_list *list, int argc, char **argv)
{
    const char *between = list->name == NULL ? "" : " ";

    if (argc < 2)
        return cmd_fail(CMD_USAGE, "a command is missing; try 'shs%s%s --help'", between,
                        name_of(list));
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        if (watching != NULL)
            visit(list);
        else
            print_list(list);
        return CMD_OK;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(argv[1], list->rows[i].name) == 0)
            return run(list, &list->rows[i], argc - 1, argv + 1);
    }
    return cmd_fail(CMD_USAGE, "unknown command '%s%s%s'; try 'shs%s%s --help'", name_of(list),
                    between, argv[1], between, name_of(list));
}

const struct command *command_word(const struct command_page *page, size_t n)
{
    return (const struct command *)(const void *)((const char *)page->words + n * page->word_size);
}

void commands_visit(const struct command_list *top, const struct command_watcher *watcher)
{
    watching = watcher;
    visit(top);
    watching = NULL;
}

bool commands_watched(const struct command_page *page)
{
    if (watching == NULL)
        return false;
    watching->page(watching->ctx, page);
    return true;
}
