"""One child process: started, asked whether it is ready, stopped, killed.

Nothing here belongs to an event loop, so a child started in one loop can be stopped or
restarted from another.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from ops.embedded import launch, ports, processes
from ops.embedded.errors import ChildFailed, PortLost
from ops.embedded.probes import Probe
from ops.embedded.roster import Roster

_LAUNCHER = str(Path(launch.__file__).resolve())
_POLL_SECONDS = 0.03
_PROBE_TIMEOUT_SECONDS = 2.0


class Stage(IntEnum):
    """When a child stops: the highest stage first, the servers last."""

    SERVERS = 0
    PROVIDERS = 1
    WORKERS = 2
    DOORS = 3


async def _nothing_to_prepare() -> None: ...


def _nothing() -> None: ...


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a child is: a service, or without `ready` a task that runs to its end."""

    name: str
    argv: tuple[str, ...]
    stage: Stage = Stage.WORKERS
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Probe | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    #: What it gets when its supervisor dies without a word (Linux), or is found by the next.
    orphan_signal: signal.Signals = signal.SIGKILL
    ports: tuple[int, ...] = ()
    user: tuple[int, int] | None = None
    #: Runs before every start.
    prepare: Callable[[], Awaitable[None]] = _nothing_to_prepare
    #: Runs after every exit: ends or removes what the dead process left.
    sweep: Callable[[], None] = _nothing


class Child:
    """A process of the spec, started again and again on the same ports and data.

    Spawn it from a thread that lives as long as the child should: to the kernel, the
    thread is the parent whose death is signalled.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        log: Path,
        roster: Roster,
        on_spawn: Callable[[], None] = _nothing,
    ) -> None:
        self.spec = spec
        self.log = log
        self._roster = roster
        self._on_spawn = on_spawn
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def pid(self) -> int | None:
        """The pid while it runs, else None."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process and running else None

    @property
    def last_pid(self) -> int | None:
        """The pid of the last start, whether or not it still runs."""
        return self._process.pid if self._process else None

    async def start(self, timeout_seconds: float = 60.0) -> None:
        """Start it and return when it is ready; raises ChildFailed, nothing left running."""
        async with self._spawned():
            await self.wait_ready(timeout_seconds)

    async def run(self) -> None:
        """Run a task to its end; raises ChildFailed unless it ends well."""
        async with self._spawned():
            code = await self.exited()
        if code != 0:
            raise self.failed(f"{self.name} {told(code)}")

    @asynccontextmanager
    async def _spawned(self) -> AsyncIterator[None]:
        try:
            await self.spec.prepare()
            self.spawn()
            yield
        except BaseException as error:
            if self.pid is not None:
                await self.crash()
            if isinstance(error, OSError):
                sentence = f"{self.name} cannot start: {error.strerror or error}"
                raise self.failed(sentence) from error
            raise

    def spawn(self) -> None:
        user = ":".join(map(str, self.spec.user)) if self.spec.user else "-"
        orphan_signal = str(int(self.spec.orphan_signal))
        launcher = [sys.executable, "-I", "-S", _LAUNCHER]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*launcher, str(os.getpid()), orphan_signal, user, *self.spec.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.spec.env),
                # Its own session: Ctrl-C in the terminal reaches only the supervisor.
                start_new_session=True,
            )
        self._roster.enter(self.name, self._process.pid, self.spec.orphan_signal)
        self._on_spawn()

    async def exited(self) -> int:
        """Wait for the end, clear up after it and return the exit code."""
        process = self._running()
        while (code := process.poll()) is None:
            await _until_exit(process.pid)
        if process is self._process:
            processes.kill_group(process.pid)
            self.spec.sweep()
            self._roster.leave(self.name)
        return code

    async def wait_ready(self, timeout_seconds: float = 60.0) -> None:
        """Return when the probe says yes; raises ChildFailed on an exit or at the timeout."""
        exit_ = asyncio.ensure_future(self.exited())
        try:
            async with asyncio.timeout(timeout_seconds):
                while not exit_.done():
                    if await self._answers(exit_):
                        return
                    await asyncio.wait({exit_}, timeout=_POLL_SECONDS)
        except TimeoutError:
            sentence = f"{self.name} was not ready after {timeout_seconds:.0f} s"
            raise self.failed(sentence) from None
        finally:
            exit_.cancel()
        raise self._early_exit(exit_.result())

    async def stop(self, timeout_seconds: float = 10.0) -> bool:
        """Ask it to stop, kill it at the timeout; returns False when it was killed."""
        if self._process is None:
            return True
        self.send(self.spec.stop_signal)
        self.send(signal.SIGCONT)
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.exited()
        except TimeoutError:
            self.kill()
            await self.exited()
            return False
        return True

    async def restart(self) -> None:
        """Stop it if it runs and start it on the same ports and data."""
        await self.stop()
        await self.start()

    async def crash(self) -> None:
        """Kill it without warning and wait for the end."""
        self.kill()
        await self.exited()

    def pause(self) -> None:
        """Freeze it and all it started: sockets stay open, nothing answers."""
        if self.pid is not None:
            processes.freeze(self.pid)

    def resume(self) -> None:
        if self.pid is not None:
            processes.thaw(self.pid)

    def kill(self) -> None:
        if self.pid is not None:
            processes.kill_group(self.pid)

    def send(self, signal_: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal_)

    def failed(self, why: str, kind: type[ChildFailed] = ChildFailed) -> ChildFailed:
        """Make the error that says why, with the last lines it logged."""
        return kind(why, self.tail(), self.log)

    def tail(self, lines: int = 15) -> list[str]:
        """Return the last lines it logged since it was last started."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(min(self._log_start, end), end - 64_000))
            last = deque(log, maxlen=lines)
        return [line.decode(errors="replace").rstrip() for line in last]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    async def _answers(self, exit_: asyncio.Future[int]) -> bool:
        """Ask the probe once, for as long as the child lives and patience lasts."""
        if self.spec.ready is None:
            return True
        asked = asyncio.ensure_future(self.spec.ready())
        either: set[asyncio.Future[Any]] = {asked, exit_}
        try:
            await asyncio.wait(
                either,
                timeout=_PROBE_TIMEOUT_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            return asked.done() and not exit_.done() and asked.result()
        except (OSError, TimeoutError):
            return False
        finally:
            asked.cancel()

    def _early_exit(self, code: int) -> ChildFailed:
        lost = [port for port in self.spec.ports if not ports.is_free(port)]
        sentence = f"{self.name} {told(code)} before it was ready"
        return self.failed(sentence, PortLost if lost else ChildFailed)


def told(code: int) -> str:
    """Say an exit code in words."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"exited with code {code}"


async def _until_exit(pid: int) -> None:
    """Return once the process may have ended: at once on Linux, else after a moment."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        await asyncio.sleep(_POLL_SECONDS)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
