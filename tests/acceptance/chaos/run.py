"""One run: a mesh under load, a fault script, rest, and the audit."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import aiohttp

from tests.acceptance.chaos.audit import Findings, audit
from tests.acceptance.chaos.faults import DISK, LEADERS, STREAM, Fault, Kind, Struck
from tests.acceptance.chaos.fullness import mounted
from tests.acceptance.chaos.load import Book, Load
from tests.acceptance.chaos.nodes import Nodes, PublishWatch
from tests.acceptance.chaos.records import Receipt, Recorder, Unrest, recorder
from tests.acceptance.chaos.striker import Striker
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
_ELECTED_WITHIN_SECONDS = 6.0

_CRASHED = "exited with code"

#: What lasts this long a client notices; the table says what it saw.
_LONG = timedelta(seconds=3.5)

#: Quick retries of both kinds: short waits on the bus, long ones parked in the ledger.
_RETRIES = """\
[default]
delays_seconds = [2, 4, 4, 4]
bus_at_most_seconds = 1.5
ours_seconds = 2
"""


@dataclass(frozen=True, kw_only=True)
class Longest:
    """For how many seconds, at most, each did not happen while clients were asking."""

    without_202: float
    without_publish: float
    without_send: float


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
    longest: Longest

    @property
    def problems(self) -> list[str]:
        """What must not be; empty when everything that was promised was kept."""
        problems = list(self.findings.problems)
        if self.unrest:
            problems.insert(0, f"the mesh did not come to rest: {self.unrest}")
        problems += [f"{fault.target} was not there to strike" for fault in self.missed]
        problems += self.crashes
        return problems


async def run(
    folder: Path, seed: int, faults: Sequence[Fault], *, nats_nodes: int = 1
) -> Outcome:
    """Load a mesh in ``folder`` while faults come, let it rest, and audit it.

    Clients go on after the last kill for as long as an election may take.
    """
    seconds = max(fault.at_seconds + fault.seconds for fault in faults)
    retries = folder / "retries.toml"
    retries.write_text(_RETRIES)
    sizes = {
        "--gateways": GATEWAYS,
        "--dispatchers": DISPATCHERS,
        "--schedulers": SCHEDULERS,
        "--nats-nodes": nats_nodes,
        "--channel-rate": _CHANNEL_RATE,
    }
    async with AsyncExitStack() as stack:
        disk = None
        if any(fault.target == DISK for fault in faults):
            disk = stack.enter_context(mounted(folder / "data" / "nats"))
        mesh = await stack.enter_async_context(
            running_mesh(
                folder,
                *(
                    word
                    for option, size in sizes.items()
                    for word in (option, str(size))
                ),
                environment={
                    "TOCSIN_DISPATCHER_RETRIES_FILE": str(retries),
                    "TOCSIN_GATEWAY_RATE_LIMIT": "0",
                },
            )
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        nodes = Nodes(mesh.addresses["nats_nodes"], http)
        load = Load(
            mesh.addresses["gateways"],
            seed=seed,
            rate=min(_RATE, _SENDS_AT_MOST / seconds),
        )
        striker = Striker(mesh, nodes, disk)
        watch = PublishWatch(nodes)
        started, began = time.monotonic(), datetime.now(UTC)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            watching = group.create_task(watch.run())
            try:
                await striker.run(faults)
                if nats_nodes > 1:
                    await asyncio.sleep(_ELECTED_WITHIN_SECONDS)
            finally:
                load.stop()
                watching.cancel()
        rested_from, ended = time.monotonic(), datetime.now(UTC)
        async with recorder(mesh.addresses) as recorder_:
            unrest = await _rest(recorder_)
            settled = time.monotonic() - rested_from
            records = await recorder_.read()
        findings = audit(load.book, records, striker.struck)
    accepted = [answer.at for answer in load.book.answers if answer.status == 202]
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
        longest=Longest(
            without_202=_longest_gap(accepted, began, ended),
            without_publish=watch.longest_seconds,
            without_send=_longest_gap(_times(records.receipts.values()), began, ended),
        ),
    )


def _times(receipts: Iterable[Sequence[Receipt]]) -> list[datetime]:
    return [receipt.at for of_one in receipts for receipt in of_one]


def _longest_gap(times: Iterable[datetime], began: datetime, ended: datetime) -> float:
    """Return the most seconds between two of the times, or to either end."""
    within = sorted(time for time in times if began <= time <= ended)
    gaps = pairwise([began, *within, ended])
    return max((after - before).total_seconds() for before, after in gaps)


async def _rest(records: Recorder) -> Unrest:
    """Return when nothing is left to do, or with what is left when patience is over."""

    async def is_idle() -> bool:
        return not await records.unrest()

    with suppress(AssertionError):
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
    faults = Counter((struck.target, struck.kind) for struck in outcome.struck)
    targets = dict.fromkeys((*TARGETS, *LEADERS, STREAM, DISK))
    kinds = [kind for kind in Kind if any(kind is struck for _, struck in faults)]
    yield f"  {'fault':<18} " + " ".join(f"{kind:>9}" for kind in kinds)
    for target in targets:
        times = [faults[target, kind] for kind in kinds]
        if any(times):
            yield f"  {target:<18} " + " ".join(f"{number:>9}" for number in times)
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
        ("called back", findings.set_aside),
        ("duplicates", findings.duplicates.total()),
    ):
        yield f"  {name:<18} {number:>8,}"
    for reason, number in findings.duplicates.items():
        yield f"    {reason:<40} {number:>6,}"
    yield f"  {'attempts left':<18} {findings.abandoned.total():>8,}"
    for reason, number in findings.abandoned.items():
        yield f"    {reason:<40} {number:>6,}"
    yield ""
    longest = outcome.longest
    yield f"  longest time without an acceptance {longest.without_202:>6.1f} s"
    yield f"  longest time without a publish     {longest.without_publish:>6.1f} s"
    yield f"  longest time without a send        {longest.without_send:>6.1f} s"
    long = sorted(
        (s for s in outcome.struck if s.ended - s.began >= _LONG),
        key=lambda struck: struck.began,
    )
    if long:
        yield ""
        yield f"  {'answers while':<24} {'202':>7} {'503':>7} {'none':>7} {'slowest':>9}"
    for struck in long:
        yield _during(struck, book)
    if outcome.problems:
        yield ""
        yield f"  {len(outcome.problems)} problems"
        yield from (f"    {problem}" for problem in outcome.problems[:40])


def answers_while(struck: Struck, book: Book) -> Counter[int]:
    """Count the answers of the gateways by their status, 0 for none, during a fault."""
    return Counter(
        answer.status
        for answer in book.answers
        if struck.began <= answer.at <= struck.ended
    )


def _during(struck: Struck, book: Book) -> str:
    by_status = answers_while(struck, book)
    slowest = max(
        (a.seconds for a in book.answers if struck.began <= a.at <= struck.ended),
        default=0.0,
    )
    name = f"{struck.target}: {struck.kind}"
    return (
        f"  {name:<24} {by_status[202]:>7,} {by_status[503]:>7,}"
        f" {by_status[0]:>7,} {slowest:>7.1f} s"
    )
