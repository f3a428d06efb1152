"""One mesh for the tests that leave it whole; tests that break things start their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.mesh import Mesh, running_mesh


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_mesh(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Mesh]:
    """Return a mesh for tests that only send and look."""
    folder = tmp_path_factory.mktemp("mesh")
    async with running_mesh(folder, "--channel-rate", "0") as mesh:
        yield mesh


@pytest_asyncio.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """Return a mesh of the test's own, to kill parts of."""
    async with running_mesh(tmp_path, "--channel-rate", "0") as mesh:
        yield mesh
