"""Drills of dispatchers that end: one that is killed, and all that send one notification."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.lifecycle import Status
from tests.acceptance.dispatchers import own_dispatchers, shorten_waits
from tests.acceptance.drills.drill import drilling
from tests.acceptance.fragile import POISON, SOUND, install
from tests.acceptance.mesh import running_mesh
from tests.waiting import until

pytestmark = pytest.mark.timeout(240)

NAMES = ("own-1", "own-2")

Record = Callable[[str, object], None]


async def test_a_dispatcher_that_is_killed_is_seen_and_its_work_goes_on(
    tmp_path: Path, record_property: Record
) -> None:
    async with running_mesh(tmp_path) as mesh:
        await shorten_waits(mesh)
        with own_dispatchers(mesh, tmp_path) as dispatchers:
            dispatchers.start("own-1")
            async with drilling(
                mesh, record_property, number=6, fault="a dispatcher gone: kill -9"
            ) as drill:
                await drill.shown("4 ready")
                batch_id = await mesh.create_batch([SOUND] * 200)
                dispatchers.kill("own-1")
                await drill.seen(
                    *("dispatcher", " late"),
                    effect_at=time.time(),
                    by="every screen: `dispatcher late`, then `1 lost` in red",
                    ink="warn",
                )
                await drill.shown("lost", "dispatcher own-1", ink="bad")

                await drill.press("6")
                await drill.shown("own-1", "lost", ink="bad")
                await mesh.batches_are([batch_id], "delivered", within=60)
                dispatchers.start("own-1")
                await drill.shown("own-1", "ready")


async def test_what_ends_every_dispatcher_is_seen_among_the_dead_and_put_away(
    tmp_path: Path, record_property: Record
) -> None:
    async with running_mesh(tmp_path, "--dispatchers", "0") as mesh:
        await shorten_waits(mesh)
        with own_dispatchers(mesh, tmp_path, **install(tmp_path)) as dispatchers:
            for name in NAMES:
                dispatchers.start(name)
            async with drilling(
                mesh, record_property, number=5, fault="poison: it ends dispatchers"
            ) as drill:
                poison = await mesh.create(**POISON)

                async def is_given_up() -> bool:
                    for name in NAMES:
                        if not dispatchers.is_running(name):
                            dispatchers.start(name)
                    changes = drill.witness.changes
                    return any(change.status is Status.FAILED for change in changes)

                await until(is_given_up, 120)
                effect_at = await drill.witness.change(
                    lambda change: change.status is Status.FAILED
                )
                await drill.seen(
                    *("failed", poison[:8], "poison"),
                    effect_at=effect_at,
                    by="Lanes: `failed … poison` in the feed, one new dead letter",
                    ink="bad",
                )
                await drill.press("2")
                await drill.shown("sms", "poison")
                await drill.press("D")
                await drill.answer("it ends dispatchers", "discard 1")
                await drill.shown("0 open")

                sound = await mesh.create_batch([SOUND] * 50)
                await mesh.batches_are([sound], "delivered", within=60)
                letters = await mesh.get_json("/api/v1/dead-letters?state=discarded")
                assert [one["notification_id"] for one in letters["items"]] == [poison]
