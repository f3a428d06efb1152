"""A real mesh for the acceptance tests: ``tocsin up`` as a user starts it, seen through HTTP."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from ops.embedded import processes
from tests.waiting import until

READY_WITHIN_SECONDS = 60
STOPPED_WITHIN_SECONDS = 20


class Mesh:
    """One running ``tocsin up`` and a client of its gateway and sandbox."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        ready_file: Path,
        output: Path,
        http: aiohttp.ClientSession,
    ) -> None:
        self.process = process
        self.output = output
        self._ready_file = ready_file
        self._http = http

    @property
    def addresses(self) -> dict[str, Any]:
        addresses: dict[str, Any] = json.loads(self._ready_file.read_text())
        return addresses

    def pid(self, name: str) -> int:
        return int(self.addresses["pids"][name])

    def kill(self, name: str) -> int:
        """``kill -9`` one child and return the pid it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def child(self, name: str) -> psutil.Process:
        return psutil.Process(self.pid(name))

    @asynccontextmanager
    async def down(self, child: psutil.Process) -> AsyncIterator[None]:
        """Kill -9 one child; inside the block nobody starts it again."""
        supervisor = psutil.Process(self.process.pid)
        supervisor.suspend()
        try:
            child.kill()
            yield
        finally:
            supervisor.resume()

    async def restarted(self, name: str, old_pid: int) -> None:
        await until(lambda: self._has_new_pid(name, old_pid), 20)

    async def _has_new_pid(self, name: str, old_pid: int) -> bool:
        return self.pid(name) != old_pid

    async def post(
        self, body: dict[str, Any], path: str = "", **headers: str
    ) -> aiohttp.ClientResponse:
        url = f"{self.addresses['gateway']}/api/v1/notifications{path}"
        response = await self._http.post(url, json=body, headers=headers)
        await response.read()
        return response

    async def create(self, **fields: Any) -> str:
        """Post one notification and return its id."""
        response = await self.post(
            {"channel": "sms", "recipient": "+15555550001", "content": "hello"} | fields
        )
        assert response.status == 202, await response.text()
        return str((await response.json())["id"])

    async def create_batch(self, bodies: list[dict[str, Any]]) -> str:
        response = await self.post({"notifications": bodies}, "/batch")
        assert response.status == 202, await response.text()
        return str((await response.json())["id"])

    async def get(self, notification_id: str) -> dict[str, Any]:
        return await self.get_json(f"/api/v1/notifications/{notification_id}")

    async def batch(self, batch_id: str) -> dict[str, Any]:
        return await self.get_json(f"/api/v1/notifications/batch/{batch_id}")

    async def trace(self, notification_id: str) -> list[dict[str, Any]]:
        page = await self.get_json(f"/api/v1/notifications/{notification_id}/trace")
        entries: list[dict[str, Any]] = page["entries"]
        return entries

    async def get_json(self, path: str) -> dict[str, Any]:
        async with self._http.get(self.addresses["gateway"] + path) as response:
            assert response.status == 200, await response.text()
            page: dict[str, Any] = await response.json()
            return page

    async def status_is(self, notification_id: str, status: str, within: float) -> None:
        async def there() -> bool:
            return bool((await self.get(notification_id))["status"] == status)

        await until(there, within)

    async def batches_are(
        self, batch_ids: Iterable[str], status: str, within: float
    ) -> None:
        waiting = set(batch_ids)

        async def all_there() -> bool:
            for batch_id in list(waiting):
                batch = await self.batch(batch_id)
                if batch["counts"][status] == batch["size"]:
                    waiting.discard(batch_id)
            return not waiting

        await until(all_there, within)

    async def received(self, **query: str) -> list[dict[str, Any]]:
        """Return what the sandbox received, newest first."""
        async with self._http.get(
            self.addresses["sandbox"] + "/messages", params={"limit": "100000"} | query
        ) as response:
            assert response.status == 200
            messages: list[dict[str, Any]] = await response.json()
            return messages

    async def behave(self, **behaviour: Any) -> None:
        """Tell the sandbox how to answer."""
        async with self._http.put(
            self.addresses["sandbox"] + "/behaviour", json=behaviour
        ) as response:
            assert response.status == 200, await response.text()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop the mesh and return its exit code; nothing it started may be left."""
        family = self.family()
        self.process.send_signal(number)
        code = await asyncio.wait_for(self.process.wait(), STOPPED_WITHIN_SECONDS)
        left = [process for process in family if process.is_running()]
        assert not left, f"processes left behind: {left}"
        return code

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@asynccontextmanager
async def frozen(process: psutil.Process) -> AsyncIterator[None]:
    """Stop a process and all it started for a while."""
    stopped = processes.freeze(process.pid)
    try:
        yield
    finally:
        for one in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()


@asynccontextmanager
async def running_mesh(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Mesh]:
    """Start ``tocsin up`` with its data in ``folder`` and stop it at the end."""
    ready_file = folder / "ready-for-test.json"
    ready_file.unlink(missing_ok=True)
    output = folder / "up.log"
    command = [sys.executable, "-m", "ops", "up", "--port", "0"]
    command += ["--ready-file", str(ready_file), "--data", str(folder / "data")]
    with output.open("ab") as sink:
        process = await asyncio.create_subprocess_exec(
            *command,
            *options,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            env={
                **os.environ,
                "TOCSIN_GATEWAY_RATE_LIMIT": "0",
                **(environment or {}),
            },
        )
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:
        mesh = Mesh(process, ready_file, output, http)
        try:
            await until(lambda: _ready(mesh, ready_file), READY_WITHIN_SECONDS)
            yield mesh
        finally:
            if process.returncode is None:
                await mesh.stop()


async def _ready(mesh: Mesh, ready_file: Path) -> bool:
    if mesh.process.returncode is not None:
        raise AssertionError(f"up has ended:\n{mesh.output.read_text()[-4000:]}")
    return ready_file.exists()
