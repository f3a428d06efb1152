"""The commands that run one service become it, with their options as its settings."""

import json

from ops.embedded import ports
from tests.integration.commands import finished, started, tocsin
from tests.integration.test_service import ready
from tests.waiting import until


async def test_a_service_runs_from_the_command_and_stops_like_itself(
    environment: dict[str, str],
) -> None:
    (port,) = ports.choose(1)
    arguments = ("scheduler", "--metrics-port", str(port), "--instance", "by-command")
    async with started(*arguments, environment=environment) as process:
        await until(lambda: ready(port), 20)
        process.terminate()
        code, out, err = await finished(process)

    lines = [json.loads(line) for line in err.splitlines()]
    assert (code, out) == (0, "")
    assert lines[0]["event"] == "service.started"
    assert lines[0]["instance"] == "by-command"


async def test_a_missing_address_is_named(environment: dict[str, str]) -> None:
    without = {**environment, "TOCSIN_NATS_URL": ""}
    code, out, err = await tocsin("gateway", environment=without)

    assert (code, out) == (2, "")
    assert err.startswith("tocsin gateway: TOCSIN_NATS_URL: ")
