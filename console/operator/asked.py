"""What an operator names when asking and acting."""

from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from contracts.channels import Channel, Priority
from contracts.oversight import target_of_lane
from ops.letters import Letter


class LaneTarget(NamedTuple):
    """A lane, or a whole channel."""

    channel: Channel
    priority: Priority | None = None

    def __str__(self) -> str:
        return target_of_lane(self.channel, self.priority)


class LimitTarget(NamedTuple):
    """A channel, or a provider over all its channels."""

    kind: Literal["channel", "provider"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}"


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a notification that is looked for: exactly one of these."""

    id: UUID | None = None
    idempotency_key: str | None = None
    recipient_hash: str | None = None
    """As ``contracts.oversight.recipient_hash`` makes it."""


class LetterPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of dead letters; the last one has no cursor."""

    items: list[Letter]
    next_cursor: UUID | None = None
