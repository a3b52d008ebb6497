/*
 * header.h - the man page of a public header, from its own comments.
 */
#ifndef SHS_CMD_MAN_HEADER_H
#define SHS_CMD_MAN_HEADER_H

/* The whole page. CMD_OK, or a failure already said. */
int man_header(const char *path, const char *date);
/* A line of a list: its page, and what it is about. */
int man_header_line(const char *path);

#endif
