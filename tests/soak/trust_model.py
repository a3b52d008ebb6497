"""What a server that watches its files may show at a moment, and what it may not: the model of tls_trust.py.

Each target (a name, a CA) has had values, one after the other. A handshake sees one moment between its
beginning and its end, so it may find what was possible somewhere in that span, and nothing else:

  from    a value may be found from when its change begins, for the server may read at once;
  until   it is over when a handshake has found a later one, or `within` after the last write of the next
          change, whichever is earlier. What is over does not come back.

Nothing is forgotten: a handshake that a busy machine holds up may span many changes, and its answer may
be judged long after. Times are those of time.monotonic().
"""

import math
import threading


class Span:
    """One value, from when to when it may be found."""

    def __init__(self, value, since):
        self.value, self.since, self.until = value, since, math.inf


class Model:
    def __init__(self, first, within, now):
        """`first`: {target: its value}; `within`: seconds in which a change must be seen."""
        self.lock, self.within = threading.Lock(), within
        self.spans = {target: [Span(value, now)] for target, value in first.items()}

    def change(self, target, value, now):
        """Now its files begin to become that. Nobody may write before this is said."""
        with self.lock:
            self.spans[target].append(Span(value, now))

    def made(self, target, now):
        """The files say it since now, and nothing more is written."""
        self._over(target, self.spans[target][-1], now + self.within)

    def seen(self, target, now):
        """A handshake that ended by now has found the last value."""
        self._over(target, self.spans[target][-1], now)

    def found(self, target, value, began, ended):
        """A handshake found it. When that says which span it was, those before are over since its end."""
        with self.lock:
            spans = [span for span in self._possible(target, began, ended) if span.value == value]
        if len(spans) == 1:
            self._over(target, spans[0], ended)

    def possible(self, target, began, ended):
        """The values that a handshake may find that began and ended then."""
        with self.lock:
            return [span.value for span in self._possible(target, began, ended)]

    def story(self, target, began, ended):
        """In words, for who looks into a disagreement: seconds from the beginning of the handshake."""
        with self.lock:
            spans = [span for span in self.spans[target] if span.until >= began - 10 and span.since <= ended + 10]
            return "took %.3f s; %s" % (ended - began, ", ".join(
                "%s from %.3f to %.3f" % (span.value, span.since - began, span.until - began) for span in spans))

    # `until` never goes down along the spans, so from the end only some are looked at.

    def _over(self, target, since, when):
        """What was before `since` is over at that time."""
        with self.lock:
            spans = self.spans[target]
            for i in range(spans.index(since) - 1, -1, -1):
                if spans[i].until <= when:
                    break
                spans[i].until = when

    def _possible(self, target, began, ended):
        spans = []
        for span in reversed(self.spans[target]):
            if span.until < began:
                break
            if span.since <= ended:
                spans.insert(0, span)
        return spans
