"""A trace as lines to read: when, what, how long since the line before, and why. Pure."""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from contracts.lifecycle import FINAL, TraceEvent
from contracts.oversight import Found
from contracts.receipts import ReceiptKind
from ops.client import Notification, Trace, TraceEntry

_BAR_CELLS = 20
_KNOWN = {
    *("attempt", "outcome", "provider", "code", "words", "duration_ms", "retry_at"),
    *("dispatcher", "why", "was", "at", "message_id", "id"),
}
#: What the time before an event was spent on, by the event before it.
_WAITED_FOR = {
    "created": "to be put on the bus",
    "pending": "for its time",
    "queued": "for a dispatcher",
    TraceEvent.REQUEUED: "for a dispatcher",
    "processing": "for the provider",
    "retrying": "to try again",
    "delivered": "for a receipt",
}


class Line(NamedTuple):
    """One line of a timeline."""

    at: datetime
    event: str
    gap_seconds: float | None  #: since the line before; None in the first
    waited: str  #: what that time was spent on
    share: float  #: the part of the whole time that it was
    words: str


def lines(trace: Trace) -> list[Line]:
    """Put a trace into lines."""
    entries = trace.entries
    if not entries:
        return []
    whole = (entries[-1].created_at - entries[0].created_at).total_seconds()
    first = entries[0]
    made = [Line(first.created_at, first.event, None, "", 0.0, _words(first))]
    for before, entry in pairwise(entries):
        gap = (entry.created_at - before.created_at).total_seconds()
        waited = _WAITED_FOR.get(before.event, "")
        share = gap / whole if whole > 0 else 0.0
        made.append(
            Line(entry.created_at, entry.event, gap, waited, share, _words(entry))
        )
    return made


def text(notification: Notification, trace: Trace, now: datetime) -> Iterator[str]:
    """Write a notification and its timeline, a line at a time; times are UTC.

    The bar beside a line is the wait before it, as a part of all the time so far.
    """
    yield _heading(notification, now)
    day = None
    for line in lines(trace):
        if line.at.date() != day:
            day = line.at.date()
            yield f" {day:%Y-%m-%d}"
        gap = "" if line.gap_seconds is None else f"+{duration(line.gap_seconds)}"
        bar = "█" * round(line.share * _BAR_CELLS)
        waited = f"waited {line.waited}" if bar and line.waited else ""
        words = "; ".join(part for part in (waited, line.words) if part)
        row = f" {line.at:%H:%M:%S.%f}"[:-3] + f"  {line.event:<11}{gap:>10}"
        yield f"{row}  {bar:<{_BAR_CELLS}}  {words}".rstrip()
    if notification.status not in FINAL and (waits := waiting(trace, now)) is not None:
        gap = f"+{duration(waits.gap_seconds or 0.0)}"
        yield f" {'now':<12}  {'':<11}{gap:>10}  {waits.words}".rstrip()


def waiting(trace: Trace, now: datetime) -> Line | None:
    """Say since when nothing has happened, and what for; None when nothing ever has."""
    moves = [entry for entry in trace.entries if entry.event not in set(ReceiptKind)]
    if not moves:
        return None
    last = moves[-1]
    waited = _WAITED_FOR.get(last.event, "")
    gap = (now - last.created_at).total_seconds()
    return Line(now, "now", gap, waited, 0.0, f"waiting {waited}".rstrip())


def duration(seconds: float) -> str:
    """Write a duration so that it can be compared at a glance."""
    if (milliseconds := round(seconds * 1e3)) < 1000:
        return f"{milliseconds} ms"
    if (hundredths := round(seconds * 1e2)) < 60_00:
        return f"{hundredths / 100:.2f} s"
    minutes, whole_seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {whole_seconds:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} m"


def _heading(notification: Notification, now: datetime) -> str:
    lane = f"{notification.channel}/{notification.priority}"
    stands = f"{standing(notification, now)}{_receipt(notification)}"
    return f"{notification.id}  {lane}  {stands}"


def standing(notification: Notification | Found, now: datetime) -> str:
    """Say how a notification stands, how long it took or takes, and after how many tries."""
    final = notification.status in FINAL
    end = notification.updated_at if final else now
    took = duration((end - notification.created_at).total_seconds())
    tries = notification.attempts
    return (
        f"{notification.status.upper()} {'in' if final else 'for'} {took},"
        f" {tries} attempt{'' if tries == 1 else 's'}"
    )


def _receipt(notification: Notification) -> str:
    """Say what the provider told last, which is news where nothing else is."""
    receipt = notification.receipt
    return f", then {receipt.kind.upper()}" if receipt is not None else ""


def _words(entry: TraceEntry) -> str:
    details: dict[str, Any] = entry.details or {}
    parts: list[str] = []
    if (attempt := details.get("attempt")) is not None:
        parts.append(f"attempt {attempt}")
    if dispatcher := details.get("dispatcher"):
        parts.append(f"by {dispatcher}")
    if provider := details.get("provider"):
        parts.append(str(provider))
    if outcome := details.get("outcome"):
        parts.append(str(outcome))
    said = [str(details[key]) for key in ("code", "words") if details.get(key)]
    if said:
        parts.append(f'"{" ".join(said)}"')
    if (took := details.get("duration_ms")) is not None:
        parts.append(f"{took} ms")
    if message_id := details.get("message_id"):
        parts.append(str(message_id))
    if at := details.get("at"):
        parts.append(f"at {str(at)[11:19]} by its clock")
    if retry_at := details.get("retry_at"):
        parts.append(f"again at {str(retry_at)[11:19]}")
    if why := details.get("why"):
        parts.append(f"because {why}")
    parts += [f"{key}={value}" for key, value in details.items() if key not in _KNOWN]
    return ", ".join(parts)
