/*
 * completion.c - `shs completion`: what a shell needs to complete the command line of `shs`.
 *
 * All of it comes from the tables of the commands (pages.h): nothing is to be added here for a new
 * command or a new option.
 */
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/flags.h"
#include "cmd/pages.h"

static const char about[] = "usage: shs completion bash|zsh|fish\n"
                            "\n"
                            "Prints the completion of commands, options and values for that shell. "
                            "An installed shs has it\n"
                            "already; otherwise, for this shell:\n"
                            "\n"
                            "    source <(shs completion bash)\n"
                            "    shs completion zsh > DIR/_shs         DIR is one of $fpath\n"
                            "    shs completion fish | source\n";

/* -- what a value may be ----------------------------------------------------------------------- */

enum value_kind { VALUE_WORDS, VALUE_FILE, VALUE_DIRECTORY, VALUE_COMMAND, VALUE_ANY };

static bool names(const char *text, const char *word)
{
    return text != NULL && strstr(text, word) != NULL;
}

/* By what the help calls it. */
static enum value_kind kind_of(const char *value)
{
    if (names(value, "FILE") || names(value, "PATH") || names(value, "TABLE") ||
        names(value, "PLACE"))
        return VALUE_FILE;
    if (value != NULL && strcmp(value, "CA") == 0)
        return VALUE_FILE;
    if (names(value, "DIR"))
        return VALUE_DIRECTORY;
    if (names(value, "CMD"))
        return VALUE_COMMAND;
    return VALUE_ANY;
}

/* "table|json": the words themselves. */
static bool is_words(const char *value)
{
    return value != NULL && strchr(value, '|') != NULL &&
           value[strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-|")] == '\0';
}

static enum value_kind kind_of_option(const struct page_option *option)
{
    bool choice = option->row != NULL && option->row->choices != NULL;

    return choice || is_words(option->value) ? VALUE_WORDS : kind_of(option->value);
}

/* The words of a VALUE_WORDS, `between` them. */
static void print_choices(const struct page_option *option, const char *between)
{
    const char *text = option->value;
    size_t len;

    if (option->row != NULL && option->row->choices != NULL) {
        for (const struct setting_choice *c = option->row->choices; c->name != NULL; c++)
            printf("%s%s", c == option->row->choices ? "" : between, c->name);
        return;
    }
    for (; *text != '\0'; text += len + (text[len] == '|')) {
        len = strcspn(text, "|");
        printf("%s%.*s", text == option->value ? "" : between, (int)len, text);
    }
}

/* The first line of a help text, or as much of it as a menu has room for. */
static void print_help_text(const char *help, const char *escaped)
{
    for (; *help != '\0' && *help != '\n'; help++) {
        if (*help == '\'')
            fputs("'\\''", stdout);
        else if (strchr(escaped, *help) != NULL)
            printf("\\%c", *help);
        else
            putchar(*help);
    }
}

/* -- bash -------------------------------------------------------------------------------------- */

static const char bash_end[] =
    "# _shs_path WORD...: the command that these words name, such as `lab run`.\n"
    "_shs_path() {\n"
    "    local path= word skip=\n"
    "    for word; do\n"
    "        if [ -n \"$skip\" ]; then\n"
    "            skip=\n"
    "        elif [[ $word == -* ]]; then\n"
    "            [[ $(_shs_value \"$path $word\") != [a-z@]* ]] || skip=1\n"
    "        elif [[ \" $(_shs_commands \"$path\") \" == *\" $word \"* ]]; then\n"
    "            path=${path:+$path }$word\n"
    "        fi\n"
    "    done\n"
    "    printf '%s' \"$path\"\n"
    "}\n"
    "\n"
    "_shs() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} at=$COMP_CWORD\n"
    "    local path value\n"
    "    # \"--name=value\" is three words here.\n"
    "    if [ \"$cur\" = = ]; then\n"
    "        cur=\n"
    "    elif [ \"$before\" = = ]; then\n"
    "        at=$((at - 1)) before=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n"
    "    path=$(_shs_path \"${COMP_WORDS[@]:1:at - 1}\")\n"
    "    COMPREPLY=()\n"
    "    value=$(_shs_value \"$path $before\")\n"
    "    if [ -z \"$value\" ] || [[ $value == \\?* && $at = \"$COMP_CWORD\" ]]; then\n"
    "        if [[ $cur == -* ]]; then\n"
    "            mapfile -t COMPREPLY < <(compgen -W \"$(_shs_options \"$path\")\" -- \"$cur\")\n"
    "            return\n"
    "        fi\n"
    "        value=$(_shs_words \"$path\")\n"
    "    fi\n"
    "    case ${value#\\?} in\n"
    "    @file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") "
    ";;\n"
    "    @directory) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "
    "\"$cur\") ;;\n"
    "    @command) mapfile -t COMPREPLY < <(compgen -c -- \"$cur\") ;;\n"
    "    @any) ;;\n"
    "    *) mapfile -t COMPREPLY < <(compgen -W \"${value#\\?}\" -- \"$cur\") ;;\n"
    "    esac\n"
    "}\n"
    "complete -F _shs shs\n";

static const char *bash_kind(enum value_kind kind)
{
    switch (kind) {
    case VALUE_FILE:
        return "@file";
    case VALUE_DIRECTORY:
        return "@directory";
    case VALUE_COMMAND:
        return "@command";
    case VALUE_WORDS:
    case VALUE_ANY:
        break;
    }
    return "@any";
}

static void bash_words(const struct page *page)
{
    const struct command *word;

    for (size_t i = 0; (word = page_word(page, i)) != NULL; i++)
        printf("%s%s", i == 0 ? "" : " ", word->name);
}

static void bash_values(const struct page *page)
{
    for (size_t i = 0; i < page->option_count; i++) {
        const struct page_option *option = &page->options[i];

        if (option->value == NULL)
            continue;
        printf("    '%s --%s'", page->command, option->name);
        if (option->letter != 0)
            printf(" | '%s -%c'", page->command, option->letter);
        printf(") echo '%s", option->optional ? "?" : "");
        if (kind_of_option(option) == VALUE_WORDS)
            print_choices(option, " ");
        else
            fputs(bash_kind(kind_of_option(option)), stdout);
        puts("' ;;");
    }
}

/* A function that prints something for each page: `print`, between quotes. */
static void bash_function(const struct pages *pages, const char *name,
                          void (*print)(const struct page *page))
{
    printf("%s() {\n    case $1 in\n", name);
    for (size_t i = 0; i < pages->count; i++) {
        printf("    '%s') echo '", pages->items[i].command);
        print(&pages->items[i]);
        puts("' ;;");
    }
    puts("    esac\n}\n");
}

static void bash_options(const struct page *page)
{
    for (size_t i = 0; i < page->option_count; i++)
        printf("--%s ", page->options[i].name);
    fputs("--help", stdout);
}

static void bash_lists(const struct page *page)
{
    if (page->list != NULL)
        bash_words(page);
}

static void bash_operands(const struct page *page)
{
    if (page_word(page, 0) != NULL)
        bash_words(page);
    else if (page->row != NULL)
        fputs(bash_kind(kind_of(page->row->operands)), stdout);
}

static void print_bash(const struct pages *pages)
{
    puts("# bash completion for shs, made by `shs completion bash`.\n");
    bash_function(pages, "_shs_commands", bash_lists);
    bash_function(pages, "_shs_words", bash_operands);
    bash_function(pages, "_shs_options", bash_options);
    puts("# What the value of an option is; \"?\" before it: it may be left out.\n"
         "_shs_value() {\n    case $1 in");
    for (size_t i = 0; i < pages->count; i++)
        bash_values(&pages->items[i]);
    puts("    esac\n}\n");
    fputs(bash_end, stdout);
}

/* -- zsh --------------------------------------------------------------------------------------- */

static void zsh_function_name(const struct page *page)
{
    fputs("_shs", stdout);
    if (page->command[0] != '\0')
        putchar('_');
    for (const char *c = page->command; *c != '\0'; c++)
        putchar(*c == ' ' || *c == '-' ? '_' : *c);
}

static const char *zsh_kind(enum value_kind kind)
{
    switch (kind) {
    case VALUE_FILE:
        return "_files";
    case VALUE_DIRECTORY:
        return "_files -/";
    case VALUE_COMMAND:
        return "_command_names -e";
    case VALUE_WORDS:
    case VALUE_ANY:
        break;
    }
    return " ";
}

static void zsh_option(const struct page_option *option)
{
    printf("        '%s--%s%s[", option->many ? "*" : "", option->name,
           option->value == NULL ? ""
           : option->optional    ? "=-"
                                 : "=");
    print_help_text(option->help, "[]\\:");
    putchar(']');
    if (option->value != NULL) {
        printf("%s:", option->optional ? ":" : "");
        print_help_text(option->value, "[]\\:");
        putchar(':');
        if (kind_of_option(option) == VALUE_WORDS) {
            putchar('(');
            print_choices(option, " ");
            putchar(')');
        } else {
            fputs(zsh_kind(kind_of_option(option)), stdout);
        }
    }
    puts("' \\");
}

static void zsh_words(const struct page *page)
{
    const struct command *word;

    fputs("'1:command:((", stdout);
    for (size_t i = 0; (word = page_word(page, i)) != NULL; i++) {
        printf("%s%s\\:\"", i == 0 ? "" : " ", word->name);
        print_help_text(word->help, "\"\\:()");
        putchar('"');
    }
    fputs("))'", stdout);
}

static void zsh_page(const struct pages *pages, const struct page *page)
{
    zsh_function_name(page);
    puts("() {");
    if (page->list != NULL)
        puts("    local state line curcontext=$curcontext");
    printf("    _arguments%s \\\n        '(- *)--help[print what it does]' \\\n",
           page->list != NULL ? " -C" : "");
    for (size_t i = 0; i < page->option_count; i++)
        zsh_option(&page->options[i]);
    fputs("        ", stdout);
    if (page_word(page, 0) != NULL)
        zsh_words(page);
    if (page->list != NULL) {
        puts(" \\\n        '*::word:->rest'\n    [[ $state = rest ]] || return\n    case $line[1] "
             "in");
        for (size_t i = 0; i < pages->count; i++) {
            const struct page *other = &pages->items[i];
            const struct command *word;

            for (size_t w = 0; (word = page_word(page, w)) != NULL; w++) {
                if (other->row == word) {
                    printf("    %s) ", word->name);
                    zsh_function_name(other);
                    puts(" ;;");
                }
            }
        }
        puts("    esac");
    } else if (page->row != NULL && page_word(page, 0) == NULL) {
        printf("'*: :%s'\n", zsh_kind(kind_of(page->row->operands)));
    } else {
        putchar('\n');
    }
    puts("}\n");
}

static void print_zsh(const struct pages *pages)
{
    puts("#compdef shs\n# zsh completion for shs, made by `shs completion zsh`.\n");
    for (size_t i = 0; i < pages->count; i++)
        zsh_page(pages, &pages->items[i]);
    puts("if [[ $funcstack[1] = _shs ]]; then\n    _shs \"$@\"\nelse\n    compdef _shs shs\nfi");
}

/* -- fish -------------------------------------------------------------------------------------- */

static void fish_option(const struct page *page, const struct page_option *option)
{
    enum value_kind kind = kind_of_option(option);

    printf("complete -c shs -n '__shs_at %s' -l %s", page->command, option->name);
    if (option->letter != 0)
        printf(" -s %c", option->letter);
    if (option->value != NULL && !option->optional)
        fputs(kind == VALUE_FILE ? " -r -F" : " -x", stdout);
    if (kind == VALUE_WORDS) {
        fputs(" -a '", stdout);
        print_choices(option, " ");
        putchar('\'');
    } else if (kind == VALUE_DIRECTORY) {
        fputs(" -a '(__fish_complete_directories)'", stdout);
    }
    fputs(" -d '", stdout);
    for (const char *c = option->help; *c != '\0' && *c != '\n'; c++)
        printf("%s%c", *c == '\'' || *c == '\\' ? "\\" : "", *c);
    puts("'");
}

static void fish_page(const struct page *page)
{
    const struct command *word;

    for (size_t i = 0; (word = page_word(page, i)) != NULL; i++) {
        printf("complete -c shs -n '__shs_at %s' -f -a %s -d '", page->command, word->name);
        for (const char *c = word->help; *c != '\0'; c++)
            printf("%s%c", *c == '\'' || *c == '\\' ? "\\" : "", *c);
        puts("'");
    }
    if (page->row != NULL && page_word(page, 0) == NULL) {
        enum value_kind kind = kind_of(page->row->operands);

        if (kind == VALUE_DIRECTORY || kind == VALUE_COMMAND)
            printf("complete -c shs -n '__shs_at %s' -f -a '(%s)'\n", page->command,
                   kind == VALUE_COMMAND ? "__fish_complete_command"
                                         : "__fish_complete_directories");
        else if (kind == VALUE_ANY)
            printf("complete -c shs -n '__shs_at %s' -f\n", page->command);
    }
    for (size_t i = 0; i < page->option_count; i++)
        fish_option(page, &page->options[i]);
    printf("complete -c shs -n '__shs_at %s' -l help -d 'print what it does'\n", page->command);
}

static void print_fish(const struct pages *pages)
{
    puts("# fish completion for shs, made by `shs completion fish`.\n\n"
         "# Whether the command line so far names this command: `lab run`, or nothing.\n"
         "function __shs_at\n"
         "    set -l path\n"
         "    for word in (commandline -opc)[2..-1]\n"
         "        string match -q -- '-*' $word; and continue\n"
         "        switch \"$path\"");
    for (size_t i = 0; i < pages->count; i++) {
        if (pages->items[i].list == NULL)
            continue;
        printf("            case '%s'\n                contains -- $word ",
               pages->items[i].command);
        bash_words(&pages->items[i]);
        puts("; and set -a path $word");
    }
    puts("        end\n    end\n    test \"$path\" = \"$argv\"\nend\n");
    for (size_t i = 0; i < pages->count; i++)
        fish_page(&pages->items[i]);
}

/* -- the command ------------------------------------------------------------------------------- */

static const struct command shells[] = {
    {"bash", NULL, "for bash 4 or later", NULL, true},
    {"zsh", NULL, "for zsh", NULL, true},
    {"fish", NULL, "for fish 3 or later", NULL, true},
};

static int print_for(const char *shell)
{
    static const struct {
        const char *shell;
        void (*print)(const struct pages *pages);
    } printers[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    static struct pages pages;
    int code;

    for (size_t i = 0; i < SHS_ARRAY_LEN(printers); i++) {
        if (strcmp(printers[i].shell, shell) != 0)
            continue;
        code = pages_collect(&pages);
        if (code == CMD_OK)
            printers[i].print(&pages);
        pages_free(&pages);
        return code;
    }
    return cmd_fail(CMD_USAGE, "there is no completion for '%s': it is for bash, zsh and fish",
                    shell);
}

int cmd_completion(int argc, char **argv)
{
    static struct flag_list operands;
    const struct command_page page = {
        .command = "completion",
        .about = about,
        .words = shells,
        .word_count = SHS_ARRAY_LEN(shells),
        .word_size = sizeof shells[0],
    };
    int code;

    operands.count = 0;
    if (!flags_parse_page(argc, argv, &page, &operands, 1, NULL, &code))
        return code;
    if (operands.count == 0)
        return cmd_fail(CMD_USAGE, "for which shell? shs completion bash, zsh or fish");
    return print_for(operands.items[0]);
}
