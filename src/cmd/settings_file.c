#include "cmd/settings_file.h"

#include "cmd/cmd.h"

/* Counts a mistake: may it be said? So many are, then that there are more. */
static bool may_say(struct settings_file *file)
{
    if (++file->errors == SETTINGS_FILE_ERRORS + 1)
        (void)cmd_fail(CMD_USAGE, "%s: there are more than %d mistakes", file->path,
                       SETTINGS_FILE_ERRORS);
    return file->errors <= SETTINGS_FILE_ERRORS;
}

#ifdef SHS_HAVE_YAML

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

/* Levels of keys and lists; this has five at most. */
#define DEPTH_MAX 16

struct reader {
    const struct settings *table;
    struct settings_file *file;
    yaml_document_t document;
    size_t section;
    bool failed; /* out of memory: said, and the rest is of no use */
};

/* A mistake at a line. */
static void blame(struct settings_file *file, unsigned line, const char *fmt, ...) SHS_PRINTF(3, 4);

static void blame(struct settings_file *file, unsigned line, const char *fmt, ...)
{
    char text[SETTING_TEXT_MAX + 256];
    va_list ap;

    if (!may_say(file))
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)cmd_fail(CMD_USAGE, "%s:%u: %s", file->path, line, text);
}

static unsigned line_of(const yaml_node_t *node)
{
    return (unsigned)node->start_mark.line + 1;
}

/* -- what is kept ------------------------------------------------------------------------------ */

static bool out_of_memory(struct reader *self)
{
    self->failed = true;
    (void)cmd_fail(CMD_FAILED, "out of memory for %s", self->file->path);
    return false;
}

/* Takes `text`, which is for shs__free, also when it fails. */
static const char *keep(struct reader *self, char *text)
{
    struct settings_file *file = self->file;
    char **more;

    if (text != NULL && file->text_count == file->text_room) {
        more = shs__realloc(file->texts, (file->text_room + 64) * sizeof *more);
        if (more == NULL) {
            shs__free(text);
            text = NULL;
        } else {
            file->texts = more;
            file->text_room += 64;
        }
    }
    if (text == NULL) {
        out_of_memory(self);
        return NULL;
    }
    file->texts[file->text_count++] = text;
    return text;
}

static void add(struct reader *self, const struct setting *row, const char *value, unsigned line)
{
    struct settings_file *file = self->file;
    struct settings_entry *more;

    if (file->count == SETTINGS_WORDS_MAX) {
        blame(file, line, "more than %d values", SETTINGS_WORDS_MAX);
        self->failed = true;
        return;
    }
    if (file->count == file->room) {
        more = shs__realloc(file->items, (file->room + 64) * sizeof *more);
        if (more == NULL) {
            out_of_memory(self);
            return;
        }
        file->items = more;
        file->room += 64;
    }
    file->items[file->count++] =
        (struct settings_entry){.row = row, .value = value, .line = line, .section = self->section};
}

/* -- nodes ------------------------------------------------------------------------------------- */

static yaml_node_t *node_at(struct reader *self, int index)
{
    return yaml_document_get_node(&self->document, index);
}

static bool is_null(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;

    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

/* The text of a scalar, kept; NULL: it is none, which has been said. */
static const char *scalar_text(struct reader *self, const yaml_node_t *node, const char *name)
{
    if (node->type != YAML_SCALAR_NODE) {
        blame(self->file, line_of(node), "'%s' takes one value, not %s", name,
              node->type == YAML_MAPPING_NODE ? "keys" : "a list");
        return NULL;
    }
    if (is_null(node)) {
        blame(self->file, line_of(node), "'%s' has no value; an empty one is ''", name);
        return NULL;
    }
    if (strlen((const char *)node->data.scalar.value) != node->data.scalar.length) {
        blame(self->file, line_of(node), "the value of '%s' has a NUL in it", name);
        return NULL;
    }
    return keep(self,
                shs__strndup((const char *)node->data.scalar.value, node->data.scalar.length));
}

/* "Name: value" of a mapping's entry. */
static void add_pair(struct reader *self, const struct setting *row, const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = node_at(self, pair->key), *value = node_at(self, pair->value);
    const char *name = scalar_text(self, key, row->name), *text;
    size_t len;
    char *both;

    text = name == NULL ? NULL : scalar_text(self, value, name);
    if (text == NULL)
        return;
    len = strlen(name) + strlen(text) + 3;
    both = shs__malloc(len);
    if (both != NULL)
        snprintf(both, len, "%s: %s", name, text);
    text = keep(self, both);
    if (text != NULL)
        add(self, row, text, line_of(key));
}

static void add_scalar(struct reader *self, const struct setting *row, const yaml_node_t *node)
{
    const char *text = scalar_text(self, node, settings_key(row));

    if (text != NULL)
        add(self, row, text, line_of(node));
}

/* The value, or values, of a row. */
static void read_value(struct reader *self, const struct setting *row, const yaml_node_t *node)
{
    if (row->kind == SETTING_TEXTS && node->type == YAML_SEQUENCE_NODE) {
        for (const yaml_node_item_t *i = node->data.sequence.items.start;
             i < node->data.sequence.items.top && !self->failed; i++)
            add_scalar(self, row, node_at(self, *i));
        return;
    }
    if (row->pairs && node->type == YAML_MAPPING_NODE) {
        for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
             p < node->data.mapping.pairs.top && !self->failed; p++)
            add_pair(self, row, p);
        return;
    }
    add_scalar(self, row, node);
}

/* -- keys -------------------------------------------------------------------------------------- */

/* Where a key stands. */
struct place {
    const struct settings_group *group; /* under that heading, or NULL */
    bool listed;                        /* in an entry of its list */
};

static const struct settings_group *group_of(const struct settings *table, const char *name)
{
    for (size_t i = 0; i < table->group_count; i++) {
        if (table->groups[i].name != NULL && strcmp(table->groups[i].name, name) == 0)
            return &table->groups[i];
    }
    return NULL;
}

static void blame_key(struct reader *self, const yaml_node_t *node, const char *name,
                      const struct place *place)
{
    bool of_list = place->group != NULL && !place->listed && place->group->listed != NULL &&
                   settings_find_listed(self->table, place->group, name) != NULL;
    const char *nearest = place->listed ? settings_nearest_listed(self->table, place->group, name)
                                        : settings_nearest_key(self->table, name);

    if (nearest == NULL && place->listed)
        nearest = settings_nearest_key(self->table, name);
    if (of_list)
        blame(self->file, line_of(node), "'%s' belongs in the list '%s': \"%s: [{%s: ...}]\"", name,
              place->group->name, place->group->name, name);
    else if (nearest != NULL)
        blame(self->file, line_of(node), "there is no key '%s'; did you mean '%s'?", name, nearest);
    else
        blame(self->file, line_of(node),
              "there is no key '%s'; a key is the name of a flag: see '%s --help'", name,
              self->table->command);
}

/* Whether a row's key may stand here; if not, it has been said. */
static bool may_stand(struct reader *self, const struct setting *row, const struct place *place,
                      const yaml_node_t *node)
{
    const struct settings_group *own =
        row->group == NULL ? NULL : group_of(self->table, row->group);

    if (place->group != NULL && place->group != own) {
        blame(self->file, line_of(node), "'%s' does not belong under '%s' but %s%s%s", row->name,
              place->group->name, own == NULL ? "at the top" : "under '",
              own == NULL ? "" : own->name, own == NULL ? "" : "'");
        return false;
    }
    if (place->listed != (own != NULL && settings_has_word(own->listed, settings_key(row)))) {
        if (place->listed)
            blame(self->file, line_of(node), "an entry of '%s' has only: %s", place->group->name,
                  place->group->listed);
        else
            blame(self->file, line_of(node), "'%s' belongs in the list '%s': \"%s: [{%s: ...}]\"",
                  row->name, own->name, own->name, settings_key(row));
        return false;
    }
    if (self->section > 0 && own != NULL && own->shared) {
        blame(self->file, line_of(node), "'%s' is for all %s: put it at the top of the file",
              row->name, self->table->sections);
        return false;
    }
    return true;
}

static void read_keys(struct reader *self, const yaml_node_t *node, const struct place *place);
static void read_entry(struct reader *self, const yaml_node_t *node, const struct place *place);

/* The sections, each a mapping. */
static void read_sections(struct reader *self, const yaml_node_t *node)
{
    const char *name = self->table->sections;
    const struct place top = {NULL, false};

    if (self->section > 0 || node->type != YAML_SEQUENCE_NODE) {
        blame(self->file, line_of(node), "'%s' is a list at the top of the file", name);
        return;
    }
    for (const yaml_node_item_t *i = node->data.sequence.items.start;
         i < node->data.sequence.items.top && !self->failed; i++) {
        const yaml_node_t *item = node_at(self, *i);

        if (self->file->sections == SETTINGS_SECTIONS_MAX) {
            blame(self->file, line_of(item), "more than %d %s", SETTINGS_SECTIONS_MAX, name);
            break;
        }
        self->section = ++self->file->sections;
        if (item->type != YAML_MAPPING_NODE)
            blame(self->file, line_of(item), "an entry of '%s' has keys: \"- port: 8443\"", name);
        else
            read_keys(self, item, &top);
    }
    self->section = 0;
    if (self->file->sections == 0)
        blame(self->file, line_of(node), "'%s' is empty", name);
}

/* "limits:" and what is under it, or a list of entries. */
static void read_group(struct reader *self, const struct settings_group *group,
                       const yaml_node_t *node)
{
    struct place place = {group, false};

    if (node->type == YAML_MAPPING_NODE) {
        read_keys(self, node, &place);
        return;
    }
    if (group->listed == NULL || node->type != YAML_SEQUENCE_NODE) {
        blame(self->file, line_of(node), "'%s' has keys under it%s", group->name,
              group->listed == NULL ? "" : ", or is a list");
        return;
    }
    place.listed = true;
    for (const yaml_node_item_t *i = node->data.sequence.items.start;
         i < node->data.sequence.items.top && !self->failed; i++) {
        const yaml_node_t *item = node_at(self, *i);

        if (item->type != YAML_MAPPING_NODE)
            blame(self->file, line_of(item), "an entry of '%s' has keys: %s", group->name,
                  group->listed);
        else
            read_entry(self, item, &place);
    }
}

/* An entry of a list is in the order of the table's rows, whatever that of its keys: the first
   row begins a new one. */
static void read_entry_in_order(struct reader *self, const yaml_node_t *node,
                                const struct place *place)
{
    for (size_t r = 0; r < self->table->count; r++) {
        const struct setting *row = &self->table->rows[r];

        if (settings_find_listed(self->table, place->group, settings_key(row)) != row)
            continue;
        for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
             p < node->data.mapping.pairs.top && !self->failed; p++) {
            const yaml_node_t *key = node_at(self, p->key);

            if (key->type == YAML_SCALAR_NODE &&
                strcmp((const char *)key->data.scalar.value, settings_key(row)) == 0)
                read_value(self, row, node_at(self, p->value));
        }
    }
}

/* Whether an entry has the key that begins it. */
static bool has_beginning(struct reader *self, const yaml_node_t *node, const struct place *place)
{
    size_t len = strcspn(place->group->listed, " ");

    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = node_at(self, p->key);

        if (key->type == YAML_SCALAR_NODE && key->data.scalar.length == len &&
            memcmp(key->data.scalar.value, place->group->listed, len) == 0)
            return true;
    }
    return false;
}

/* Without that key its values would be those of the entry before. */
static void read_entry(struct reader *self, const yaml_node_t *node, const struct place *place)
{
    unsigned errors = self->file->errors;

    read_keys(self, node, place);
    if (has_beginning(self, node, place))
        read_entry_in_order(self, node, place);
    else if (self->file->errors == errors)
        blame(self->file, line_of(node), "an entry of '%s' needs the key '%.*s'",
              place->group->name, (int)strcspn(place->group->listed, " "), place->group->listed);
}

static void read_key(struct reader *self, const yaml_node_t *key, const yaml_node_t *value,
                     const struct place *place)
{
    const char *name;
    const struct settings_group *group;
    const struct setting *row;

    name = scalar_text(self, key, "a key");
    if (name == NULL)
        return;
    row = place->listed ? settings_find_listed(self->table, place->group, name) : NULL;
    if (row == NULL)
        row = settings_find(self->table, name);
    group = place->group == NULL ? group_of(self->table, name) : NULL;
    if (place->group == NULL && self->table->sections != NULL &&
        strcmp(name, self->table->sections) == 0) {
        read_sections(self, value);
    } else if (group != NULL && (row == NULL || value->type != YAML_SCALAR_NODE)) {
        if (self->section > 0 && group->shared)
            blame(self->file, line_of(key), "'%s' is for all %s: put it at the top of the file",
                  name, self->table->sections);
        else
            read_group(self, group, value);
    } else if (row == NULL || row->flag_only) {
        blame_key(self, key, name, place);
    } else if (may_stand(self, row, place, key) && !place->listed) {
        read_value(self, row, value);
    }
}

static void blame_twice(struct reader *self, const yaml_node_t *mapping,
                        const yaml_node_pair_t *second)
{
    const yaml_node_t *key = node_at(self, second->key);

    for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start; p < second; p++) {
        const yaml_node_t *other = node_at(self, p->key);

        if (key->type == YAML_SCALAR_NODE && other->type == YAML_SCALAR_NODE &&
            strcmp((const char *)key->data.scalar.value, (const char *)other->data.scalar.value) ==
                0) {
            blame(self->file, line_of(key), "'%s' is given twice, first in line %u",
                  (const char *)key->data.scalar.value, line_of(other));
            return;
        }
    }
}

static void read_keys(struct reader *self, const yaml_node_t *node, const struct place *place)
{
    if (node->data.mapping.pairs.top - node->data.mapping.pairs.start > SETTINGS_WORDS_MAX) {
        blame(self->file, line_of(node), "more than %d keys", SETTINGS_WORDS_MAX);
        return;
    }
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top && !self->failed; p++) {
        blame_twice(self, node, p);
        read_key(self, node_at(self, p->key), node_at(self, p->value), place);
    }
}

/* -- the file ---------------------------------------------------------------------------------- */

static int cannot_read(const char *path, int sys_errno)
{
    char text[64];

    return cmd_fail(CMD_FAILED, "cannot read the configuration %s: %s", path,
                    shs__strerror(sys_errno, text, sizeof text));
}

/* The whole file; NULL: it has been said why not. */
static char *read_bytes(const char *path, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    char *bytes = NULL;
    ssize_t n = 0;

    *len = 0;
    if (fd < 0 || fstat(fd, &st) != 0) {
        cannot_read(path, errno);
    } else if (S_ISDIR(st.st_mode)) {
        cannot_read(path, EISDIR);
    } else if (!S_ISREG(st.st_mode)) {
        (void)cmd_fail(CMD_FAILED,
                       "cannot read the configuration %s: it is a pipe or a device; copy it into a "
                       "file",
                       path);
    } else if ((uint64_t)st.st_size > SETTINGS_FILE_MAX) {
        (void)cmd_fail(CMD_FAILED, "the configuration %s has more than %zu bytes", path,
                       SETTINGS_FILE_MAX);
    } else if ((bytes = shs__malloc(SETTINGS_FILE_MAX + 1)) == NULL) {
        (void)cmd_fail(CMD_FAILED, "out of memory for %s", path);
    } else {
        while (*len <= SETTINGS_FILE_MAX &&
               (n = read(fd, bytes + *len, SETTINGS_FILE_MAX + 1 - *len)) > 0)
            *len += (size_t)n;
        if (n < 0)
            cannot_read(path, errno);
    }
    if (fd >= 0)
        close(fd);
    if (n < 0 || *len > SETTINGS_FILE_MAX) {
        shs__free(bytes);
        return NULL;
    }
    return bytes;
}

static void read_document(struct reader *self)
{
    const yaml_node_t *root = yaml_document_get_root_node(&self->document);
    const struct place top = {NULL, false};

    if (root == NULL)
        return; /* an empty file says nothing */
    if (root->type == YAML_SCALAR_NODE && is_null(root))
        return;
    if (root->type != YAML_MAPPING_NODE)
        blame(self->file, line_of(root), "a configuration is made of lines 'key: value'");
    else
        read_keys(self, root, &top);
}

/*
 * Whether it is nested no deeper than a configuration is. libyaml's time grows with the square of
 * the depth: hours for a MiB. What else is wrong is said when it is read.
 */
static bool is_shallow(struct reader *self, const char *bytes, size_t len)
{
    unsigned depth = 0, line = 0;
    yaml_parser_t parser;
    yaml_event_t event;
    bool end = false;

    if (!yaml_parser_initialize(&parser))
        return out_of_memory(self);
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, len);
    while (!end && depth <= DEPTH_MAX && yaml_parser_parse(&parser, &event)) {
        line = (unsigned)event.start_mark.line + 1;
        end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_MAPPING_START_EVENT || event.type == YAML_SEQUENCE_START_EVENT)
            depth++;
        else if (event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT)
            depth--;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (depth > DEPTH_MAX)
        blame(self->file, line, "nested more than %d levels deep", DEPTH_MAX);
    return depth <= DEPTH_MAX;
}

static void parse_bytes(struct reader *self, const char *bytes, size_t len)
{
    yaml_document_t more;
    yaml_parser_t parser;

    if (!yaml_parser_initialize(&parser)) {
        out_of_memory(self);
        return;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, len);
    if (yaml_parser_load(&parser, &self->document)) {
        read_document(self);
        yaml_document_delete(&self->document);
        if (self->file->errors == 0 && yaml_parser_load(&parser, &more)) {
            if (yaml_document_get_root_node(&more) != NULL)
                blame(self->file, (unsigned)more.start_mark.line + 1,
                      "a second document: a configuration is one");
            yaml_document_delete(&more);
        }
    }
    if (parser.error == YAML_MEMORY_ERROR)
        out_of_memory(self);
    else if (parser.error != YAML_NO_ERROR)
        blame(self->file, (unsigned)parser.problem_mark.line + 1, "this is not YAML: %s%s%s",
              parser.problem, parser.context == NULL ? "" : " ",
              parser.context == NULL ? "" : parser.context);
    yaml_parser_delete(&parser);
}

int settings_file_read(const struct settings *table, const char *path, struct settings_file *out)
{
    struct reader self = {.table = table, .file = out};
    size_t len;
    char *bytes;

    memset(out, 0, sizeof *out);
    out->path = path;
    bytes = read_bytes(path, &len);
    if (bytes == NULL)
        return CMD_FAILED;
    if (is_shallow(&self, bytes, len))
        parse_bytes(&self, bytes, len);
    shs__free(bytes);
    if (out->errors > 0)
        return CMD_USAGE;
    return self.failed ? CMD_FAILED : CMD_OK;
}

#else

int settings_file_read(const struct settings *table, const char *path, struct settings_file *out)
{
    SHS_UNUSED(table);
    memset(out, 0, sizeof *out);
    return cmd_fail(CMD_FAILED, "cannot read the configuration %s: built without libyaml", path);
}

#endif

void settings_file_free(struct settings_file *self)
{
    for (size_t i = 0; i < self->text_count; i++)
        shs__free(self->texts[i]);
    shs__free(self->texts);
    shs__free(self->items);
    memset(self, 0, sizeof *self);
}

int settings_file_apply(const struct settings *table, struct settings_file *self, size_t section,
                        void *to, struct settings_given *given)
{
    struct setting_problem problem;
    int code = CMD_OK;

    for (int own = 0; own < 2; own++) {
        for (size_t i = 0; i < self->count; i++) {
            struct settings_entry *e = &self->items[i];

            if (e->section != (own ? section : 0))
                continue;
            if (settings_take(table, e->row, to, given, own ? SETTINGS_SECTION : SETTINGS_FILE,
                              e->value, &problem)) {
                settings_mark(e->row, to, self->path, e->line);
                continue;
            }
            code = CMD_USAGE;
            if (!e->blamed && may_say(self))
                (void)cmd_fail(code, "%s:%u: %s '%s' %s", self->path, e->line, settings_key(e->row),
                               e->value, problem.text);
            e->blamed = true;
        }
    }
    return code;
}

unsigned settings_file_line(const struct settings_file *self, const struct setting *row,
                            size_t section)
{
    unsigned line = 0;

    for (int own = 0; own < 2; own++) {
        for (size_t i = 0; i < self->count; i++) {
            if (self->items[i].row == row && self->items[i].section == (own ? section : 0))
                line = self->items[i].line;
        }
    }
    return line;
}
