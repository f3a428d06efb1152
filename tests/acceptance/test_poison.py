"""A notification whose sending ends the process."""

from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.acceptance.chaos.records import recorder
from tests.acceptance.dispatchers import own_dispatchers, shorten_waits
from tests.acceptance.fragile import POISON, SOUND, install
from tests.acceptance.mesh import Mesh, running_mesh
from tests.waiting import until

pytestmark = pytest.mark.timeout(240)

NAMES = ("own-1", "own-2")


async def test_what_ends_five_dispatchers_is_given_up_and_everything_else_flows(
    tmp_path: Path,
) -> None:
    """Hundreds are being sent beside it at each crash; none of them goes down with it."""
    async with running_mesh(tmp_path, "--dispatchers", "0") as mesh:
        await shorten_waits(mesh)
        batches = [await mesh.create_batch([SOUND] * 300)]
        [poison] = await _members(mesh, await mesh.create_batch([POISON]))
        batches.append(await mesh.create_batch([SOUND] * 300))
        with own_dispatchers(mesh, tmp_path, **install(tmp_path)) as dispatchers:
            for name in NAMES:
                dispatchers.start(name)

            async def is_over() -> bool:
                for name in NAMES:
                    if not dispatchers.is_running(name):
                        dispatchers.start(name)
                        batches.append(await mesh.create_batch([SOUND] * 20))
                return bool((await mesh.get(poison))["status"] == "failed")

            await until(is_over, 120)
            await mesh.batches_are(batches, "delivered", within=60)
            sends = [
                line.split()
                for line in (tmp_path / "book.txt").read_text().splitlines()
            ]
            notification = await mesh.get(poison)
            async with recorder(mesh.addresses) as records:
                await until(lambda: _is_idle(records), 30)
                found = await records.read()
            lost = await _lost_leases(mesh)

    ended = [pid for id_, pid in sends if id_ == poison]
    assert len(ended) == len(set(ended)) == 5
    assert (notification["failure_class"], notification["attempts"]) == ("poison", 5)
    assert "dispatcher" in notification["failure_reason"]
    assert found.dead_letters == found.on_dlq == [poison]
    assert lost.pop(poison) == 5
    assert max(lost.values()) <= 3
    again = Counter(id_ for id_, _ in sends)
    assert all(again[id_] - 1 <= lost[id_] for id_ in lost)


async def _members(mesh: Mesh, batch_id: str) -> list[str]:
    return [one["id"] for one in (await mesh.batch(batch_id))["notifications"]]


async def _is_idle(records: Any) -> bool:
    return not await records.unrest()


async def _lost_leases(mesh: Mesh) -> dict[str, int]:
    ledger = await asyncpg.connect(mesh.addresses["postgres"])
    try:
        rows = await ledger.fetch("SELECT id::text, lost_leases FROM notification")
    finally:
        await ledger.close()
    return {row["id"]: row["lost_leases"] for row in rows}
