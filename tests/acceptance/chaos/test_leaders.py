"""Three NATS nodes whose leader is killed again and again; ``make chaos`` makes long runs."""

from pathlib import Path

import pytest

from tests.acceptance.chaos.faults import LEADERS, Kind, elections
from tests.acceptance.chaos.run import report, run

SEED = 7
SECONDS = 15


@pytest.mark.chaos
@pytest.mark.timeout(240)
async def test_nothing_is_lost_whichever_node_leads_and_is_killed(
    tmp_path: Path,
) -> None:
    """Gateways accept through every election, and what waited for one is sent after it."""
    outcome = await run(tmp_path, SEED, elections(SEED, SECONDS), nats_nodes=3)

    lines = "\n".join(report(outcome))
    print(lines)  # noqa: T201 (the figures are worth reading)
    assert not outcome.problems, lines
    assert outcome.findings.accepted > 500
    assert not outcome.book.refused


def test_both_leaders_are_killed_in_turn() -> None:
    faults = elections(SEED, SECONDS)

    assert faults == elections(SEED, SECONDS)
    assert {fault.kind for fault in faults} == {Kind.KILL}
    assert [fault.target for fault in faults] == [*LEADERS, LEADERS[0]]
