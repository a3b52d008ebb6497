#include "tls/config/report.h"

void shs__tls_report_init(struct shs_tls_report *self)
{
    *self = (struct shs_tls_report){.last = NULL, .valid_at = INT64_MAX};
}

void shs__tls_report_free(struct shs_tls_report *self)
{
    while (self->first != NULL) {
        struct shs_tls_report_line *line = self->first;

        self->first = line->next;
        shs__free(line->file);
        shs__free(line->why);
        shs__free(line);
    }
    self->last = NULL;
}

static void append(struct shs_tls_report *self, struct shs_tls_report_line *line)
{
    if (self->last == NULL)
        self->last = &self->first;
    *self->last = line;
    self->last = &line->next;
}

void shs__tls_report_add(struct shs_tls_report *self, enum shs_tls_file_state state,
                         const char *file, const struct shs_error *why)
{
    struct shs_tls_report_line *line;

    if (file == NULL)
        return;
    self->taken += state == SHS_TLS_FILE_TAKEN;
    if (state == SHS_TLS_FILE_KEPT && self->kept++ == 0)
        self->reason = *why;
    line = shs__calloc(1, sizeof *line);
    if (line == NULL)
        return;
    line->state = state;
    line->file = shs__strdup(file);
    line->why = state == SHS_TLS_FILE_KEPT ? shs__strdup(why->text) : NULL;
    if (line->file == NULL || (state == SHS_TLS_FILE_KEPT && line->why == NULL)) {
        shs__free(line->file);
        shs__free(line->why);
        shs__free(line);
        return;
    }
    append(self, line);
}
