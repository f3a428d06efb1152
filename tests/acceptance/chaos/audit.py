"""The ledger of truth: what clients were promised, held against what the mesh did."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from contracts.lifecycle import CREATED, FINAL, Status, TraceEvent, may_move
from tests.acceptance.chaos.faults import Kind, Struck
from tests.acceptance.chaos.load import BATCH_SIZE, Book
from tests.acceptance.chaos.records import Event, Receipt, Records, Row

_NEVER = datetime.max.replace(tzinfo=UTC)
_STATUSES = frozenset(map(str, Status))


#: A statement reaches the ledger before its sender is killed, and runs this much later.
_LATE_CLAIM = timedelta(seconds=5)
#: A lease of fifteen seconds is renewed when a third of it has gone.
_LEASE_LEFT_AT_LEAST = timedelta(seconds=10)
_CLOCKS_APART = timedelta(seconds=0.2)


class Attempt(NamedTuple):
    """One claim in a trace, until the next change of the notification."""

    #: The dispatcher's name, and what tells this process of it from the next.
    owner: str
    begun: datetime
    ended: datetime
    ended_as: str
    #: Its dispatcher waited no longer for the provider's answer; the provider may have taken it.
    timed_out: bool = False

    @property
    def dispatcher(self) -> str:
        return self.owner.partition("/")[0]


class Faults:
    """What was struck, and when each process of a dispatcher was last seen to claim."""

    def __init__(self, struck: Sequence[Struck], attempts: Iterable[Attempt]) -> None:
        self._struck = struck
        self._last_claims: dict[str, datetime] = {}
        for attempt in attempts:
            last = self._last_claims.get(attempt.owner, attempt.begun)
            self._last_claims[attempt.owner] = max(last, attempt.begun)

    def explain(self, attempt: Attempt) -> str | None:
        """Return what an attempt's own process met while it was under way."""
        for fault in self._struck:
            if fault.target == attempt.dispatcher and self._met(fault, attempt):
                return f"under way at a {fault.kind} of its dispatcher"
            if self._outlasted_lease(fault, attempt):
                return "under way while Postgres was away for a lease"
        if attempt.timed_out:
            return "answered later than its dispatcher waits"
        return None

    @staticmethod
    def _outlasted_lease(fault: Struck, attempt: Attempt) -> bool:
        """Say whether its owner could not renew its lease, however well it was."""
        return (
            fault.target == "postgres"
            and fault.ended - fault.began >= _LEASE_LEFT_AT_LEAST
            and fault.touches(attempt.begun - _CLOCKS_APART, attempt.ended)
        )

    def _met(self, fault: Struck, attempt: Attempt) -> bool:
        if fault.kind is Kind.FREEZE:
            return fault.touches(attempt.begun - _CLOCKS_APART, attempt.ended)
        ended_its_process = (
            self._last_claims[attempt.owner] <= fault.began + _LATE_CLAIM
        )
        return ended_its_process and fault.touches(
            attempt.begun - _LATE_CLAIM, attempt.ended
        )


@dataclass(kw_only=True)
class Findings:
    """What an audit has found; `problems` is empty when every promise was kept."""

    accepted: int = 0
    delivered: int = 0
    failed: int = 0
    lost: int = 0
    #: Stored although the client was told "not accepted", or nothing.
    refused_but_stored: int = 0
    unanswered_but_stored: int = 0
    #: Accepted twice for one key while Postgres or Redis was away, and called back when seen.
    set_aside: int = 0
    #: Accepted a second time by the provider, by what explains it.
    duplicates: Counter[str] = field(default_factory=Counter)
    #: Claims that ended without an outcome, by what explains it.
    abandoned: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def audit(book: Book, records: Records, struck: Sequence[Struck]) -> Findings:
    """Hold what clients saw against the ledger, the traces, the receipts and the DLQ."""
    findings = Findings(accepted=book.accepted)
    findings.problems += book.wrong
    _check_promises(book, records, findings)
    aside = set_aside(records)
    findings.set_aside = len(aside)
    _check_rows(book, records, aside, findings)
    faults = Faults(
        struck, (a for trace in records.traces.values() for a in attempts_of(trace))
    )
    for row in records.rows.values():
        trace = records.traces.get(row.id, [])
        findings.problems += [
            f"{row.id}: {fault}" for fault in trace_faults(row, trace)
        ]
        _check_receipts(row, trace, records.receipts.get(row.id, []), faults, findings)
    strangers = records.receipts.keys() - records.rows.keys()
    findings.problems += [f"{key}: sent but not in the ledger" for key in strangers]
    _check_dead_letters(records, findings)
    return findings


def _check_promises(book: Book, records: Records, findings: Findings) -> None:
    for notification_id, content in book.promised.items():
        row = records.rows.get(notification_id)
        if row is None or row.content != content:
            findings.lost += 1
            findings.problems.append(f"{notification_id}: promised and not there")
    members: dict[str, set[str]] = {}
    for row in records.rows.values():
        if row.batch_id is not None:
            members.setdefault(row.batch_id, set()).add(row.content)
    for batch_id, stored in members.items():
        if len(stored) != BATCH_SIZE:
            findings.problems.append(f"batch {batch_id}: {len(stored)} members stored")
    for batch_id, contents in book.batches.items():
        missing = set(contents) - members.get(batch_id, set())
        findings.lost += len(missing)
        if missing:
            findings.problems.append(
                f"batch {batch_id}: {len(missing)} members missing"
            )


def set_aside(records: Records) -> set[str]:
    """Return the cancelled notifications whose trace names another one that stands for them."""
    stands = {
        (id_, row.content)
        for row in records.rows.values()
        for id_ in (row.id, row.batch_id)
        if row.status != Status.CANCELLED
    }
    return {
        row.id
        for row in records.rows.values()
        if row.status == Status.CANCELLED
        and (trace := records.traces.get(row.id))
        and (trace[-1].details.get("duplicate_of"), row.content) in stands
    }


def _check_rows(
    book: Book, records: Records, aside: set[str], findings: Findings
) -> None:
    promised = set(book.promised.values())
    promised.update(content for batch in book.batches.values() for content in batch)
    rows = [row for row in records.rows.values() if row.id not in aside]
    times = Counter(row.content for row in rows)
    for content, number in times.items():
        if number > 1:
            findings.problems.append(f"{content!r} is {number} notifications")
        if content not in book.wishes:
            findings.problems.append(f"{content!r} was never asked for")
    unpromised = times.keys() - promised
    findings.refused_but_stored = len(unpromised & book.refused)
    findings.unanswered_but_stored = len(unpromised & book.unanswered)
    for row in rows:
        findings.delivered += row.status == Status.DELIVERED
        findings.failed += row.status == Status.FAILED
        wish = book.wishes.get(row.content)
        if row.status not in FINAL:
            findings.lost += row.content in promised
            findings.problems.append(f"{row.id}: still {row.status}")
        elif wish is not None and row.status != wish.outcome:
            findings.problems.append(
                f"{row.id}: {row.status} ({row.failure_class}), expected {wish.outcome}"
            )


def trace_faults(row: Row, trace: Sequence[Event]) -> Iterator[str]:
    """Yield what is wrong with a trace: gaps, times that decrease, moves that are illegal."""
    changes = [event for event in trace if event.sequence is not None]
    if [event.sequence for event in changes] != list(range(1, row.sequence + 1)):
        numbers = [event.sequence for event in changes]
        yield f"a trace with gaps: {numbers}, the row is at {row.sequence}"
        return
    times = [event.at for event in trace]
    if times != sorted(times):
        yield "a trace whose times decrease"
    if changes[0].name != CREATED:
        yield f"a trace that begins with {changes[0].name}"
    current: Status | None = None
    for event in changes[1:]:
        before = current
        if event.name == TraceEvent.REQUEUED:
            if current is Status.PROCESSING:
                current = Status.QUEUED
            continue
        current = Status(event.name)
        # From processing to processing: a lease that ended, taken over by another claim.
        again = before is current is Status.PROCESSING
        if before is not None and not again and not may_move(before, current):
            yield f"an illegal move from {before} to {current}"
    if current != row.status:
        yield f"a trace that ends {current} while the row is {row.status}"


def attempts_of(trace: Sequence[Event]) -> list[Attempt]:
    """Return the claims of a trace, oldest first."""
    changes = [event for event in trace if event.sequence is not None]
    following = [*changes[1:], None]
    return [
        Attempt(
            owner=str(event.details.get("dispatcher", "")),
            begun=event.at,
            ended=after.at if after else _NEVER,
            ended_as=after.name if after else "",
            timed_out=after is not None and after.details.get("code") == "timeout",
        )
        for event, after in zip(changes, following, strict=True)
        if event.name == Status.PROCESSING
    ]


def _check_receipts(
    row: Row,
    trace: Sequence[Event],
    receipts: Sequence[Receipt],
    faults: Faults,
    findings: Findings,
) -> None:
    attempts = attempts_of(trace)
    accepted = [receipt for receipt in receipts if receipt.accepted]
    if row.status == Status.DELIVERED and not accepted:
        findings.lost += 1
        findings.problems.append(
            f"{row.id}: delivered, but the provider has no receipt"
        )
    if row.status == Status.FAILED and accepted:
        findings.problems.append(f"{row.id}: failed, but the provider accepted it")
    if any(receipt.content != row.content for receipt in receipts):
        findings.problems.append(f"{row.id}: another body was sent")
    if len(receipts) > len(attempts):
        findings.problems.append(
            f"{row.id}: sent {len(receipts)} times in {len(attempts)} attempts"
        )
    for attempt in attempts:
        if attempt.ended_as in (Status.PROCESSING, TraceEvent.REQUEUED, ""):
            reason = faults.explain(attempt)
            findings.abandoned[reason or "unexplained"] += 1
            if reason is None:
                findings.problems.append(
                    f"{row.id}: {attempt.dispatcher} left an attempt, and met no fault"
                )
    for receipt in accepted[:-1]:
        reason = next(
            (
                reason
                for attempt in attempts
                if attempt.begun <= receipt.at and attempt.ended_as != Status.DELIVERED
                if (reason := faults.explain(attempt))
            ),
            None,
        )
        findings.duplicates[reason or "unexplained"] += 1
        if reason is None:
            findings.problems.append(f"{row.id}: sent twice without a reason")


def _check_dead_letters(records: Records, findings: Findings) -> None:
    failed = sorted(r.id for r in records.rows.values() if r.status == Status.FAILED)
    if sorted(records.dead_letters) != failed:
        findings.problems.append(
            f"{len(failed)} failed, {len(records.dead_letters)} dead letters"
        )
    if sorted(records.on_dlq) != failed:
        twice = len(records.on_dlq) - len(set(records.on_dlq))
        findings.problems.append(
            f"{len(failed)} failed, {len(records.on_dlq)} on the DLQ, {twice} of them twice"
        )
