"""Short runs of the chaos suite; ``make chaos`` makes long ones."""

from pathlib import Path

import pytest

from tests.acceptance.chaos.faults import STRIKES, script
from tests.acceptance.chaos.run import TARGETS, report, run

#: Each of these kills and freezes every process at least once, one for longer than a lease.
SEEDS = (7,)
SECONDS = 34


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", SEEDS)
async def test_every_promise_is_kept_whatever_is_killed_or_frozen(
    tmp_path: Path, seed: int
) -> None:
    """Every 202 ends in its one right final state, and the mesh comes to rest."""
    outcome = await run(tmp_path, seed, script(seed, TARGETS, SECONDS))

    assert not outcome.problems, "\n".join(report(outcome))
    assert outcome.findings.accepted > 1000


@pytest.mark.parametrize("seed", SEEDS)
def test_a_short_run_strikes_every_process_both_ways(seed: int) -> None:
    faults = script(seed, TARGETS, SECONDS)

    assert faults == script(seed, TARGETS, SECONDS)
    strikes = {(fault.kind, fault.target) for fault in faults}
    assert strikes == {(kind, target) for kind in STRIKES for target in TARGETS}
