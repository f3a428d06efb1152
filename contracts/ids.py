"""Time-ordered ids: UUIDv7 everywhere (RFC 9562 §5.7), so ``ORDER BY id`` is creation order."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MAX_MILLISECONDS = (1 << 48) - 1


def new_id() -> UUID:
    """Make an id later than every one this process has made before."""
    return uuid7()


def time_of(id_: UUID) -> datetime:
    """Return the UTC time written in a UUIDv7, to the millisecond."""
    return _EPOCH + (id_.int >> 80) * _MILLISECOND


def lowest_id_at(moment: datetime) -> UUID:
    """Return the smallest UUID of a moment: the bound of a range of ids by time."""
    milliseconds = (moment - _EPOCH) // _MILLISECOND
    if not 0 <= milliseconds <= _MAX_MILLISECONDS:
        raise ValueError(f"{moment.isoformat()} does not fit in a UUIDv7")
    return UUID(int=milliseconds << 80)
