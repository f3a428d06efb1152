"""One mesh a module for drills whose faults heal; the others start their own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from contracts.channels import Channel
from contracts.controls import BreakerOrder
from ops import client
from tests.acceptance.mesh import Mesh, running_mesh


@pytest.fixture(autouse=True)
def coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours are part of what an operator sees."""
    monkeypatch.delenv("NO_COLOR", raising=False)


OVER = "the drill is over"

#: Tried again soon, but a breaker that opens stays so until somebody does something. Push has
#: a second provider.
RETRIES = "[default]\ndelays_seconds = [0.5, 1]\n"
ROUTES = """
[channels.push]
providers = [{ name = "webhook", weight = 1 }, { name = "noop", weight = 0 }]
[health]
open_seconds = 120
open_at_most_seconds = 120
return_seconds = 2
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_by_module(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Mesh]:
    """Run the module's mesh."""
    folder = tmp_path_factory.mktemp("drills")
    (folder / "retries.toml").write_text(RETRIES)
    (folder / "routes.toml").write_text(ROUTES)
    environment = {
        "TOCSIN_DISPATCHER_RETRIES_FILE": str(folder / "retries.toml"),
        "TOCSIN_DISPATCHER_ROUTES": str(folder / "routes.toml"),
    }
    async with running_mesh(folder, environment=environment) as mesh:
        yield mesh


@pytest_asyncio.fixture(loop_scope="module")
async def shared(shared_by_module: Mesh) -> AsyncIterator[Mesh]:
    """Lend the module's mesh, and take back what a drill did to it."""
    yield shared_by_module
    await shared_by_module.behave()
    async with client.open_gateway(shared_by_module.addresses["gateway"], None) as door:
        operator = client.Operator(door, "setup")
        for limit in (await operator.limits()).value.items:
            kind, name = limit.target.split(".")
            if kind == "channel":
                await operator.clear_channel_limit(Channel(name), reason=OVER)
            else:
                await operator.clear_provider_limit(name, reason=OVER)
        for lane in (await operator.lanes()).value.items:
            if lane.paused:
                await operator.resume(lane.channel, lane.priority, reason=OVER)
        for provider in (await operator.breakers()).value.items:
            await operator.order_breaker(
                provider.provider, BreakerOrder.RESET, reason=OVER
            )
