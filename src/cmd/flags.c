#include "cmd/flags.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"

#define FLAGS_MAX 64
#define FIRST_CODE 256
#define HELP_COLUMN 28

static bool value_is_optional(const struct flag *flag)
{
    return flag->kind == FLAG_OWN && ((const struct flag_own *)flag->to)->optional;
}

static void print_flag(const struct flag *flag)
{
    const char *line = flag->help;
    bool optional = value_is_optional(flag);
    int used = printf("      --%s%s%s%s", flag->name,
                      flag->value == NULL ? ""
                      : optional          ? "[="
                                          : " ",
                      flag->value == NULL ? "" : flag->value, optional ? "]" : "");

    if (used > HELP_COLUMN - 2) {
        putchar('\n');
        used = 0;
    }
    for (;;) {
        size_t len = strcspn(line, "\n");

        printf("%*s%.*s\n", HELP_COLUMN - used, "", (int)len, line);
        if (line[len] == '\0')
            break;
        line += len + 1;
        used = 0;
    }
}

static void print_words(const struct command_page *page)
{
    for (size_t i = 0; i < page->word_count; i++) {
        const struct command *word = command_word(page, i);
        int used = printf("  %s%s%s", word->name, word->operands == NULL ? "" : " ",
                          word->operands == NULL ? "" : word->operands);

        printf("%*s%s\n", used < HELP_COLUMN ? HELP_COLUMN - used : 1, "", word->help);
    }
    if (page->word_count > 0)
        putchar('\n');
}

static void print_help(const struct command_page *page)
{
    fputs(page->about, stdout);
    putchar('\n');
    print_words(page);
    for (size_t i = 0; i < page->flag_count; i++)
        print_flag(&page->flags[i]);
    printf("  -h, --help%*sprint this text\n", HELP_COLUMN - 12, "");
    if (page->below != NULL)
        printf("\n%s", page->below);
    if (page->more != NULL)
        page->more(stdout);
}

static bool add(struct flag_list *list, const char *text)
{
    if (list->count == FLAGS_LIST_MAX)
        return false;
    list->items[list->count++] = text;
    return true;
}

static bool add_commas(struct flag_list *list, char *text)
{
    char *comma;

    while ((comma = strchr(text, ',')) != NULL) {
        *comma = '\0';
        if (text[0] != '\0' && !add(list, text))
            return false;
        text = comma + 1;
    }
    return text[0] == '\0' || add(list, text);
}

static bool parse_number(const char *text, unsigned *out)
{
    unsigned long number;
    char *end;

    errno = 0;
    number = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number > INT_MAX ||
        number == 0) /* it would be taken for none at all */
        return false;
    *out = (unsigned)number;
    return true;
}

static bool parse_span(const char *text, int64_t *out)
{
    static const char units[] = "smhdwy";
    static const int64_t seconds[] = {1, 60, 3600, 86400, 7 * 86400, 365 * 86400};
    const char *unit;
    long long number;
    char *end;

    errno = 0;
    number = strtoll(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || errno != 0 || number > 1000000000)
        return false;
    if (*end == '\0') {
        *out = number;
        return true;
    }
    unit = strchr(units, *end);
    if (unit == NULL || end[1] != '\0')
        return false;
    *out = number * seconds[unit - units];
    return true;
}

/* CMD_OK, or the code of an error that has been printed. */
static int take(const struct flag *flag, char *value)
{
    bool good = true;

    switch (flag->kind) {
    case FLAG_SET:
        *(bool *)flag->to = true;
        break;
    case FLAG_TEXT:
        *(const char **)flag->to = value;
        break;
    case FLAG_LIST:
        good = add(flag->to, value);
        break;
    case FLAG_COMMAS:
        if (value[strspn(value, ",")] == '\0') /* an empty list is not the same as none */
            return cmd_fail(CMD_USAGE, "--%s names nothing", flag->name);
        good = add_commas(flag->to, value);
        break;
    case FLAG_NUMBER:
        if (!parse_number(value, flag->to))
            return cmd_fail(CMD_USAGE, "--%s takes a number from 1 up, not '%s'", flag->name,
                            value);
        break;
    case FLAG_SPAN:
        if (!parse_span(value, flag->to))
            return cmd_fail(CMD_USAGE, "--%s takes a time such as 90s or 10m, not '%s'", flag->name,
                            value);
        break;
    case FLAG_OWN:
        return ((const struct flag_own *)flag->to)
            ->take(((const struct flag_own *)flag->to)->ctx, value);
    }
    return good ? CMD_OK
                : cmd_fail(CMD_USAGE, "--%s: %d values at most", flag->name, FLAGS_LIST_MAX);
}

static int wrong(int argc, char **argv, int option)
{
    const char *which = optind > 0 && optind <= argc ? argv[optind - 1] : "";
    char letter[3] = {'-', (char)optopt, '\0'};

    if (option == ':')
        return cmd_fail(CMD_USAGE, "%s needs a value; see 'shs %s --help'", which, argv[0]);
    /* Of letters behind one dash getopt is not done with the word. */
    return cmd_fail(CMD_USAGE, "unknown option '%s'; see 'shs %s --help'",
                    optopt > ' ' && optopt < 0x7f ? letter : which, argv[0]);
}

static int argument_of(const struct flag *flag)
{
    if (flag->kind == FLAG_SET)
        return no_argument;
    return value_is_optional(flag) ? optional_argument : required_argument;
}

static void make_options(const struct command_page *page, struct option options[FLAGS_MAX + 2])
{
    size_t count = page->flag_count < FLAGS_MAX ? page->flag_count : FLAGS_MAX;

    for (size_t i = 0; i < count; i++)
        options[i] = (struct option){page->flags[i].name, argument_of(&page->flags[i]), NULL,
                                     FIRST_CODE + (int)i};
    options[count] = (struct option){"help", no_argument, NULL, 'h'};
    options[count + 1] = (struct option){NULL, 0, NULL, 0};
}

static bool take_operands(int argc, char **argv, struct flag_list *operands, size_t max_operands,
                          int *code)
{
    for (; optind < argc; optind++) {
        if (operands->count >= max_operands) {
            *code = cmd_fail(CMD_USAGE, "'%s' is one argument too many; see 'shs %s --help'",
                             argv[optind], argv[0]);
            return false;
        }
        (void)add(operands, argv[optind]);
    }
    return true;
}

bool flags_parse_page(int argc, char **argv, const struct command_page *page,
                      struct flag_list *operands, size_t max_operands, int *rest, int *code)
{
    struct option options[FLAGS_MAX + 2];
    int option;

    make_options(page, options);
    optind = 0; /* argv is not the one of main: glibc starts again */
    opterr = 0;
    *code = CMD_OK;
    while ((option = getopt_long(argc, argv, rest == NULL ? ":h" : "+:h", options, NULL)) != -1) {
        if (option == 'h') {
            if (!commands_watched(page))
                print_help(page);
            return false;
        }
        *code = option >= FIRST_CODE ? take(&page->flags[option - FIRST_CODE], optarg)
                                     : wrong(argc, argv, option);
        if (*code != CMD_OK)
            return false;
    }
    if (rest == NULL)
        return take_operands(argc, argv, operands, max_operands, code);
    *rest = optind;
    return true;
}

bool flags_parse(int argc, char **argv, const struct flag *flags, size_t count,
                 struct flag_list *operands, size_t max_operands, const char *about,
                 const char *below, int *code)
{
    const struct command_page page = {
        .command = argv[0], .about = about, .flags = flags, .flag_count = count, .below = below};

    return flags_parse_page(argc, argv, &page, operands, max_operands, NULL, code);
}

/* How many words of argv the page's options at its beginning are. */
static int leading(int argc, char **argv, const struct command_page *page)
{
    int i = 1;

    while (i < argc && strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0') {
        size_t len = strcspn(argv[i] + 2, "="), f = 0;

        while (f < page->flag_count && (strlen(page->flags[f].name) != len ||
                                        strncmp(page->flags[f].name, argv[i] + 2, len) != 0))
            f++;
        if (f == page->flag_count)
            break;
        i += argument_of(&page->flags[f]) == required_argument && argv[i][2 + len] == '\0' ? 2 : 1;
    }
    if (i < argc && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0))
        i++;
    return i < argc ? i : argc;
}

bool flags_parse_leading(int argc, char **argv, const struct command_page *page, int *taken,
                         int *code)
{
    int own = leading(argc, argv, page);

    *taken = own;
    return flags_parse_page(own, argv, page, NULL, 0, taken, code);
}
