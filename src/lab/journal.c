/* journal.c - the last connections, a line of JSON each. */
#include "lab/lab.h"

void shs__lab_journal(struct shs_lab *lab, char *line)
{
    char **slot;

    pthread_mutex_lock(&lab->log_lock);
    slot = &lab->log_lines[lab->log_count++ % SHS_LAB_LOG_LINES];
    shs__free(*slot);
    *slot = line;
    pthread_mutex_unlock(&lab->log_lock);
}

int shs__lab_journal_print(struct shs_lab *lab, struct shs_buf *out)
{
    uint64_t at;
    int rc = SHS_OK;

    pthread_mutex_lock(&lab->log_lock);
    at = lab->log_count < SHS_LAB_LOG_LINES ? 0 : lab->log_count - SHS_LAB_LOG_LINES;
    for (; at < lab->log_count && rc == SHS_OK; at++) {
        rc = shs__buf_append_str(out, shs__str(lab->log_lines[at % SHS_LAB_LOG_LINES]));
        if (rc == SHS_OK)
            rc = shs__buf_append(out, "\n", 1);
    }
    pthread_mutex_unlock(&lab->log_lock);
    return rc;
}
