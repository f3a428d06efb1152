import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ops.runtime import readiness
from ops.runtime.readiness import Readiness

Check = Callable[[], Awaitable[object]]


async def well() -> None:
    pass


async def away() -> None:
    raise ConnectionRefusedError("by 10.0.0.7")


async def silent() -> None:
    await asyncio.Event().wait()


def built(**checks: Check) -> Readiness:
    built_ = Readiness()
    for name, check in checks.items():
        built_.depends_on(name, check)
    return built_


async def test_nothing_is_missing_when_every_check_passes() -> None:
    ready = built(postgres=well, nats=well)

    assert await ready.missing() == []
    assert await ready.ask() == {"postgres": "ok", "nats": "ok"}


async def test_what_is_away_is_missing_and_says_so_without_addresses() -> None:
    ready = built(postgres=away, nats=well)

    assert await ready.missing() == ["postgres"]
    assert await ready.ask() == {"postgres": "ConnectionRefusedError", "nats": "ok"}


async def test_an_optional_dependency_is_reported_but_not_missed() -> None:
    ready = built(nats=well)
    ready.depends_on("redis", away, required=False)

    assert await ready.missing() == []
    assert (await ready.ask())["redis"] == "ConnectionRefusedError"


async def test_a_dependency_that_does_not_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "_AT_MOST_SECONDS", 0.01)

    assert await built(nats=silent, postgres=well).ask() == {
        "nats": "no answer",
        "postgres": "ok",
    }


async def test_a_burst_of_probes_asks_once() -> None:
    asked = 0

    async def count() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)

    ready = built(postgres=count)
    await asyncio.gather(*(ready.missing() for _ in range(50)))

    assert asked == 1


async def test_a_later_probe_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_REMEMBERED_SECONDS", 0.0)
    answers = iter([away, well])
    ready = built(postgres=lambda: next(answers)())

    assert await ready.missing() == ["postgres"]
    assert await ready.missing() == []


async def test_a_dependency_added_while_others_are_asked_counts_as_missing() -> None:
    readiness = Readiness()
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        asked.set()
        await let_go.wait()

    async def well() -> None:
        pass

    readiness.depends_on("first", slow)
    answers = asyncio.create_task(readiness.ask())
    await asked.wait()
    readiness.depends_on("second", well)
    let_go.set()

    assert await answers == {"first": "ok"}
    assert await readiness.missing() == ["second"]
