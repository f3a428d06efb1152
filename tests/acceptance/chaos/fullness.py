"""Ways for the bus to be full: a stream at its limit, a disk without room."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import nats
import pytest
from nats.js import errors as js_errors

from contracts import subjects, topology
from contracts.channels import LANES
from contracts.settings import nats_servers
from tests.acceptance.chaos.nodes import Nodes
from tests.waiting import until

_FULL_CODE = 10077  # maximum bytes exceeded
#: NATS reserves what the streams may grow to, three quarters of the disk at most.
_ROOMY = "32g"
_FULL_WITHIN_SECONDS = 10.0


@asynccontextmanager
async def full_stream(url: str) -> AsyncIterator[None]:
    """Let NOTIFY take nothing more; what it holds stays and is delivered."""
    client = await nats.connect(nats_servers(url))
    js = client.jetstream()
    config = (await js.stream_info(topology.NOTIFY.name)).config
    before, config.max_bytes = config.max_bytes, 1
    try:
        await js.update_stream(config)
        with pytest.raises(js_errors.ServiceUnavailableError) as refused:
            await js.publish(subjects.notify(LANES[0]), b"one more")
        assert refused.value.err_code == _FULL_CODE
        yield
    finally:
        config.max_bytes = before
        await js.update_stream(config)
        await client.close()


class Disk:
    """A file system in memory for one folder, which can be made full and roomy again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def full(self, nodes: Nodes) -> AsyncIterator[None]:
        """Leave no room from the moment on that a node of the bus says so."""

        def shrinks() -> bool:
            """It cannot while files grow meanwhile."""
            try:
                self._resize(str(shutil.disk_usage(self._folder).used))
            except OSError:
                return False
            return True

        async def is_noticed() -> bool:
            return "no space left" in await nodes.health()

        try:
            await until(shrinks, _FULL_WITHIN_SECONDS)
            await until(is_noticed, _FULL_WITHIN_SECONDS)
            yield
        finally:
            self._resize(_ROOMY)

    def _resize(self, size: str) -> None:
        _mount("-o", f"remount,size={size}", str(self._folder))


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    """Mount a disk of its own on the folder; raises OSError where that is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={_ROOMY}", "tmpfs", str(folder))
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount(scratch: Path) -> bool:
    """Say whether this user may mount file systems here: root on Linux, seldom others."""
    try:
        with mounted(scratch):
            return True
    except OSError:
        return False
    finally:
        scratch.rmdir()


def _mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise PermissionError(error.stderr.decode().strip()) from error
