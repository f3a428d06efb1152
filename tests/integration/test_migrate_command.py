import asyncio
from pathlib import Path

import nats
import pytest
from nats.js.api import RetentionPolicy

from contracts import topology
from tests.integration.commands import finished, started, tocsin
from tests.servers import Nats


@pytest.fixture
def mesh(database: str, nats_url: str) -> dict[str, str]:
    """The environment of a mesh that nobody has prepared."""
    return {"TOCSIN_POSTGRES_DSN": database, "TOCSIN_NATS_URL": nats_url}


async def test_it_prepares_both_and_says_what_it_changed(mesh: dict[str, str]) -> None:
    code, out, err = await tocsin("migrate", environment=mesh)

    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].startswith("ledger: ran ")
    assert "bus: created NOTIFY" in lines
    made = [line for line in lines if line.startswith("bus: created")]
    assert len(made) == len(topology.STREAMS) + len(topology.CONSUMERS)


async def test_the_second_run_has_nothing_to_do(mesh: dict[str, str]) -> None:
    await tocsin("migrate", environment=mesh)

    code, out, _ = await tocsin("migrate", environment=mesh)
    assert (code, out) == (0, "ledger: up to date\nbus: up to date\n")


async def test_several_at_once_agree(mesh: dict[str, str]) -> None:
    results = await asyncio.gather(
        *(tocsin("migrate", environment=mesh) for _ in range(3))
    )

    assert [result.code for result in results] == [0, 0, 0]


async def test_it_waits_for_a_server_that_is_starting(
    mesh: dict[str, str], nats_server: Nats
) -> None:
    await nats_server.server.crash()
    async with started("migrate", environment=mesh) as process:
        assert process.stderr is not None
        said = await process.stderr.readline()
        assert said.startswith(b"waiting: the bus does not answer")

        await nats_server.server.start()
        assert (await finished(process)).code == 0


async def test_a_bus_that_stays_away_is_one_sentence(mesh: dict[str, str]) -> None:
    away = {**mesh, "TOCSIN_NATS_URL": "nats://127.0.0.1:9"}
    code, _, err = await tocsin("migrate", "--wait", "0.2", environment=away)

    assert code == 1
    assert err.splitlines()[-1].startswith("Error: the bus does not answer")


async def test_a_ledger_that_stays_away_is_one_sentence(mesh: dict[str, str]) -> None:
    away = {**mesh, "TOCSIN_POSTGRES_DSN": "postgresql://tocsin@127.0.0.1:9/tocsin"}
    code, out, err = await tocsin("migrate", "--wait", "0.2", environment=away)

    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("Error: the ledger does not answer")


async def test_a_wrong_password_is_not_waited_for(mesh: dict[str, str]) -> None:
    dsn = mesh["TOCSIN_POSTGRES_DSN"].replace("tocsin:", "tocsin:x")
    async with asyncio.timeout(20):
        code, _, err = await tocsin(
            "migrate", environment={**mesh, "TOCSIN_POSTGRES_DSN": dsn}
        )

    assert code == 1
    assert "password authentication failed" in err
    assert len(err.splitlines()) == 1


async def test_a_change_that_would_lose_data_is_refused(
    mesh: dict[str, str], nats_url: str
) -> None:
    client = await nats.connect(nats_url)
    await client.jetstream().add_stream(
        name="NOTIFY", subjects=["notify.>"], retention=RetentionPolicy.LIMITS
    )
    await client.close()

    code, _, err = await tocsin("migrate", environment=mesh)
    assert code == 1
    assert err.startswith("Error: the bus was not changed: stream NOTIFY")


async def test_a_folder_of_another_project_is_not_mistaken_for_ours(
    mesh: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "__main__.py").write_text("print('theirs')")
    (tmp_path / "migrations" / "__init__.py").touch()

    code, out, _ = await tocsin("migrate", folder=tmp_path, environment=mesh)
    assert code == 0
    assert "theirs" not in out
