"""Numbers, ages and sizes as people read them; what nobody has said is a dash."""

from datetime import UTC, datetime

UNSAID = "-"

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def count(number: float | None) -> str:
    """Write a whole number with its thousands apart."""
    return UNSAID if number is None else f"{round(number):,}"


def rate(per_second: float | None) -> str:
    """Write a rate with no more digits than it deserves."""
    if per_second is None:
        return UNSAID
    return f"{per_second:.1f}" if per_second < 99.95 else f"{round(per_second):,}"


def share(part: float | None) -> str:
    """Write a share as a percentage."""
    if part is None:
        return UNSAID
    percent = part * 100
    return f"{percent:.1f}%" if 0 < percent < 9.95 else f"{percent:.0f}%"


def age(seconds: float | None) -> str:
    """Write a duration in its largest unit, with the next one where it matters."""
    if seconds is None:
        return UNSAID
    whole = int(max(0.0, seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < _DAY:
        minutes = whole % _HOUR // _MINUTE
        return f"{whole // _HOUR}h{minutes:02}m" if minutes else f"{whole // _HOUR}h"
    hours = whole % _DAY // _HOUR
    return (
        f"{whole // _DAY}d{hours}h"
        if hours and whole < 10 * _DAY
        else f"{whole // _DAY}d"
    )


def size(number: int | None) -> str:
    """Write a number of bytes in megabytes."""
    return UNSAID if number is None else f"{number / 1e6:,.0f} MB"


def clock(moment: float, *, milliseconds: bool = False) -> str:
    """Write the UTC time of day of a POSIX time."""
    time = datetime.fromtimestamp(moment, UTC)
    return time.strftime("%H:%M:%S") + (
        f".{time.microsecond // 1000:03}" if milliseconds else ""
    )


def short_id(text: str, ellipsis: str) -> str:
    """Shorten a UUID to its last part: of a UUIDv7 the front is only its time."""
    return f"{ellipsis}{text[-12:]}" if len(text) == 36 else text
