/*
 * load_control.h - more clients than can be served: who is let in, who waits in front of the door,
 * and who is told no.
 *
 * Concept
 *
 *   A door is calm until somebody has waited in front of it for a quarter of late_ms. Then it
 *   holds: no more are let in than are begun with in a sixteenth of late_ms, and the others wait in
 *   front of it, for it may be a burst; when nobody is left there, it was one. Where that takes
 *   longer than late_ms, and than a second, a queue stands there that serves nobody better than a
 *   short one. When those who came before it began have had their turn, and one who came later has
 *   waited for late_ms, or it has taken two seconds more, the door refuses: who finds as many
 *   inside is told no, at once. It is calm again when nobody was for a second (the idea is that of
 *   CoDel, RFC 8289).
 *
 *   Owed an answer is who came before it began, or while the process stood still; but not who has
 *   waited for late_ms and has hung up.
 *
 *   Nobody's clock and nobody's sockets: both are the caller's, so all of it can be simulated.
 *
 * Threads: a door's calls are made under its lock, but for shs__load_leave.
 */
#ifndef SHS_LOAD_CONTROL_H
#define SHS_LOAD_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum shs_load_phase { SHS_LOAD_CALM, SHS_LOAD_HOLDS, SHS_LOAD_REFUSES };

struct shs_load {
    enum shs_load_phase phase;
    int64_t since_ns;  /* who came before is owed an answer */
    int64_t looked_ns; /* the last call */
    int64_t ran_ns;    /* since it is not calm; what the process stood still does not count */
    int64_t late_ns;   /* when somebody was late, or found it full */

    _Atomic unsigned inside[2]; /* let in meanwhile, and not begun with: silent, and not */
    _Atomic unsigned most;      /* so many of each should be */
    _Atomic unsigned begun;     /* with so many of them in this window */
    _Atomic bool was_full;      /* and more would have been let in */
    _Atomic int64_t window_ns;  /* when it began; 0: it has not */
};

struct shs_load_bounds {
    unsigned late_ms; /* not UINT_MAX: who does not want any of it does not ask */
    unsigned workers; /* that may be active, >= 1 */
};

/* One who was accepted. */
struct shs_load_client {
    unsigned waited_ms; /* since he has said something, or came */
    bool said;          /* something is there to be answered */
    bool gone;          /* he has said that no more will come, or worse */
};

/* So many may be let in now, before others have their turn. */
unsigned shs__load_room(struct shs_load *self, int64_t now_ns);
/* Nobody is in front of the door. */
void shs__load_empty(struct shs_load *self, int64_t now_ns);
/* True: he is told no. Where it is not calm afterwards, who is let in is counted as inside. */
bool shs__load_refuses(struct shs_load *self, struct shs_load_bounds bounds,
                       struct shs_load_client client, int64_t now_ns);
/* He is counted from now on. */
void shs__load_enter(struct shs_load *self, bool said);
/* Somebody begins with one who was counted, or he ends. Any thread. */
void shs__load_leave(struct shs_load *self, struct shs_load_bounds bounds, bool said,
                     int64_t now_ns);
/* Nobody is let in any more. */
void shs__load_end(struct shs_load *self);

#endif
