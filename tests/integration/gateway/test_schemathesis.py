"""Fuzzes a running gateway by its own description: right and wrong data, and sequences of
requests that use what earlier ones made."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.settings import MeshSettings
from gateway.description.tables import OPERATIONS
from gateway.routes.docs import document
from gateway.routing import RouteName
from ops.runtime.bus import Bus
from tests.integration.gateway.gateways import RunningGateway, running_gateway

_CONFIG = Path(__file__).with_name("schemathesis.toml")
_ROOT = Path(__file__).parents[3]
_RUN = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"

_STREAMS = {RouteName.GET_EVENTS, RouteName.GET_BATCH_EVENTS}


@pytest_asyncio.fixture
async def unlimited(settings: MeshSettings, bus: Bus) -> AsyncIterator[RunningGateway]:
    """A gateway that never says 429: it would hide what it says otherwise."""
    async with running_gateway(settings, gateway_rate_limit=0) as gateway:
        yield gateway


@pytest.mark.timeout(180)
async def test_the_gateway_answers_whatever_it_is_sent_as_its_description_says(
    unlimited: RunningGateway,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _RUN, "--config-file", str(_CONFIG)),
        *("run", str(document()), "--url", f"http://127.0.0.1:{unlimited.port}"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONHASHSEED": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    log = out.decode()

    assert process.returncode == 0, log
    [cases] = re.findall(r"(\d+) generated", log)
    accepted = await unlimited.count()
    record_property(
        "summary", f"schemathesis: {cases} cases, {accepted} notifications accepted"
    )
    assert int(cases) > 500
    assert accepted > 20
    assert re.search(rf"Tested:\s+{len(OPERATIONS.keys() - _STREAMS)}\b", log)
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert re.search(rf"✅ +{phase}", log), phase
