/*
 * options.h - the parts of the man pages that come from the tables of the commands.
 */
#ifndef SHS_CMD_MAN_OPTIONS_H
#define SHS_CMD_MAN_OPTIONS_H

#include "cmd/pages.h"

/* The usage, for a SYNOPSIS. */
void man_synopsis(const struct page *page);
/* What it does, its words, its options, and what its --help has below them. */
void man_page(const struct page *page);
/* The same of every command of a list, each in a subsection. */
void man_list(const struct pages *pages, const struct page *page);
/* The commands of a list, and what each is for. */
void man_commands(const struct page *page);
/* The settings as keys of the configuration file. */
void man_keys(const struct page *page);

#endif
