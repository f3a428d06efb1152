"""What operators do to many notifications at once, as data that gateway and scheduler share."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from contracts.channels import Channel, Priority
from contracts.messages import UtcTime
from contracts.outcomes import FailureClass

#: A replay that nobody told how fast goes this fast: a provider that has just come back
#: must not be knocked over by what failed while it was away.
DEFAULT_RATE_PER_SECOND = 5.0
RATE_AT_MOST_PER_SECOND = 1000.0

IDS_AT_MOST = 1000
REASON_AT_MOST_CHARACTERS = 500

#: Which dead letters (``d``) a filter picks, as SQL over $2 to $8: ids, channel, priority,
#: class, reason, since, before; NULL picks all. What is shown and counted at the gateway is
#: what the scheduler acts on, so both use this.
PICKED_LETTERS = """\
($2::uuid[] IS NULL OR d.id = ANY ($2) OR d.notification_id = ANY ($2))
   AND ($3::text IS NULL OR d.channel = $3)
   AND ($4::text IS NULL OR d.priority = $4)
   AND ($5::text IS NULL OR d.failure_class = $5)
   AND ($6::text IS NULL OR d.reason = $6)
   AND ($7::timestamptz IS NULL OR d.created_at >= $7)
   AND ($8::timestamptz IS NULL OR d.created_at < $8)"""

#: What stands where a recipient or a content was.
ERASED = "[erased]"
REDACTED = "[redacted]"


class OperationKind(StrEnum):
    """What is done."""

    REPLAY = "replay"  #: failed notifications are queued again
    DISCARD = "discard"  #: dead letters are put away
    ERASE = "erase"  #: one recipient is taken out of the ledger


class OperationState(StrEnum):
    """How far it has come."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"  #: an operator ended it; what was done stays done


class Resolution(StrEnum):
    """What became of a dead letter that is no longer open."""

    REPLAYED = "replayed"
    DISCARDED = "discarded"


class LetterFilter(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"class_": "class"},
):
    """Which dead letters are meant: those that pass everything that is set."""

    ids: Annotated[list[UUID], Meta(max_length=IDS_AT_MOST)] | None = None
    """Of dead letters or of their notifications."""
    channel: Channel | None = None
    priority: Priority | None = None
    class_: FailureClass | None = None
    reason: str | None = None
    failed_after: UtcTime | None = None
    failed_before: UtcTime | None = None

    @property
    def parameters(self) -> tuple[Any, ...]:
        """Return its values in the order that statements take them."""
        return (
            self.ids,
            self.channel,
            self.priority,
            self.class_,
            self.reason,
            self.failed_after,
            self.failed_before,
        )
