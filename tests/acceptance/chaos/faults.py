"""The fault script: what is broken when, drawn from a seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import count
from random import Random

_PAUSE_SECONDS = (0.8, 2.6)
_FREEZE_SECONDS = (1.0, 5.0)
#: One freeze in five outlasts a dispatcher's lease and the bus's acknowledgement wait.
_LONG_FREEZE_SECONDS = (16.0, 18.0)
_LONG_FREEZES = 0.2
#: An election takes about five seconds, and the node that was killed is back by then.
_ELECTION_SECONDS = (5.5, 7.5)

#: Targets that are whichever node leads at that moment.
META_LEADER = "leader of meta"
NOTIFY_LEADER = "leader of NOTIFY"
LEADERS = (META_LEADER, NOTIFY_LEADER)

#: Targets that are full, not gone.
STREAM = "stream NOTIFY"
DISK = "disk of NATS"


class Kind(StrEnum):
    KILL = "kill -9"
    FREEZE = "freeze"
    #: Killed, and nobody starts it again before its time.
    DOWN = "kept down"
    FULL = "full"


#: What a drawn script does to every process.
STRIKES = (Kind.KILL, Kind.FREEZE)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault, planned; `at_seconds` counts from the start of the script."""

    at_seconds: float
    kind: Kind
    target: str
    #: How long it lasts; 0 for a kill.
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Struck:
    """One fault as it happened."""

    kind: Kind
    target: str
    began: datetime
    ended: datetime

    def touches(self, begun: datetime, ended: datetime) -> bool:
        """Say whether something that lasted from ``begun`` to ``ended`` met this fault."""
        return self.began <= ended and self.ended >= begun


def draw(seed: int, targets: Sequence[str]) -> Iterator[Fault]:
    """Yield faults for ever: in each round every target is killed once and frozen once."""
    rng = Random(seed)
    at = 0.0
    for _ in count():
        strikes = [(kind, target) for kind in STRIKES for target in targets]
        rng.shuffle(strikes)
        for kind, target in strikes:
            at += rng.uniform(*_PAUSE_SECONDS)
            seconds = 0.0
            if kind is Kind.FREEZE:
                is_long = target.startswith("dispatcher") and (
                    rng.random() < _LONG_FREEZES
                )
                between = _LONG_FREEZE_SECONDS if is_long else _FREEZE_SECONDS
                seconds = round(rng.uniform(*between), 1)
            yield Fault(
                at_seconds=round(at, 1), kind=kind, target=target, seconds=seconds
            )


def script(seed: int, targets: Sequence[str], seconds: float) -> list[Fault]:
    """Return all faults that begin within ``seconds``."""
    faults: list[Fault] = []
    for fault in draw(seed, targets):
        if fault.at_seconds > seconds:
            return faults
        faults.append(fault)
    raise AssertionError("draws never end")


def elections(seed: int, seconds: float) -> list[Fault]:
    """Return kills of the leader of meta and of NOTIFY in turn, for ``seconds``."""
    rng = Random(seed)
    faults: list[Fault] = []
    at = rng.uniform(*_PAUSE_SECONDS)
    while at <= seconds:
        target = LEADERS[len(faults) % len(LEADERS)]
        faults.append(Fault(at_seconds=round(at, 1), kind=Kind.KILL, target=target))
        at += rng.uniform(*_ELECTION_SECONDS)
    return faults


def outages(
    servers: Sequence[str], seconds: float, rest_seconds: float, *, disk: bool
) -> list[Fault]:
    """Return every way for a server to be away, one after the other with rests between.

    The stream is full and, with ``disk``, the disk; each server hangs and is kept down.
    """
    away = [(kind, server) for server in servers for kind in (Kind.FREEZE, Kind.DOWN)]
    full = [(Kind.FULL, STREAM), *([(Kind.FULL, DISK)] if disk else [])]
    return [
        Fault(
            at_seconds=number * (seconds + rest_seconds) + min(rest_seconds, 2.0),
            kind=kind,
            target=target,
            seconds=seconds,
        )
        for number, (kind, target) in enumerate([*full, *away])
    ]
