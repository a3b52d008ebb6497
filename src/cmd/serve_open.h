/*
 * serve_open.h - --open: the URL in the browser of this desktop, by xdg-open.
 *
 * A process in a sandbox cannot start a program. So before the sandbox is closed a small one is
 * started that waits for the URL and becomes xdg-open; without a URL it ends. It has a session of
 * its own: Ctrl-C ends the server and not the browser.
 */
#ifndef SHS_CMD_SERVE_OPEN_H
#define SHS_CMD_SERVE_OPEN_H

/* Starts the one that waits, where there is a display and xdg-open. Before there are threads.
   CMD_OK, or a failure already said. */
int serve_open_prepare(void);

/* It serves: has `url` opened, or says why nobody can. NULL: there is none that a browser takes. */
void serve_open_url(const char *url);

#endif
