"""Each server away for a while, and a bus without room; ``make chaos`` makes long ones."""

import warnings
from pathlib import Path

import pytest

from tests.acceptance.chaos.faults import Kind, outages
from tests.acceptance.chaos.fullness import can_mount
from tests.acceptance.chaos.run import SERVERS, answers_while, report, run

SEED = 7
SECONDS = 4.0
RESTS_SECONDS = 1.0
DISK_LEFT_OUT = "nobody may mount a file system here, so no disk was full"


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings(f"default:{DISK_LEFT_OUT}")
async def test_a_server_that_is_away_or_full_costs_no_promise(tmp_path: Path) -> None:
    """A gateway accepts as ever; while it finds out that Postgres is away it may refuse some.

    The disk is full only where this user may mount one; elsewhere a warning says so.
    """
    disk = can_mount(tmp_path / "scratch")
    if not disk:
        warnings.warn(DISK_LEFT_OUT, stacklevel=1)
    faults = outages(SERVERS, SECONDS, RESTS_SECONDS, disk=disk)

    outcome = await run(tmp_path, SEED, faults)

    lines = "\n".join(report(outcome))
    print(lines)  # noqa: T201 (the figures are worth reading)
    assert not outcome.problems, lines
    assert len(outcome.struck) == len(faults)
    for struck in outcome.struck:
        answers = answers_while(struck, outcome.book)
        assert answers.keys() <= {200, 202, 503}, lines
        assert answers[202] > 20, lines
        assert answers[503] == 0 or struck.target == "postgres", lines


def test_every_server_hangs_and_is_kept_down_one_at_a_time() -> None:
    faults = outages(SERVERS, SECONDS, RESTS_SECONDS, disk=True)

    for server in SERVERS:
        kinds = {fault.kind for fault in faults if fault.target == server}
        assert kinds == {Kind.FREEZE, Kind.DOWN}
    ends = [fault.at_seconds + fault.seconds for fault in faults]
    begins = [fault.at_seconds for fault in faults]
    assert all(end <= begin for end, begin in zip(ends[:-1], begins[1:], strict=True))
