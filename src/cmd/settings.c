#include "cmd/settings.h"

#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "cmd/cmd.h"

#define FIRST_CODE 256
#define HELP_COLUMN 32
#define LETTERS_MAX 64
/* A name is near when so many letters at most are to be changed, added or taken away. */
#define NEAR_MAX 3
#define NAME_MAX_LEN 48

static void problem_say(struct setting_problem *problem, const char *fmt, ...) SHS_PRINTF(2, 3);

static void problem_say(struct setting_problem *problem, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(problem->text, sizeof problem->text, fmt, args);
    va_end(args);
}

static bool is_switch(const struct setting *row)
{
    return row->kind == SETTING_FLAG || row->kind == SETTING_NOT;
}

static bool is_number(const struct setting *row)
{
    return row->kind == SETTING_NUMBER || row->kind == SETTING_BYTES || row->kind == SETTING_MS ||
           row->kind == SETTING_S;
}

static size_t index_of(const struct settings *table, const struct setting *row)
{
    return (size_t)(row - table->rows);
}

/* -- names ------------------------------------------------------------------------------------- */

const struct setting *settings_find(const struct settings *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].name, name) == 0)
            return &table->rows[i];
    }
    return NULL;
}

const char *settings_key(const struct setting *row)
{
    return row->key != NULL ? row->key : row->name;
}

bool settings_has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = words; at != NULL && *at != '\0'; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");

        if (n == len && strncmp(at, word, n) == 0)
            return true;
        at += n;
    }
    return false;
}

static bool is_listed(const struct setting *row, const struct settings_group *group)
{
    return row->group != NULL && group->name != NULL && strcmp(row->group, group->name) == 0 &&
           settings_has_word(group->listed, settings_key(row));
}

const struct setting *settings_find_listed(const struct settings *table,
                                           const struct settings_group *group, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (is_listed(&table->rows[i], group) && strcmp(settings_key(&table->rows[i]), name) == 0)
            return &table->rows[i];
    }
    return NULL;
}

/* Levenshtein's distance, of short names. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LEN + 1], len = strlen(b);

    if (strlen(a) > NAME_MAX_LEN || len > NAME_MAX_LEN)
        return SIZE_MAX;
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t j = 1; j <= len; j++) {
            size_t least = corner + (a[i - 1] != b[j - 1]);

            corner = row[j];
            if (row[j] + 1 < least)
                least = row[j] + 1;
            if (row[j - 1] + 1 < least)
                least = row[j - 1] + 1;
            row[j] = least;
        }
    }
    return row[len];
}

struct nearest {
    const char *wanted, *name;
    size_t distance;
};

static void look_whether_nearer(struct nearest *self, const char *name)
{
    size_t d = name == NULL ? SIZE_MAX : distance(self->wanted, name);

    /* Of a short word nothing would be left: 'a' is not meant for 'spa'. */
    if (d < self->distance && d < strlen(name) && d < strlen(self->wanted)) {
        self->distance = d;
        self->name = name;
    }
}

const char *settings_nearest_flag(const struct settings *table, const char *name)
{
    struct nearest nearest = {name, NULL, NEAR_MAX + 1};

    for (size_t i = 0; i < table->count; i++)
        look_whether_nearer(&nearest, table->rows[i].name);
    return nearest.name;
}

const char *settings_nearest_key(const struct settings *table, const char *name)
{
    struct nearest nearest = {name, NULL, NEAR_MAX + 1};

    for (size_t i = 0; i < table->count; i++)
        look_whether_nearer(&nearest, table->rows[i].flag_only || table->rows[i].key != NULL
                                          ? NULL
                                          : table->rows[i].name);
    for (size_t i = 0; i < table->group_count; i++)
        look_whether_nearer(&nearest, table->groups[i].name);
    look_whether_nearer(&nearest, table->sections);
    return nearest.name;
}

const char *settings_nearest_listed(const struct settings *table,
                                    const struct settings_group *group, const char *name)
{
    struct nearest nearest = {name, NULL, NEAR_MAX + 1};

    for (size_t i = 0; i < table->count; i++)
        look_whether_nearer(
            &nearest, is_listed(&table->rows[i], group) ? settings_key(&table->rows[i]) : NULL);
    return nearest.name;
}

/* -- values ------------------------------------------------------------------------------------ */

/* Digits, and where `units` a k, m or g behind them, from min to max. */
static bool read_number(const char *text, bool units, uint64_t min, uint64_t max, uint64_t *out)
{
    static const char letters[] = "kmg";
    uint64_t value = 0, digit;
    const char *unit;

    if (*text < '0' || *text > '9')
        return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        digit = (uint64_t)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    unit = *text == '\0' ? NULL : strchr(letters, (int)shs__lower((unsigned char)*text));
    if (*text != '\0' && (!units || unit == NULL || text[1] != '\0'))
        return false;
    for (ptrdiff_t i = 0; unit != NULL && i <= unit - letters; i++) {
        if (value > UINT64_MAX / 1024)
            return false;
        value *= 1024;
    }
    if (value < min || value > max)
        return false;
    *out = value;
    return true;
}

static void store(void *to, const struct setting *row, uint64_t value)
{
    char *member = (char *)to + row->offset;
    unsigned small = (unsigned)value;

    if (row->size == sizeof small)
        memcpy(member, &small, sizeof small);
    else
        memcpy(member, &value, sizeof value);
}

static uint64_t stored(const void *to, const struct setting *row)
{
    const char *member = (const char *)to + row->offset;
    unsigned small;
    uint64_t value;

    if (row->size == sizeof small) {
        memcpy(&small, member, sizeof small);
        return small;
    }
    memcpy(&value, member, sizeof value);
    return value;
}

static const char *unit_of(enum setting_kind kind)
{
    switch (kind) {
    case SETTING_BYTES:
        return " of bytes (k, m and g may be used)";
    case SETTING_MS:
        return " of milliseconds";
    case SETTING_S:
        return " of seconds";
    case SETTING_FLAG:
    case SETTING_NOT:
    case SETTING_TEXT:
    case SETTING_TEXTS:
    case SETTING_NUMBER:
    case SETTING_CHOICE:
    case SETTING_OWN:
        break;
    }
    return "";
}

static bool take_number(void *to, const struct setting *row, const char *value,
                        struct setting_problem *problem)
{
    uint64_t number;

    if (!read_number(value, row->kind == SETTING_BYTES, row->min, row->max, &number)) {
        problem_say(problem, "is not a number%s from %" PRIu64 " to %" PRIu64, unit_of(row->kind),
                    row->min, row->max);
        return false;
    }
    store(to, row, number);
    return true;
}

static bool take_choice(void *to, const struct setting *row, const char *value,
                        struct setting_problem *problem)
{
    size_t used = 0;

    for (const struct setting_choice *c = row->choices; c->name != NULL; c++) {
        if (strcmp(value, c->name) == 0) {
            store(to, row, (uint64_t)c->value);
            return true;
        }
    }
    problem_say(problem, "is not one of:");
    used = strlen(problem->text);
    for (const struct setting_choice *c = row->choices; c->name != NULL; c++) {
        int n = snprintf(problem->text + used, sizeof problem->text - used, "%s %s",
                         c == row->choices ? "" : ",", c->name);

        if (n < 0 || (size_t)n >= sizeof problem->text - used)
            break;
        used += (size_t)n;
    }
    return false;
}

static bool take_switch(void *to, const struct setting *row, const char *value,
                        struct setting_problem *problem)
{
    bool on = value == NULL || strcmp(value, "true") == 0;

    if (!on && strcmp(value, "false") != 0) {
        problem_say(problem, "is neither true nor false");
        return false;
    }
    *(bool *)((char *)to + row->offset) = row->kind == SETTING_FLAG ? on : !on;
    return true;
}

static bool take_into_list(void *to, const struct setting *row, const char *value,
                           struct setting_problem *problem)
{
    struct setting_list *list = (struct setting_list *)(void *)((char *)to + row->offset);

    if (list->count == SETTING_LIST_MAX) {
        problem_say(problem, "is one too many: at most %d", SETTING_LIST_MAX);
        return false;
    }
    list->items[list->count++] = value;
    list->items[list->count] = NULL;
    return true;
}

static bool take_value(void *to, const struct setting *row, const char *value,
                       struct setting_problem *problem)
{
    switch (row->kind) {
    case SETTING_FLAG:
    case SETTING_NOT:
        return take_switch(to, row, value, problem);
    case SETTING_TEXT:
        *(const char **)(void *)((char *)to + row->offset) = value == NULL ? row->alone : value;
        return true;
    case SETTING_TEXTS:
        return take_into_list(to, row, value, problem);
    case SETTING_NUMBER:
    case SETTING_BYTES:
    case SETTING_MS:
    case SETTING_S:
        return take_number(to, row, value, problem);
    case SETTING_CHOICE:
        return take_choice(to, row, value, problem);
    case SETTING_OWN:
        break;
    }
    return true;
}

static void reset(void *to, const struct setting *row)
{
    if (row->reset != NULL)
        row->reset(to, row);
    else if (row->kind == SETTING_TEXTS)
        memset((char *)to + row->offset, 0, sizeof(struct setting_list));
}

/* -- entries of a list ------------------------------------------------------------------------- */

static size_t *entry_count(const struct setting *row, void *to)
{
    return (size_t *)(void *)((char *)to + row->entries->count);
}

static void *entry_at(const struct setting *row, void *to, size_t i)
{
    return (char *)to + row->entries->items + i * row->entries->size;
}

static const struct setting *beginning_of(const struct settings *table, const struct setting *row)
{
    const struct setting *first = table->rows;

    while (first->entries != row->entries || !first->begins)
        first++;
    return first;
}

/* The entry that the value is for; NULL: there is none, and *problem says why. */
static void *entry_for(const struct settings *table, const struct setting *row, void *to,
                       const struct settings_given *given, enum settings_layer layer,
                       struct setting_problem *problem)
{
    const struct setting *first = beginning_of(table, row);
    bool any = given->layer[index_of(table, first)] == layer;
    size_t *count = entry_count(row, to);

    if (!row->begins && !any) {
        problem_say(problem, "belongs to the --%s before it, and there is none", first->name);
        return NULL;
    }
    if (row->begins) {
        if (!any) /* what an earlier layer said */
            *count = 0;
        if (*count == row->entries->max) {
            problem_say(problem, "is one too many: at most %zu", row->entries->max);
            return NULL;
        }
        memset(entry_at(row, to, (*count)++), 0, row->entries->size);
    }
    return entry_at(row, to, *count - 1);
}

void settings_mark(const struct setting *row, void *to, const char *file, unsigned line)
{
    char *entry;

    if (row->entries == NULL || !row->begins)
        return;
    entry = entry_at(row, to, *entry_count(row, to) - 1);
    *(struct setting_place *)(void *)(entry + row->entries->place) =
        (struct setting_place){file, line};
}

static bool take_in_entry(const struct settings *table, const struct setting *row, void *to,
                          struct settings_given *given, enum settings_layer layer,
                          const char *value, struct setting_problem *problem)
{
    void *entry;

    if (row->take != NULL && !row->take(to, row, value, problem))
        return false;
    entry = entry_for(table, row, to, given, layer, problem);
    if (entry == NULL || !take_value(entry, row, value, problem))
        return false;
    given->layer[index_of(table, row)] = (unsigned char)layer;
    return true;
}

bool settings_take(const struct settings *table, const struct setting *row, void *to,
                   struct settings_given *given, enum settings_layer layer, const char *value,
                   struct setting_problem *problem)
{
    unsigned char *at = &given->layer[index_of(table, row)];

    if (row->entries != NULL)
        return take_in_entry(table, row, to, given, layer, value, problem);
    if (row->once && *at == layer) {
        problem_say(problem, "is the second one: it can be given once");
        return false;
    }
    if (row->kind != SETTING_OWN && row->take != NULL && !row->take(to, row, value, problem))
        return false;
    if (*at != layer)
        reset(to, row);
    if (row->kind == SETTING_OWN ? !row->take(to, row, value, problem)
                                 : !take_value(to, row, value, problem))
        return false;
    *at = (unsigned char)layer;
    return true;
}

bool settings_was_given(const struct settings *table, const struct settings_given *given,
                        const char *name)
{
    const struct setting *row = settings_find(table, name);

    return row != NULL && given->layer[index_of(table, row)] != SETTINGS_DEFAULT;
}

/* -- what goes together ------------------------------------------------------------------------ */

static bool switch_is_on(const void *to, const struct setting *row)
{
    return *(const bool *)((const char *)to + row->offset) == (row->kind == SETTING_FLAG);
}

static bool is_chosen(const void *to, const struct setting *row, const char *names, size_t len)
{
    uint64_t now = stored(to, row);

    for (const struct setting_choice *c = row->choices; c->name != NULL; c++) {
        size_t n = strlen(c->name);

        if ((uint64_t)(unsigned)c->value != now)
            continue;
        for (size_t at = 0; at < len; at += strcspn(names + at, ", ") + 1) {
            if (strncmp(names + at, c->name, n) == 0 && (at + n == len || names[at + n] == ','))
                return true;
        }
    }
    return false;
}

static bool one_begins(const void *to, const struct setting *row, const char *begin, size_t len)
{
    const struct setting_list *list = (const void *)((const char *)to + row->offset);

    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->items[i], begin, len) == 0)
            return true;
    }
    return false;
}

/* "pool,thread,fork" as "pool, thread or fork". */
static void say_names(char *out, size_t cap, const char *names, size_t len)
{
    size_t used = 0;

    for (size_t at = 0; at < len;) {
        size_t n = strcspn(names + at, ", ");
        bool last = at + n >= len;
        int put = snprintf(out + used, cap - used, "%s%.*s",
                           at == 0 ? ""
                           : last  ? " or "
                                   : ", ",
                           (int)n, names + at);

        if (put < 0 || (size_t)put >= cap - used)
            return;
        used += (size_t)put;
        at += n + 1;
    }
}

/* One condition of `needs`, `len` bytes of it. */
static bool meets(const struct settings *table, const void *to, const struct settings_given *given,
                  const char *condition, size_t len, struct setting_problem *problem)
{
    bool off = condition[0] == '!';
    const char *equals = memchr(condition, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - condition) : len;
    char name[NAME_MAX_LEN + 1], names[SETTING_TEXT_MAX / 2];
    const struct setting *other;
    bool good;

    snprintf(name, sizeof name, "%.*s", (int)(name_len - off), condition + off);
    other = settings_find(table, name);
    if (other == NULL) { /* a row that nobody can use: any test of its flag finds it */
        problem_say(problem, "goes with --%s, which there is not", name);
        return false;
    }
    if (equals != NULL && other->kind == SETTING_TEXTS) {
        len -= name_len + 1;
        good = one_begins(to, other, equals + 1, len);
        if (!good)
            problem_say(problem, "needs a --%s that begins with %.*s", name, (int)len, equals + 1);
        return good;
    }
    if (equals != NULL) {
        len -= name_len + 1;
        good = is_chosen(to, other, equals + 1, len);
        say_names(names, sizeof names, equals + 1, len);
        if (!good)
            problem_say(problem, "goes with --%s %s only", name, names);
        return good;
    }
    good = is_switch(other) ? switch_is_on(to, other)
                            : given->layer[index_of(table, other)] != SETTINGS_DEFAULT;
    if (good == off)
        problem_say(problem, "%s --%s%s",
                    off                ? "does not go with"
                    : is_switch(other) ? "goes with"
                                       : "needs",
                    name, off || !is_switch(other) ? "" : " only");
    return good != off;
}

bool settings_fits(const struct settings *table, const struct setting *row, const void *to,
                   const struct settings_given *given, struct setting_problem *problem)
{
    if (row->needs == NULL || (is_switch(row) && !switch_is_on(to, row)))
        return true;
    for (const char *at = row->needs; *at != '\0'; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");

        if (!meets(table, to, given, at, len, problem))
            return false;
        at += len;
    }
    return true;
}

bool settings_check(const struct settings *table, const void *to,
                    const struct settings_given *given, enum settings_layer least,
                    const struct setting **row, struct setting_problem *problem)
{
    for (size_t i = 0; i < table->count; i++) {
        *row = &table->rows[i];
        if (given->layer[i] != SETTINGS_DEFAULT && given->layer[i] >= least &&
            !settings_fits(table, *row, to, given, problem))
            return false;
    }
    return true;
}

/* -- the command line -------------------------------------------------------------------------- */

static void make_flags(const struct settings *table, struct option flags[SETTINGS_MAX + 2],
                       char letters[LETTERS_MAX])
{
    size_t used = 0, count = 0;

    letters[used++] = ':';
    letters[used++] = 'h';
    for (; count < table->count; count++) {
        const struct setting *row = &table->rows[count];
        int argument = is_switch(row)       ? no_argument
                       : row->alone != NULL ? optional_argument
                                            : required_argument;

        flags[count] = (struct option){row->name, argument, NULL, FIRST_CODE + (int)count};
        if (row->letter != 0 && used + 3 < LETTERS_MAX) {
            letters[used++] = row->letter;
            if (!is_switch(row))
                letters[used++] = ':';
        }
    }
    letters[used] = '\0';
    flags[count++] = (struct option){"help", no_argument, NULL, 'h'};
    flags[count] = (struct option){NULL, 0, NULL, 0};
}

static int wrong_word(const struct settings *table, int argc, char **argv, int option)
{
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "", *nearest = NULL;
    char name[NAME_MAX_LEN + 1];

    if (option == ':')
        return cmd_fail(CMD_USAGE, "option '%s' needs a value; try '%s --help'", word,
                        table->command);
    if (optopt >= FIRST_CODE)
        return cmd_fail(CMD_USAGE, "option '%s' takes no value; try '%s --help'", word,
                        table->command);
    if (optopt > 0)
        return cmd_fail(CMD_USAGE, "unknown option '-%c'; try '%s --help'", optopt, table->command);
    if (strncmp(word, "--", 2) == 0) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
        nearest = settings_nearest_flag(table, name);
    }
    if (nearest != NULL)
        return cmd_fail(CMD_USAGE, "unknown option '%s'; did you mean '--%s'?", word, nearest);
    return cmd_fail(CMD_USAGE, "unknown option '%s'; try '%s --help'", word, table->command);
}

static const struct setting *row_of(const struct settings *table, int option)
{
    if (option >= FIRST_CODE)
        return &table->rows[option - FIRST_CODE];
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].letter == option)
            return &table->rows[i];
    }
    return NULL;
}

static int add_word(struct settings_words *out, const struct setting *row, const char *value)
{
    struct settings_word *more;

    if (out->count == SETTINGS_WORDS_MAX)
        return cmd_fail(CMD_USAGE, "more than %d options", SETTINGS_WORDS_MAX);
    if (out->count % 64 == 0) {
        more = shs__realloc(out->items, (out->count + 64) * sizeof *more);
        if (more == NULL)
            return cmd_fail(CMD_FAILED, "out of memory");
        out->items = more;
    }
    out->items[out->count++] = (struct settings_word){row, value};
    return CMD_OK;
}

int settings_read_words(const struct settings *table, int argc, char **argv,
                        const char *operand_row, struct settings_words *out)
{
    struct option flags[SETTINGS_MAX + 2];
    char letters[LETTERS_MAX];
    int option, rc = CMD_OK;

    memset(out, 0, sizeof *out);
    make_flags(table, flags, letters);
    optind = 0; /* argv is not the one of main: glibc starts again */
    opterr = 0; /* getopt's own messages name argv[0], and are not ours */
    while (rc == CMD_OK && (option = getopt_long(argc, argv, letters, flags, NULL)) != -1) {
        const struct setting *row = row_of(table, option);

        if (option == 'h') {
            out->help = true;
            return CMD_OK;
        }
        rc = row == NULL ? wrong_word(table, argc, argv, option) : add_word(out, row, optarg);
    }
    for (; rc == CMD_OK && optind < argc; optind++)
        rc = add_word(out, settings_find(table, operand_row), argv[optind]);
    return rc;
}

int settings_apply_words(const struct settings *table, const struct settings_words *words, void *to,
                         struct settings_given *given)
{
    struct setting_problem problem;

    for (size_t i = 0; i < words->count; i++) {
        const struct settings_word *word = &words->items[i];

        if (settings_take(table, word->row, to, given, SETTINGS_COMMAND, word->value, &problem))
            continue;
        if (word->value == NULL)
            return cmd_fail(CMD_USAGE, "--%s %s", word->row->name, problem.text);
        return cmd_fail(CMD_USAGE, "--%s '%s' %s", word->row->name, word->value, problem.text);
    }
    return CMD_OK;
}

/* -- help -------------------------------------------------------------------------------------- */

const char *settings_placeholder(const struct setting *row)
{
    if (row->value != NULL)
        return row->value;
    switch (row->kind) {
    case SETTING_NUMBER:
        return "N";
    case SETTING_BYTES:
        return "BYTES";
    case SETTING_MS:
        return "MS";
    case SETTING_S:
        return "SECONDS";
    case SETTING_TEXT:
    case SETTING_TEXTS:
    case SETTING_CHOICE:
    case SETTING_OWN:
        return "NAME";
    case SETTING_FLAG:
    case SETTING_NOT:
        break;
    }
    return NULL;
}

static bool show_text(const char *text, char *out, size_t cap)
{
    return text != NULL && snprintf(out, cap, "%s", text) < (int)cap;
}

bool settings_preset(const struct setting *row, const void *defaults, char *out, size_t cap)
{
    if (row->preset != NULL)
        return show_text(row->preset, out, cap);
    return is_number(row) && stored(defaults, row) != 0 &&
           settings_show(row, defaults, 0, out, cap);
}

/* A line, broken by hand in the table; the default stands at the end of the last one. */
static void print_lines(const struct setting *row, const void *defaults, int used)
{
    const char *line = row->help;
    char preset[64];

    if (used > HELP_COLUMN - 2) {
        putchar('\n');
        used = 0;
    }
    for (;;) {
        size_t len = strcspn(line, "\n");

        printf("%*s%.*s", HELP_COLUMN - used, "", (int)len, line);
        if (line[len] == '\0')
            break;
        putchar('\n');
        line += len + 1;
        used = 0;
    }
    if (settings_preset(row, defaults, preset, sizeof preset))
        printf(" (%s)", preset);
    putchar('\n');
}

static void print_row(const struct setting *row, const void *defaults)
{
    const char *value = settings_placeholder(row);
    char letter[8] = "    ";

    if (row->letter != 0)
        snprintf(letter, sizeof letter, "-%c, ", row->letter);
    print_lines(row, defaults,
                printf("  %s--%s%s%s%s", letter, row->name,
                       value == NULL        ? ""
                       : row->alone != NULL ? "[="
                                            : " ",
                       value == NULL ? "" : value, row->alone != NULL ? "]" : ""));
}

static bool same_group(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

void settings_print_help(const struct settings *table, const void *defaults)
{
    for (size_t g = 0; g < table->group_count; g++) {
        printf("%s%s:\n", g == 0 ? "" : "\n", table->groups[g].heading);
        for (size_t i = 0; i < table->count; i++) {
            if (same_group(table->rows[i].group, table->groups[g].name))
                print_row(&table->rows[i], defaults);
        }
    }
}

/* -- values as text ---------------------------------------------------------------------------- */

static bool show_bytes(uint64_t value, char *out, size_t cap)
{
    static const char units[] = "\0kmg";
    int unit = 0;

    while (value > 0 && value % 1024 == 0 && unit < 3) {
        value /= 1024;
        unit++;
    }
    snprintf(out, cap, "%" PRIu64 "%.1s", value, &units[unit]);
    return true;
}

/* A number that nobody can give stands for the default that the row tells of. */
static bool is_preset(const struct setting *row, const void *to)
{
    return is_number(row) && row->preset != NULL &&
           (stored(to, row) < row->min || stored(to, row) > row->max);
}

bool settings_show(const struct setting *row, const void *to, size_t item, char *out, size_t cap)
{
    const char *member = (const char *)to + row->offset;

    if (row->kind == SETTING_TEXTS) {
        const struct setting_list *list = (const struct setting_list *)(const void *)member;

        return item < list->count && show_text(list->items[item], out, cap);
    }
    if (item > 0)
        return false;
    if (is_preset(row, to))
        return show_text(row->preset, out, cap);
    switch (row->kind) {
    case SETTING_FLAG:
    case SETTING_NOT:
        return show_text(switch_is_on(to, row) ? "true" : "false", out, cap);
    case SETTING_TEXT:
        return show_text(*(const char *const *)(const void *)member, out, cap);
    case SETTING_NUMBER:
    case SETTING_MS:
    case SETTING_S:
        snprintf(out, cap, "%" PRIu64, stored(to, row));
        return true;
    case SETTING_BYTES:
        return show_bytes(stored(to, row), out, cap);
    case SETTING_CHOICE:
        for (const struct setting_choice *c = row->choices; c->name != NULL; c++) {
            if ((uint64_t)(unsigned)c->value == stored(to, row))
                return show_text(c->name, out, cap);
        }
        return false;
    case SETTING_TEXTS:
    case SETTING_OWN:
        break;
    }
    return false;
}

static bool shows_other(const struct setting *row, const void *a, const void *b)
{
    char ours[1024], theirs[1024];

    for (size_t i = 0;; i++) {
        bool has = settings_show(row, a, i, ours, sizeof ours);

        if (has != settings_show(row, b, i, theirs, sizeof theirs) ||
            (has && strcmp(ours, theirs) != 0))
            return true;
        if (!has)
            return false;
    }
}

const struct setting *settings_first_other(const struct settings *table, const void *a,
                                           const void *b)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].entries == NULL && table->rows[i].kind != SETTING_OWN &&
            shows_other(&table->rows[i], a, b))
            return &table->rows[i];
    }
    return NULL;
}

/* -- as a file --------------------------------------------------------------------------------- */

static bool is_plain(const char *text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./";

    return text[0] != '\0' && strcmp(text, "null") != 0 && text[strspn(text, safe)] == '\0';
}

void settings_print_value(const char *text)
{
    bool control = false;

    for (const char *c = text; *c != '\0'; c++)
        control = control || (unsigned char)*c < 0x20 || *c == 0x7f;
    if (is_plain(text)) {
        fputs(text, stdout);
        return;
    }
    putchar(control ? '"' : '\'');
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            printf("\\x%02x", (unsigned char)*c);
        else if (control && (*c == '"' || *c == '\\'))
            printf("\\%c", *c);
        else
            printf(!control && *c == '\'' ? "''" : "%c", *c);
    }
    putchar(control ? '"' : '\'');
}

/* "name: value", or the list below "name:". */
static void print_given(const struct setting *row, const void *to, int indent)
{
    char value[1024];

    if (row->kind == SETTING_TEXTS &&
        !(row->lone && !settings_show(row, to, 1, value, sizeof value))) {
        printf("%*s%s:\n", indent, "", settings_key(row));
        for (size_t i = 0; settings_show(row, to, i, value, sizeof value); i++) {
            printf("%*s  - ", indent, "");
            settings_print_value(value);
            putchar('\n');
        }
    } else if (settings_show(row, to, 0, value, sizeof value)) {
        printf("%*s%s: ", indent, "", settings_key(row));
        settings_print_value(value);
        putchar('\n');
    }
}

/* Something was said: a default needs no line in an entry. */
static bool is_said(const struct setting *row, const void *entry)
{
    char value[8];

    if (is_switch(row))
        return *(const bool *)((const char *)entry + row->offset);
    if (row->kind == SETTING_TEXT)
        return *(const char *const *)(const void *)((const char *)entry + row->offset) != NULL;
    return row->kind == SETTING_TEXTS ? settings_show(row, entry, 0, value, sizeof value)
                                      : stored(entry, row) != 0;
}

static bool is_of(const struct setting *row, const struct setting *first)
{
    return row->entries == first->entries;
}

/* A list whose entries have rows: "routes:", and each of them; or what there could be. */
static void print_entries(const struct settings *table, const struct settings_group *group,
                          const struct setting *first, const void *to, int indent)
{
    void *values = (void *)(uintptr_t)to;
    size_t count = *entry_count(first, values);

    if (count == 0) {
        printf("%*s# %s: [{", indent, "", group->name);
        for (const struct setting *row = first; row < table->rows + table->count; row++) {
            if (is_of(row, first))
                printf("%s%s: %s", row == first ? "" : ", ", settings_key(row),
                       is_switch(row) ? "true" : settings_placeholder(row));
        }
        printf("}]\n");
        return;
    }
    printf("%*s%s:\n", indent, "", group->name);
    for (size_t i = 0; i < count; i++) {
        const void *entry = entry_at(first, values, i);

        printf("%*s-\n", indent + 2, "");
        for (const struct setting *row = first; row < table->rows + table->count; row++) {
            if (is_of(row, first) && is_said(row, entry))
                print_given(row, entry, indent + 4);
        }
    }
}

/* The row that begins the entries of the group's list; NULL: it has no such rows. */
static const struct setting *entries_of(const struct settings *table,
                                        const struct settings_group *group)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].begins && is_listed(&table->rows[i], group))
            return &table->rows[i];
    }
    return NULL;
}

static void print_default(const struct setting *row, const void *to, int indent)
{
    char value[1024];

    if ((is_switch(row) || is_number(row) || row->kind == SETTING_CHOICE) &&
        (!is_number(row) || stored(to, row) != 0 || is_preset(row, to)) &&
        settings_show(row, to, 0, value, sizeof value))
        printf("%*s# %s: %s\n", indent, "", row->name, value);
    else
        printf("%*s# %s: %s\n", indent, "", row->name, settings_placeholder(row));
}

/* Has it anything that a file may say? */
static bool is_in_files(const struct settings *table, const struct settings_group *group)
{
    for (size_t i = 0; i < table->count; i++) {
        if (same_group(table->rows[i].group, group->name) && !table->rows[i].flag_only)
            return true;
    }
    return false;
}

void settings_print(const struct settings *table, const void *to,
                    const struct settings_given *given, enum settings_part part, int indent,
                    void (*print)(const struct settings_group *group, const void *to, int indent))
{
    for (size_t g = 0; g < table->group_count; g++) {
        const struct settings_group *group = &table->groups[g];
        const struct setting *first = entries_of(table, group);

        if (!is_in_files(table, group) ||
            (part != SETTINGS_ALL && group->shared != (part == SETTINGS_SHARED)))
            continue;
        printf("%*s# %s\n", indent, "", group->heading);
        if (first != NULL)
            print_entries(table, group, first, to, indent);
        else if (group->listed != NULL && print != NULL)
            print(group, to, indent);
        for (size_t i = 0; i < table->count; i++) {
            const struct setting *row = &table->rows[i];

            if (!same_group(row->group, group->name) || row->flag_only ||
                row->kind == SETTING_OWN || row->entries != NULL)
                continue;
            if (given->layer[i] == SETTINGS_DEFAULT)
                print_default(row, to, indent);
            else
                print_given(row, to, indent);
        }
        putchar('\n');
    }
}
