"""How the mesh stands and what operators did, in lines for a terminal or a script."""

from collections.abc import Iterable
from datetime import datetime

from contracts.mesh import JobReading
from contracts.oversight import (
    AuditEntry,
    AuditPage,
    Effect,
    FoundList,
    JobRun,
    LaneStandings,
    LimitStandings,
    ProcessStandings,
    ProviderStandings,
    Schedule,
)


def lane_lines(lanes: LaneStandings) -> Iterable[str]:
    """One line a lane."""
    yield f"{'lane':13} {'queued':>9} {'in flight':>9} {'limit':>8}"
    for lane in lanes.items:
        paused = (
            f"  paused by {lane.paused_by}: {lane.paused_why}" if lane.paused else ""
        )
        name = f"{lane.channel}.{lane.priority}"
        limit = _per_second(lane.limit_per_second)
        yield f"{name:13} {lane.queued:9,} {lane.in_flight:9,} {limit:>8}{paused}"


def provider_lines(providers: ProviderStandings) -> Iterable[str]:
    """One line a provider."""
    yield f"{'provider':16} {'breaker':9} {'sends':>8} {'failures':>8} {'limit':>8}"
    for one in providers.items:
        limit = _per_second(one.rate_limit)
        order = "  its dispatchers are lost" if one.lost else ""
        if one.override is not None:
            said = one.override
            order += f"  {said.order} by {said.by}: {said.reason}"
        yield (
            f"{one.provider:16} {one.breaker:9} {one.sends:8,} {one.failures:8,}"
            f" {limit:>8}{order}"
        )


def limit_lines(limits: LimitStandings) -> Iterable[str]:
    """One line a limit that an operator has set."""
    for limit in limits.items:
        pace = _per_second(limit.per_second or None)
        yield (
            f"{limit.target:20} {pace:>8}  {_when(limit.at)} {limit.by}: {limit.reason}"
        )


def process_lines(processes: ProcessStandings) -> Iterable[str]:
    """One line a process."""
    for process in processes.items:
        state = process.state
        condition = "lost" if process.lost else str(state.condition)
        yield (
            f"{state.service:10} {state.instance:24} {condition:9}"
            f" {process.age_seconds:7.1f} s  {state.version}"
        )


def schedule_lines(schedule: Schedule) -> Iterable[str]:
    """One line a job, then one a run."""
    for job in schedule.jobs:
        yield _job_line(job)
    for run in schedule.runs:
        yield _run_line(run)


def _job_line(job: JobReading) -> str:
    last = _when(job.started_at) if job.started_at else "never ran"
    following = f"next {_when(job.next_at)}" if job.next_at else ""
    return f"{job.name:14} every {job.period_seconds:g} s, last {last} {following}".rstrip()


def _run_line(run: JobRun) -> str:
    why = ", ".join(f"{reason} {count:,}" for reason, count in run.why.items())
    told = run.error or why
    return (
        f"{_when(run.started_at)} {run.job:14} {run.outcome:8}"
        f" {run.duration_seconds:8.3f} s {run.scanned:9,} looked at"
        f" {run.repaired:7,} mended  {told}"
    ).rstrip()


def audit_lines(page: AuditPage) -> Iterable[str]:
    """One line an entry."""
    for entry in page.items:
        yield entry_line(entry)
    if page.next_cursor is not None:
        yield f"and more: --before {page.next_cursor}"


def entry_line(entry: AuditEntry) -> str:
    """Tell what was done by whom to what, and why."""
    effect = "" if entry.effect is Effect.DONE else f" [{entry.effect}]"
    reason = f": {entry.reason}" if entry.reason else ""
    return f"{_when(entry.at)} {entry.action} {entry.target} by {entry.who}{reason}{effect}"


def found_lines(found: FoundList) -> Iterable[str]:
    """One line a notification."""
    for one in found.items:
        lane = f"{one.channel}.{one.priority}"
        reason = f"  {one.failure_reason}" if one.failure_reason else ""
        yield (
            f"{one.id} {lane:13} {one.status:10} {one.recipient}"
            f" {one.attempts}/{one.max_attempts}{reason}"
        )
    if found.searched_from is not None:
        yield f"looked back to {_when(found.searched_from)}, not further"


def _per_second(limit: float | None) -> str:
    return "none" if limit is None else f"{limit:g}/s"


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
