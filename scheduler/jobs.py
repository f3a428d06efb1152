"""Jobs: what the scheduler does again and again, each begun by one process at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec
import nats.errors
from prometheus_client import Counter

from ops.runtime import ledger
from ops.runtime.errors import BusUnavailable
from ops.runtime.tasks import keep_running, wait_for_stop
from scheduler.stream import StreamMissing

#: What a job may run into while a server is away; it then tries again.
SERVER_AWAY = (
    *ledger.AWAY,
    *ledger.COLLIDED,
    BusUnavailable,
    StreamMissing,
    nats.errors.Error,
)

#: How long a job is without anyone after its holder died, at most.
_ASK_AGAIN_SECONDS = 1.0


class JobName(StrEnum):
    """Every job; the name is its lock, its metric label and its log key."""

    RELEASE = "release"  #: puts on the bus what is due
    OUTBOX = "outbox"  #: publishes groups whose publish was never confirmed
    TOPOLOGY = "topology"  #: keeps the bus's streams and consumers in being
    SPOOL = "spool"  #: moves into the ledger what was accepted while it was away
    RECONCILE = (
        "reconcile"  #: finds what the ledger believes to be on the bus and is not
    )
    ORPHANS = (
        "orphans"  #: finds messages the bus will not deliver, though it never said so
    )
    DEAD_LETTERS = "dead_letters"  #: follows the bus's advisories
    DEAD_LETTER_SWEEP = "dead_letter_sweep"  #: publishes what no advisory announced
    OPERATIONS = "operations"  #: replays, discards and erases what operators asked for
    RETENTION = "retention"  #: removes what is older than the ledger keeps
    REDACTION = "redaction"  #: takes recipients and contents out of old notifications
    PARTITIONS = "partitions"  #: makes the ledger's partitions ahead of time
    PRUNING = "pruning"  #: removes expired idempotency keys
    BACKLOG = "backlog"  #: counts what waits


class Done(msgspec.Struct, frozen=True):
    """What one run of a job did, and the pause in seconds it wants now (None: its period)."""

    pause_seconds: float | None = None
    scanned: int = 0
    why: dict[str, int] = {}  #: what it put right or changed, counted by the reason
    kept: bool = False  #: on record even if it found nothing to do

    @property
    def repaired(self) -> int:
        """Return how much it put right or changed."""
        return sum(self.why.values())


class Job(NamedTuple):
    """One job.

    The lock keeps two processes from doing the same work twice; it is not what makes the
    work right. A process can lose its lock in the middle of a step without knowing, so every
    step is safe beside another: rows are taken with row locks or by their sequence, and what
    is published twice carries the same message id.
    """

    name: JobName
    period_seconds: float
    step: Callable[[], Awaitable[Done]]


def pause_seconds(job: Job, done: Done) -> float:
    """Return how long a job rests after a run."""
    return job.period_seconds if done.pause_seconds is None else done.pause_seconds


class Holder(Protocol):
    """Says whether this process has a job."""

    async def hold(self, job: JobName) -> bool: ...


class Recorder(Protocol):
    """Runs a step and remembers what came of it."""

    async def run(self, job: Job) -> Done: ...


async def run_job(
    job: Job,
    holder: Holder,
    recorder: Recorder,
    stopping: asyncio.Event,
    errors: Counter,
) -> None:
    """Run a job whenever this process holds it, until told to stop; a step is never cut."""

    async def turn() -> None:
        if not await holder.hold(job.name):
            await wait_for_stop(stopping, _ASK_AGAIN_SECONDS)
            return
        await rest(pause_seconds(job, await recorder.run(job)))

    async def rest(seconds: float) -> None:
        """Sleep while the job is held: one that was lost is somebody's to take at once."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and await holder.hold(job.name):
            if await wait_for_stop(stopping, min(left, _ASK_AGAIN_SECONDS)):
                return

    await keep_running(job.name, turn, stopping, errors, SERVER_AWAY)
