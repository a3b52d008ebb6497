#include "cmd/man/options.h"

#include <inttypes.h>
#include <stdio.h>

#include "cmd/man/mdoc.h"

static const char *skip_usage(const char *about)
{
    const char *end = about == NULL ? NULL : strstr(about, "\n\n");

    return about == NULL || strncmp(about, "usage: ", 7) != 0 ? about : end == NULL ? "" : end + 2;
}

void man_synopsis(const struct page *page)
{
    const char *line = page->about;

    if (page->list != NULL) {
        printf(".Nm shs %s\n.Ar COMMAND\n.Op Ar OPTION ...\n", page->command);
        return;
    }
    for (; *line != '\0' && *line != '\n'; line += strcspn(line, "\n") + 1) {
        const char *text = strstr(line, "shs ");
        size_t len = strcspn(line, "\n");

        if (text == NULL || text > line + len)
            continue;
        puts(".Nm shs");
        mdoc_literal(text + 4, len - (size_t)(text + 4 - line));
    }
}

/* -- options ----------------------------------------------------------------------------------- */

static void print_value(const struct page_option *option)
{
    if (option->value == NULL)
        return;
    fputs(option->optional ? " Ns Oo = Ns Ar " : " Ar ", stdout);
    mdoc_argument(option->value);
    fputs(option->optional ? " Oc" : "", stdout);
}

/* "upload" needs that one, "!plain" does not go with it, "handler=files,echo" needs a value,
   "admin=tls:" one that begins so. */
static void print_needs(const char *needs)
{
    char sentence[200];

    while (*needs != '\0') {
        size_t len = strcspn(needs, " "), name = strcspn(needs, "= ");

        if (needs[0] == '!')
            snprintf(sentence, sizeof sentence, "Not with --%.*s.", (int)(len - 1), needs + 1);
        else if (name < len && needs[len - 1] == ':')
            snprintf(sentence, sizeof sentence, "Needs a --%.*s that begins with %.*s.", (int)name,
                     needs, (int)(len - name - 1), needs + name + 1);
        else if (name < len)
            snprintf(sentence, sizeof sentence, "Needs --%.*s to be %.*s.", (int)name, needs,
                     (int)(len - name - 1), needs + name + 1);
        else
            snprintf(sentence, sizeof sentence, "Needs --%.*s.", (int)len, needs);
        for (char *c = sentence; *c != '\0'; c++)
            *c = *c == ',' ? '|' : *c;
        mdoc_words(sentence, strlen(sentence));
        needs += len;
        needs += strspn(needs, " ");
    }
}

static void print_range(const struct setting *row)
{
    char sentence[120];

    if (row->kind == SETTING_NUMBER || row->kind == SETTING_BYTES || row->kind == SETTING_MS ||
        row->kind == SETTING_S) {
        snprintf(sentence, sizeof sentence, "From %" PRIu64 " to %" PRIu64 ".", row->min, row->max);
        mdoc_words(sentence, strlen(sentence));
    }
    if (row->choices == NULL)
        return;
    fputs("One of:\n", stdout);
    for (const struct setting_choice *c = row->choices; c->name != NULL; c++)
        printf(".Cm %s%s\n", c->name, c[1].name == NULL ? " ." : " ,");
}

/* The help as sentences: it ends with a full stop. */
static void print_text(const struct page_option *option)
{
    char text[2048];
    size_t len = strlen(option->help);

    snprintf(text, sizeof text, "%s%s", option->help,
             len > 0 && strchr(".!?", option->help[len - 1]) != NULL ? "" : ".");
    mdoc_words(text, strlen(text));
    if (option->preset[0] != '\0') {
        snprintf(text, sizeof text, "Default: %s.", option->preset);
        mdoc_words(text, strlen(text));
    }
    if (option->row == NULL)
        return;
    print_range(option->row);
    if (option->row->needs != NULL)
        print_needs(option->row->needs);
}

static void print_option(const struct page_option *option)
{
    fputs(".It ", stdout);
    if (option->letter != 0)
        printf("Fl %c , ", option->letter);
    printf("Fl \\-%s", option->name);
    print_value(option);
    putchar('\n');
    print_text(option);
}

static bool is_in_group(const struct page_option *option, const struct settings_group *group)
{
    const char *name = option->row == NULL ? NULL : option->row->group;

    return option->row != NULL && (name == group->name || (name != NULL && group->name != NULL &&
                                                           strcmp(name, group->name) == 0));
}

/* Those of no table of settings first, then each group under its heading. */
static void print_options(const struct page *page)
{
    bool own = false;

    for (size_t i = 0; i < page->option_count; i++) {
        if (page->options[i].row != NULL)
            continue;
        if (!own)
            puts(".Bl -tag -width Ds");
        own = true;
        print_option(&page->options[i]);
    }
    if (own)
        puts(".El");
    if (page->settings == NULL || strcmp(page->command, "serve") != 0)
        return; /* who takes another command's settings says so */
    for (size_t g = 0; g < page->settings->group_count; g++) {
        mdoc_heading(page->settings->groups[g].heading);
        puts(".Bl -tag -width Ds");
        for (size_t i = 0; i < page->option_count; i++) {
            if (is_in_group(&page->options[i], &page->settings->groups[g]))
                print_option(&page->options[i]);
        }
        puts(".El");
    }
}

/* -- commands ---------------------------------------------------------------------------------- */

void man_commands(const struct page *page)
{
    const struct command *word;

    puts(".Bl -tag -width Ds");
    for (size_t i = 0; (word = page_word(page, i)) != NULL; i++) {
        printf(".It Cm %s", word->name);
        if (word->operands != NULL) {
            fputs(" Ar ", stdout);
            mdoc_argument(word->operands);
        }
        putchar('\n');
        mdoc_words(word->help, strlen(word->help));
    }
    puts(".El");
}

/* What `more` writes, as text. */
static void print_more(void (*more)(FILE *to))
{
    char text[16384];
    FILE *to = fmemopen(text, sizeof text, "w");

    if (to == NULL)
        return;
    text[0] = '\0';
    more(to);
    (void)fclose(to);
    mdoc_paragraphs(text, false, true);
}

static void print_body(const struct page *page)
{
    mdoc_paragraphs(skip_usage(page->about), false, false);
    if (page->word_count > 0)
        man_commands(page);
    print_options(page);
    if (page->below != NULL)
        mdoc_paragraphs(page->below, false, true);
    if (page->more != NULL)
        print_more(page->more);
}

void man_page(const struct page *page)
{
    print_body(page);
}

void man_list(const struct pages *pages, const struct page *page)
{
    const struct command *word;

    for (size_t w = 0; (word = page_word(page, w)) != NULL; w++) {
        for (size_t i = 0; i < pages->count; i++) {
            const struct page *other = &pages->items[i];

            if (other->row != word || other->about == NULL)
                continue;
            printf(".Ss shs %s\n", other->command);
            puts(".Bd -literal");
            for (const char *line = other->about; *line != '\0' && *line != '\n';
                 line += strcspn(line, "\n") + 1) {
                const char *text = strstr(line, "shs ");

                if (text != NULL && text < line + strcspn(line, "\n"))
                    mdoc_literal(text, strcspn(text, "\n"));
            }
            puts(".Ed\n.Pp");
            print_body(other);
        }
    }
}

/* -- keys of the configuration file ------------------------------------------------------------ */

static const char *form_of(const struct setting *row)
{
    switch (row->kind) {
    case SETTING_FLAG:
    case SETTING_NOT:
        return "true|false";
    case SETTING_TEXTS:
    case SETTING_OWN:
    case SETTING_TEXT:
    case SETTING_NUMBER:
    case SETTING_BYTES:
    case SETTING_MS:
    case SETTING_S:
    case SETTING_CHOICE:
        break;
    }
    return settings_placeholder(row);
}

static void print_key(const struct page_option *option)
{
    printf(".It Cm %s : Ar ", settings_key(option->row));
    mdoc_argument(form_of(option->row));
    putchar('\n');
    print_text(option);
    if (option->row->kind == SETTING_TEXTS)
        puts("A value, or a list of values.");
    if (option->row->pairs)
        puts("Also as keys: a name and a value each.");
}

void man_keys(const struct page *page)
{
    for (size_t g = 0; g < page->settings->group_count; g++) {
        const struct settings_group *group = &page->settings->groups[g];
        bool any = false;

        for (size_t i = 0; i < page->option_count; i++) {
            if (!is_in_group(&page->options[i], group) || page->options[i].row->flag_only)
                continue;
            if (!any) {
                mdoc_heading(group->heading);
                if (group->name != NULL)
                    printf("These keys may also stand under the key\n.Cm %s .\n", group->name);
                if (group->listed != NULL)
                    printf("There, a list has an entry for each, with the keys\n.Li %s .\n",
                           group->listed);
                if (group->shared)
                    puts("They are the same for all listeners.");
                puts(".Bl -tag -width Ds");
            }
            any = true;
            print_key(&page->options[i]);
        }
        if (any)
            puts(".El");
    }
}
