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


def until(seconds: float | None) -> str:
    """Write how long until something; with a minus once it should have been.

    What should have been within the last two seconds is ``now``: news of it is as old.
    """
    if seconds is None:
        return UNSAID
    if seconds <= -2:
        return f"-{age(-seconds)}"
    return age(seconds) if seconds >= 1 else "now"


def duration(seconds: float | None) -> str:
    """Write how long something took, in the unit that suits it."""
    if seconds is None:
        return UNSAID
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 99.95 else age(seconds)


def period(seconds: float) -> str:
    """Say how often, in words."""
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= unit and seconds % unit == 0:
            number = round(seconds / unit)
            return f"every {name}" if number == 1 else f"every {number} {name}s"
    return "every second" if seconds == 1 else f"every {seconds:g} s"


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
