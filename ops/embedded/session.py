"""One run of a stack: start in order, keep it up, and end it in order whatever happens."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

from ops.embedded import files
from ops.embedded.child import Spec
from ops.embedded.errors import ChildFailed, EmbeddedError, FolderUnusable, PortLost
from ops.embedded.folder import DataFolder
from ops.embedded.foundation import PORT_TRIES
from ops.embedded.stack import Stack
from ops.embedded.supervisor import Restarts, Supervisor

# Below this, a server that fails does so because the disk is full.
_FULL_BYTES = 20 * 1024 * 1024


@dataclass(kw_only=True)
class Session:
    """Runs the planned stack until `stopping` is set; `forced` cuts the drain short."""

    folder: DataFolder
    plan: Callable[[], Stack]
    ready_file: Path
    say: Callable[[str], None]
    #: Called once, when everything is ready, with what the ready file says.
    announce: Callable[[dict[str, object]], None]
    restarts: Restarts = field(default_factory=Restarts)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    forced: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Return when the stack was stopped; raises EmbeddedError when it had to end.

        Either way no child is left running.
        """
        self._forget_ready_file()
        tries_left = PORT_TRIES
        while True:
            try:
                return await self._run_once()
            except PortLost as lost:
                tries_left -= 1
                if not tries_left:
                    raise
                self.say(f"{lost.args[0]}: its port was taken; choosing others")
            except ChildFailed as error:
                raise self._explained(error) from error

    async def _run_once(self) -> None:
        stack = self.plan()
        supervisor = Supervisor(
            self.folder,
            say=self.say,
            on_change=lambda: self._rewrite(stack, supervisor),
            restarts=self.restarts,
        )
        self._ready = False
        try:
            await first_done(
                self._live(stack, supervisor),
                supervisor.failure(),
                self.stopping.wait(),
            )
        finally:
            await self._end(supervisor)

    async def _live(self, stack: Stack, supervisor: Supervisor) -> None:
        clock = asyncio.get_running_loop().time

        async def step(specs: list[Spec], work: Coroutine[None, None, None]) -> None:
            begun = clock()
            await work
            names = ", ".join(spec.name for spec in specs)
            self.say(f"{clock() - begun:4.1f} s  {names}")

        await step(stack.foundation, supervisor.start(stack.foundation))
        if stack.migration:
            await step([stack.migration], supervisor.run(stack.migration))
        await step(stack.services, supervisor.start(stack.services))
        self._write(stack, supervisor)
        self._ready = True
        self.announce(dict(stack.addresses))
        await asyncio.Event().wait()

    async def _end(self, supervisor: Supervisor) -> None:
        try:
            if running := supervisor.running:
                self.say(f"stopping {', '.join(child.name for child in running)}")
            await first_done(supervisor.drain(), self.forced.wait())
        finally:
            await supervisor.kill()

    def _forget_ready_file(self) -> None:
        """Remove what an earlier run said, and fail now rather than when all is ready."""
        try:
            self.ready_file.unlink(missing_ok=True)
            files.write_atomically(self.ready_file, "")
            self.ready_file.unlink()
        except OSError as error:
            raise self._unwritable(error) from error

    def _rewrite(self, stack: Stack, supervisor: Supervisor) -> None:
        """Tell the new pids; that the file cannot be written must not end a running mesh."""
        if self._ready:
            try:
                self._write(stack, supervisor)
            except EmbeddedError as error:
                self.say(str(error))

    def _write(self, stack: Stack, supervisor: Supervisor) -> None:
        content = {**stack.addresses, "pids": supervisor.pids}
        try:
            files.write_atomically(self.ready_file, json.dumps(content, indent=2))
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> FolderUnusable:
        return FolderUnusable(
            f"cannot write the ready file {self.ready_file}: {error.strerror}"
        )

    def _explained(self, error: ChildFailed) -> ChildFailed:
        if not self._disk_is_full(error):
            return error
        sentence = f"the disk that holds {self.folder.path} is full: {error.args[0]}"
        return ChildFailed(sentence, error.lines, error.log)

    def _disk_is_full(self, error: ChildFailed) -> bool:
        if any("No space left on device" in line for line in error.lines):
            return True
        try:
            return self.folder.free_bytes() < _FULL_BYTES
        except OSError:
            return False


async def first_done(*works: Coroutine[None, None, object]) -> None:
    """Await whichever ends first, raise its error if it has one, and cancel the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
