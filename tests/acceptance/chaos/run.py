"""One run: a mesh under load, a fault script, rest, and the audit."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tests.acceptance.chaos.audit import Findings, audit
from tests.acceptance.chaos.faults import Fault, Striker, Struck
from tests.acceptance.chaos.load import Book, Load
from tests.acceptance.chaos.records import Recorder, Unrest, recorder
from tests.acceptance.mesh import running_mesh
from tests.waiting import until

GATEWAYS, DISPATCHERS, SCHEDULERS = 2, 3, 2
SERVERS = ("redis", "nats", "postgres")
TARGETS = (
    *(f"gateway-{number}" for number in range(1, GATEWAYS + 1)),
    *(f"dispatcher-{number}" for number in range(1, DISPATCHERS + 1)),
    *(f"scheduler-{number}" for number in range(1, SCHEDULERS + 1)),
    *SERVERS,
)
#: The sandbox keeps 100,000 requests; a run must not have more.
_SENDS_AT_MOST = 90_000
_RATE = 120.0
_SETTLED_WITHIN_SECONDS = 120.0
_CHANNEL_RATE = 150

_CRASHED = "exited with code"

#: A freeze that a client notices; the table says what it saw.
_LONG = timedelta(seconds=10)

#: Quick retries of both kinds: short waits on the bus, long ones parked in the ledger.
_RETRIES = """\
[default]
delays_seconds = [2, 4, 4, 4]
bus_at_most_seconds = 1.5
ours_seconds = 2
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that a run has shown."""

    seed: int
    load_seconds: float
    settled_seconds: float
    unrest: Unrest
    struck: list[Struck]
    missed: list[Fault]
    #: What ended by itself, in the words of ``up``.
    crashes: list[str]
    book: Book
    findings: Findings

    @property
    def problems(self) -> list[str]:
        """What must not be; empty when everything that was promised was kept."""
        problems = list(self.findings.problems)
        if self.unrest:
            problems.insert(0, f"the mesh did not come to rest: {self.unrest}")
        problems += [f"{fault.target} was not there to strike" for fault in self.missed]
        problems += self.crashes
        return problems


async def run(folder: Path, seed: int, faults: Sequence[Fault]) -> Outcome:
    """Load a mesh in ``folder`` while faults come, let it rest, and audit it."""
    seconds = max(fault.at_seconds + fault.seconds for fault in faults)
    retries = folder / "retries.toml"
    retries.write_text(_RETRIES)
    sizes = {
        "--gateways": GATEWAYS,
        "--dispatchers": DISPATCHERS,
        "--schedulers": SCHEDULERS,
        "--channel-rate": _CHANNEL_RATE,
    }
    async with running_mesh(
        folder,
        *(word for option, size in sizes.items() for word in (option, str(size))),
        environment={
            "TOCSIN_DISPATCHER_RETRIES_FILE": str(retries),
            "TOCSIN_GATEWAY_RATE_LIMIT": "0",
        },
    ) as mesh:
        load = Load(
            mesh.addresses["gateways"],
            seed=seed,
            rate=min(_RATE, _SENDS_AT_MOST / seconds),
        )
        striker = Striker(mesh)
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            try:
                await striker.run(faults)
            finally:
                load.stop()
        rested_from = time.monotonic()
        async with recorder(mesh.addresses) as records:
            unrest = await _rest(records)
            settled = time.monotonic() - rested_from
            findings = audit(load.book, await records.read(), striker.struck)
    return Outcome(
        seed=seed,
        load_seconds=rested_from - started,
        settled_seconds=settled,
        unrest=unrest,
        struck=striker.struck,
        missed=striker.missed,
        crashes=[
            line for line in mesh.output.read_text().splitlines() if _CRASHED in line
        ],
        book=load.book,
        findings=findings,
    )


async def _rest(records: Recorder) -> Unrest:
    """Return when nothing is left to do, or with what is left when patience is over."""

    async def is_idle() -> bool:
        return not await records.unrest()

    with contextlib.suppress(AssertionError):
        await until(is_idle, _SETTLED_WITHIN_SECONDS)
    return await records.unrest()


def report(outcome: Outcome) -> Iterator[str]:
    """Yield the lines of a table for people."""
    findings, book = outcome.findings, outcome.book
    yield (
        f"seed {outcome.seed}: {outcome.load_seconds:.0f} s of load and faults,"
        f" at rest {outcome.settled_seconds:.0f} s later"
    )
    yield ""
    yield f"  {'fault':<14} {'kill -9':>8} {'freeze':>8}"
    faults = Counter((struck.target, struck.kind.name) for struck in outcome.struck)
    for target in TARGETS:
        kills, freezes = faults[target, "KILL"], faults[target, "FREEZE"]
        yield f"  {target:<14} {kills:>8} {freezes:>8}"
    yield ""
    for name, number in (
        ("accepted", findings.accepted),
        ("delivered", findings.delivered),
        ("failed", findings.failed),
        ("lost", findings.lost),
        ("refused (503)", len(book.refused)),
        ("  but stored", findings.refused_but_stored),
        ("unanswered", len(book.unanswered)),
        ("  but stored", findings.unanswered_but_stored),
        ("duplicates", findings.duplicates.total()),
    ):
        yield f"  {name:<18} {number:>8,}"
    for reason, number in findings.duplicates.items():
        yield f"    {reason:<40} {number:>6,}"
    yield f"  {'attempts left':<18} {findings.abandoned.total():>8,}"
    for reason, number in findings.abandoned.items():
        yield f"    {reason:<40} {number:>6,}"
    long = [s for s in outcome.struck if s.ended - s.began >= _LONG]
    if long:
        yield ""
        yield f"  {'during a long freeze of':<24} {'202':>7} {'503':>7} {'none':>7} {'slowest':>9}"
    for struck in long:
        yield _during(struck, book)
    if outcome.problems:
        yield ""
        yield f"  {len(outcome.problems)} problems"
        yield from (f"    {problem}" for problem in outcome.problems[:40])


def _during(struck: Struck, book: Book) -> str:
    answers = [a for a in book.answers if struck.began <= a.at <= struck.ended]
    by_status = Counter(answer.status for answer in answers)
    slowest = max((answer.seconds for answer in answers), default=0.0)
    return (
        f"  {struck.target:<24} {by_status[202]:>7,} {by_status[503]:>7,}"
        f" {by_status[0]:>7,} {slowest:>7.1f} s"
    )
