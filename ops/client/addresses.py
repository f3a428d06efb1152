"""Addresses and times as people write them."""

from datetime import datetime
from urllib.parse import urlsplit

import msgspec

from contracts.messages import UtcTime


def is_address(url: str) -> bool:
    """Say whether this can be the address of a gateway."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def moment(text: str) -> datetime:
    """Read a time with its offset (RFC 3339); raises ValueError."""
    try:
        return msgspec.convert(text, UtcTime)
    except msgspec.ValidationError as error:
        raise ValueError(
            "a time is written with its offset, like 2026-01-31T09:00:00Z"
        ) from error
