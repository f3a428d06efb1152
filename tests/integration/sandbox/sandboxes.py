"""Sandboxes as real processes, and what to ask at their HTTP door."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[3]
START_SECONDS = 20


@contextmanager
def start_sandbox(**settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the sandbox on a free port and give the process and its address."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_")}
    ours = {f"TOCSIN_SANDBOX_{name}": value for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.sandbox"],
        cwd=ROOT,
        env=clean | {"TOCSIN_SANDBOX_PORT": "0"} | ours,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, read_line(process).rpartition(" ")[2]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def read_line(process: subprocess.Popen[str]) -> str:
    lines: queue.Queue[str] = queue.Queue()
    stdout = process.stdout
    assert stdout is not None
    threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
    line = lines.get(timeout=START_SECONDS).strip()
    assert line, "the sandbox ended without printing its address"
    return line


async def send(
    http: aiohttp.ClientSession,
    to: str = "+15555550001",
    channel: str = "sms",
    key: str | None = None,
    **members: Any,
) -> tuple[int, Any, Any]:
    body = {"to": to, "channel": channel, "content": "Hello", **members}
    headers = {"Idempotency-Key": key} if key else {}
    async with http.post("/send", json=body, headers=headers) as response:
        return response.status, await response.json(), response.headers


async def get(http: aiohttp.ClientSession, path: str, **query: Any) -> Any:
    async with http.get(path, params=query) as response:
        assert response.status == 200
        return await response.json()


async def clear(http: aiohttp.ClientSession) -> None:
    async with http.delete("/messages") as response:
        assert response.status == 204


async def set_behaviour(http: aiohttp.ClientSession, **behaviour: Any) -> None:
    async with http.put("/behaviour", json=behaviour) as response:
        assert response.status == 200
