"""One change of status, or one receipt, on its way to those who follow it."""

from datetime import datetime
from uuid import UUID

import msgspec

from contracts.channels import Channel
from contracts.lifecycle import FINAL, Status
from contracts.messages import ReceiptArrived, StatusChanged
from gateway.views import StatusView

_encode = msgspec.json.Encoder().encode
_TEXT = 0x81


class News:
    """A change, encoded once however many hear of it."""

    __slots__ = ("_frame", "_json", "channel", "view")

    def __init__(self, view: StatusView, channel: Channel | None = None) -> None:
        self.view = view
        self.channel = channel  #: known of what came over the bus
        self._json: bytes | None = None
        self._frame: bytes | None = None

    @classmethod
    def of(cls, change: StatusChanged | ReceiptArrived) -> "News":
        """Make news of an event of the bus."""
        if isinstance(change, ReceiptArrived):
            return cls(_view_of(change), change.channel)
        view = StatusView(
            notification_id=change.notification_id,
            status=change.status,
            batch_id=change.batch_id,
            attempts=change.attempts,
            at=change.at,
            sequence=change.sequence,
        )
        return cls(view, change.channel)

    @property
    def id(self) -> UUID:
        """Return whose news it is."""
        return self.view.notification_id

    @property
    def sequence(self) -> int:
        """Return which change of its notification it is."""
        return self.view.sequence

    @property
    def status(self) -> Status:
        """Return what the notification became."""
        return self.view.status

    @property
    def rank(self) -> tuple[datetime, UUID] | None:
        """Return which receipt it tells, None when it tells none."""
        return None if self.view.receipt is None else self.view.receipt.rank

    @property
    def is_final(self) -> bool:
        """Say whether nothing follows by itself."""
        return self.view.status in FINAL

    @property
    def json(self) -> bytes:
        """Return it as clients get it."""
        if self._json is None:
            self._json = _encode(self.view)
        return self._json

    @property
    def frame(self) -> bytes:
        """Return it as one frame of a WebSocket."""
        if self._frame is None:
            self._frame = text_frame(self.json)
        return self._frame


def _view_of(arrived: ReceiptArrived) -> StatusView:
    return StatusView(
        notification_id=arrived.notification_id,
        status=arrived.status,
        batch_id=arrived.batch_id,
        attempts=arrived.attempts,
        at=arrived.status_at,
        sequence=arrived.sequence,
        receipt=arrived.receipt,
    )


def text_frame(text: bytes) -> bytes:
    """Return a text message of at most 65,535 bytes as a server sends it: unmasked, whole."""
    size = len(text)
    if size < 126:
        return bytes((_TEXT, size)) + text
    return bytes((_TEXT, 126)) + size.to_bytes(2) + text
