"""Decides what follows an attempt: a pure function of its outcome and a policy.

The bundled policy (``retries.toml``) waits up to 5 s, 30 s, 2 min and 10 min before attempts
2, 3, 4 and 5. The first two waits stay on the bus, the others are parked in the ledger.
"""

import tomllib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta

from contracts.channels import Channel
from contracts.outcomes import FailureClass, OutcomeClass
from dispatcher.errors import RetriesInvalid
from dispatcher.providers.port import Outcome

BUNDLED = Path(__file__).with_name("retries.toml")

#: A delayed message holds its place in the lane, and its delay is lost in a crash of the bus.
_BUS_AT_MOST_SECONDS = 30.0

_Delay = Annotated[float, Meta(gt=0, le=7 * 24 * 3600)]


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When one channel tries again."""

    delays_seconds: Annotated[tuple[_Delay, ...], Meta(min_length=1)]
    bus_at_most_seconds: Annotated[float, Meta(ge=0, le=_BUS_AT_MOST_SECONDS)] = 30.0
    ours_seconds: Annotated[float, Meta(ge=0.1, le=_BUS_AT_MOST_SECONDS)] = 10.0

    @property
    def longest_seconds(self) -> float:
        """Return the longest wait that is drawn."""
        return max(self.delays_seconds)


Policies = Mapping[Channel, Policy]


class Attempt(msgspec.Struct, frozen=True):
    """Where a notification stands: the number of its attempt, and its limits."""

    number: int  #: from 1
    at_most: int
    expires_at: datetime | None = None


class Done(msgspec.Struct, frozen=True):
    """The notification is delivered."""


class Retry(msgspec.Struct, frozen=True):
    """Another attempt at a time; a parked one waits in the ledger, others on the bus."""

    at: datetime
    parked: bool
    because: FailureClass


class GiveUp(msgspec.Struct, frozen=True):
    """No further attempt."""

    because: FailureClass


class GiveBack(msgspec.Struct, frozen=True):
    """The attempt does not count; the notification is queued again after a rest."""

    rest_seconds: float


Decision = Done | Retry | GiveUp | GiveBack


def decide(
    policy: Policy, attempt: Attempt, outcome: Outcome, now: datetime, rng: Random
) -> Decision:
    """Return what follows an attempt that ended in ``outcome`` at ``now``.

    A retry that would come after the notification expires is not waited for.
    """
    match outcome.kind:
        case OutcomeClass.DELIVERED:
            return Done()
        case OutcomeClass.PERMANENT | OutcomeClass.UNROUTABLE:
            return GiveUp(FailureClass(outcome.kind))
        case OutcomeClass.OURS:
            return GiveBack(policy.ours_seconds * rng.uniform(0.5, 1.0))
        case OutcomeClass.TRANSIENT | OutcomeClass.THROTTLED:
            because = FailureClass(outcome.kind)
    if attempt.number >= attempt.at_most:
        return GiveUp(because)
    wait = wait_seconds(policy, attempt.number, outcome.retry_after_seconds, rng)
    at = now + timedelta(seconds=wait)
    if attempt.expires_at is not None and at >= attempt.expires_at:
        return GiveUp(FailureClass.EXPIRED)
    return Retry(at, parked=wait > policy.bus_at_most_seconds, because=because)


def wait_seconds(
    policy: Policy, attempt_number: int, retry_after_seconds: float | None, rng: Random
) -> float:
    """Draw the wait after an attempt, and let the provider lengthen it within bounds."""
    last = len(policy.delays_seconds) - 1
    wait = rng.uniform(0, policy.delays_seconds[min(attempt_number - 1, last)])
    if retry_after_seconds is None:
        return wait
    return max(wait, min(retry_after_seconds, 2 * policy.longest_seconds))


def load(path: Path) -> Policies:
    """Read the policy of every channel; raises ``RetriesInvalid`` with what is wrong."""
    try:
        tables = msgspec.convert(
            tomllib.loads(path.read_text()), dict[str, dict[str, object]]
        )
        unknown = tables.keys() - {"default", *Channel}
        if unknown:
            raise RetriesInvalid(f"{path}: no channel is called {min(unknown)}")
        default = tables.get("default", {})
        return {
            channel: msgspec.convert({**default, **tables.get(channel, {})}, Policy)
            for channel in Channel
        }
    except (OSError, ValueError) as error:
        raise RetriesInvalid(f"{path}: {error}") from error
