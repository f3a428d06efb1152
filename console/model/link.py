"""The console's own connection: how it stands, how old the news is, what was missed."""

from console.events import BacklogRead, LinkChanged, LinkCondition
from console.model.views import LinkView

#: News older than this is stale. Something comes once a second while all is well.
STALE_SECONDS = 3.0
#: Between two pieces of news there may be this much silence.
_PAUSE_SECONDS = 1.5


class Link:
    """Follows the connection through losses and returns."""

    def __init__(self) -> None:
        self.listening_since: float | None = None
        """When this connection was made; None while there is none."""
        self._last = LinkChanged(condition=LinkCondition.CONNECTING)
        self._changed_at = 0.0
        self._heard_at: float | None = None
        self._lost_at: float | None = None
        self._absence_seconds: float | None = None
        self._answer_seconds: float | None = None
        self._problem = ""
        self._received = 0
        self._mark: tuple[int, int] | None = None

    def change(self, now: float, event: LinkChanged) -> str:
        """Take a change of the connection; returns a sentence when it was just lost."""
        was_connected = self._last.condition is LinkCondition.CONNECTED
        self._last = event
        self._changed_at = now
        if event.condition is LinkCondition.CONNECTED:
            self.listening_since = now
            if self._lost_at is not None:
                self._absence_seconds = now - self._lost_at
                self._lost_at = None
            return ""
        self.listening_since = None
        self._answer_seconds = None
        if event.condition is LinkCondition.RETRYING and was_connected:
            self._lost_at = now
            return (
                f"connection lost: {event.reason}"
                if event.reason
                else "connection lost"
            )
        return ""

    def heard(self, now: float) -> None:
        """Note that news came."""
        self._heard_at = now

    def answered(self, seconds: float) -> None:
        """Note how long the bus took to answer a ping."""
        self._answer_seconds = seconds

    def count_status(self) -> None:
        """Note that one status event came."""
        self._received += 1

    def backlog(self, event: BacklogRead) -> str:
        """Take what the bus says; returns a sentence when this ends an absence."""
        self._problem = event.problem
        sequence, mark = event.status_sequence, self._mark
        if sequence is not None:
            self._mark = (sequence, self._received)
        if self._absence_seconds is None:
            return ""
        sentence = f"back after {self._absence_seconds:.0f} s"
        self._absence_seconds = None
        if sequence is None or mark is None:
            return sentence
        missed = sequence - mark[0] - (self._received - mark[1])
        return f"{sentence}, {max(0, missed):,} events missed"

    def hears_until(self, now: float) -> float:
        """Return ``now``, or the moment after which the bus itself was silent.

        Nobody else's silence means anything after it.
        """
        if self._heard_at is None:
            return now
        return min(now, self._heard_at + _PAUSE_SECONDS)

    def as_of(self, now: float) -> float:
        """Return ``now``, or the moment the last news speaks for when that is stale."""
        if self._heard_at is None:
            return now
        return min(now, self._heard_at + STALE_SECONDS)

    def view(self, now: float) -> LinkView:
        """Draw the connection."""
        age = None if self._heard_at is None else max(0.0, now - self._heard_at)
        ended = self._last.condition is LinkCondition.ENDED
        return LinkView(
            condition=self._last.condition,
            age_seconds=age,
            stale=age is not None and age > STALE_SECONDS and not ended,
            attempt=self._last.attempt,
            retry_in_seconds=max(
                0.0, self._changed_at + self._last.retry_in_seconds - now
            ),
            reason=self._last.reason,
            answer_seconds=self._answer_seconds,
            problem=self._problem,
        )
