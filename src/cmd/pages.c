#include "cmd/pages.h"

#include "cmd/cmd.h"
#include "cmd/flags.h"

static struct page *add_page(struct pages *self, const char *command)
{
    struct page *page = NULL;

    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->items[i].command, command) == 0)
            page = &self->items[i];
    }
    if (page == NULL && self->count < PAGES_MAX) {
        page = &self->items[self->count++];
        snprintf(page->command, sizeof page->command, "%s", command);
    }
    if (page == NULL)
        self->broken = true;
    return page;
}

static char *copy(struct pages *self, const char *text)
{
    char *copied = text == NULL ? NULL : shs__strdup(text);

    if (text != NULL && copied == NULL)
        self->broken = true;
    return copied;
}

/* A list has a page, and so has each of its rows: what is in it comes later. */
static void take_list(void *ctx, const struct command_list *list)
{
    const char *name = list->name == NULL ? "" : list->name;
    struct page *page = add_page(ctx, name);

    if (page == NULL)
        return;
    page->list = list;
    page->about = copy(ctx, list->about);
    for (size_t i = 0; i < list->count; i++) {
        char command[PAGE_COMMAND_MAX];

        if (list->rows[i].help == NULL)
            continue;
        snprintf(command, sizeof command, "%s%s%s", name, name[0] == '\0' ? "" : " ",
                 list->rows[i].name);
        page = add_page(ctx, command);
        if (page != NULL)
            page->row = &list->rows[i];
    }
}

static void take_flag(struct page_option *out, const struct flag *flag)
{
    *out = (struct page_option){.name = flag->name, .value = flag->value, .help = flag->help};
    out->optional = flag->kind == FLAG_OWN && ((const struct flag_own *)flag->to)->optional;
    out->many = flag->kind == FLAG_LIST || flag->kind == FLAG_COMMAS || flag->kind == FLAG_OWN;
}

static void take_row(struct page_option *out, const struct setting *row, const void *defaults)
{
    *out = (struct page_option){
        .name = row->name,
        .letter = row->letter,
        .value = settings_placeholder(row),
        .optional = row->alone != NULL,
        .many = row->kind == SETTING_TEXTS || row->kind == SETTING_OWN,
        .help = row->help,
        .row = row,
    };
    if (defaults != NULL)
        (void)settings_preset(row, defaults, out->preset, sizeof out->preset);
}

static void take_page(void *ctx, const struct command_page *from)
{
    struct pages *self = ctx;
    struct page *page = add_page(self, from->command);
    size_t rows = from->settings == NULL ? 0 : from->settings->count;

    if (page == NULL)
        return;
    page->about = copy(self, from->about);
    page->below = copy(self, from->below);
    page->more = from->more;
    page->settings = from->settings;
    page->words = from->words;
    page->word_count = from->word_count;
    page->word_size = from->word_size;
    page->options = shs__calloc(from->flag_count + rows + 1, sizeof *page->options);
    if (page->options == NULL) {
        self->broken = true;
        return;
    }
    for (size_t i = 0; i < from->flag_count; i++)
        take_flag(&page->options[page->option_count++], &from->flags[i]);
    for (size_t i = 0; i < rows; i++)
        take_row(&page->options[page->option_count++], &from->settings->rows[i], from->defaults);
}

int pages_collect(struct pages *out)
{
    const struct command_watcher watcher = {take_list, take_page, out};

    memset(out, 0, sizeof *out);
    commands_visit(&commands_top, &watcher);
    return out->broken ? cmd_fail(CMD_FAILED, "out of memory, or more than %d commands", PAGES_MAX)
                       : CMD_OK;
}

void pages_free(struct pages *self)
{
    for (size_t i = 0; i < self->count; i++) {
        shs__free(self->items[i].about);
        shs__free(self->items[i].below);
        shs__free(self->items[i].options);
    }
    memset(self, 0, sizeof *self);
}

const struct page *pages_find(const struct pages *self, const char *command)
{
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->items[i].command, command) == 0)
            return &self->items[i];
    }
    return NULL;
}

const struct command *page_word(const struct page *self, size_t n)
{
    if (self->list == NULL)
        return n < self->word_count
                   ? (const struct command *)(const void *)((const char *)self->words +
                                                            n * self->word_size)
                   : NULL;
    for (size_t i = 0; i < self->list->count; i++) {
        if (self->list->rows[i].help != NULL && n-- == 0)
            return &self->list->rows[i];
    }
    return NULL;
}
