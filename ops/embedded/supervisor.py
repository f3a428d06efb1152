"""Keeps children running: restarts those that crash, drains all of them in order."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from ops.embedded import logs
from ops.embedded.child import Child, Spec, Stage, told
from ops.embedded.errors import ChildFailed
from ops.embedded.folder import DataFolder
from ops.embedded.foundation import all_or_none

# Seconds after the request to stop by which each stage has ended, killed if need be.
DRAIN_SECONDS: Mapping[Stage, float] = {
    Stage.DOORS: 5.0,
    Stage.WORKERS: 11.0,
    Stage.PROVIDERS: 12.0,
    Stage.SERVERS: 14.5,
}
_LOG_CHECK_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Restarts:
    """How often a child may crash in a row, and the pause before each new start."""

    pauses_seconds: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    #: After this long without a crash the pauses begin anew.
    steady_seconds: float = 20.0


class Supervisor:
    def __init__(
        self,
        folder: DataFolder,
        *,
        say: Callable[[str], None],
        on_change: Callable[[], None],
        restarts: Restarts,
        drain_seconds: Mapping[Stage, float] = DRAIN_SECONDS,
    ) -> None:
        self._folder = folder
        self._say = say
        self._on_change = on_change
        self._restarts = restarts
        self._drain_seconds = drain_seconds
        self._children: list[Child] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keep(self._trim_logs(), name="trim logs")

    @property
    def pids(self) -> dict[str, int]:
        """The pid of every child; while one waits for its restart, the pid it had."""
        return {c.name: pid for c in self._children if (pid := c.last_pid) is not None}

    @property
    def running(self) -> list[Child]:
        """The children to stop, in the order of stopping."""
        running = [child for child in self._children if child.pid is not None]
        return sorted(running, key=lambda child: child.spec.stage, reverse=True)

    async def start(self, specs: Iterable[Spec]) -> None:
        """Start all at once and return when all are ready; from then on they are kept up.

        Raises ChildFailed for a child that cannot start. Those that could go on running
        until `drain`.
        """
        children = [self._folder.child(spec, self._on_change) for spec in specs]
        self._children += children
        await all_or_none(self._start(child) for child in children)

    async def run(self, spec: Spec) -> None:
        """Run a task to its end; raises ChildFailed unless it ends well."""
        await self._folder.child(spec).run()

    async def failure(self) -> None:
        """Wait for as long as all goes well; raises the ChildFailed of a hopeless child."""
        await asyncio.shield(self._failure)

    async def drain(self) -> None:
        """Stop everything, the highest stage first; within 15 s nothing is left."""
        await self._let_go()
        clock = asyncio.get_running_loop().time
        begun = clock()
        for stage, children in groupby(self.running, key=lambda c: c.spec.stage):
            left = begun + self._drain_seconds[stage] - clock()
            await asyncio.gather(*(self._stop(child, left) for child in children))

    async def kill(self) -> None:
        """End everything at once."""
        await self._let_go()
        await asyncio.gather(*(child.crash() for child in self.running))

    async def _start(self, child: Child) -> None:
        await child.start()
        self._keep(self._tend(child), name=f"tend {child.name}")

    async def _tend(self, child: Child) -> None:
        clock = asyncio.get_running_loop().time
        pauses = self._restarts.pauses_seconds
        crashes, started = 0, clock()
        problem = f"{child.name} {told(await child.exited())}"
        while True:
            if clock() - started >= self._restarts.steady_seconds:
                crashes = 0
            if crashes == len(pauses):
                often = f"{crashes + 1} crashes in a row, the last: {problem}"
                raise child.failed(f"{child.name} keeps crashing: {often}")
            self._say(f"{problem}; starting it again in {pauses[crashes]:g} s")
            await asyncio.sleep(pauses[crashes])
            crashes += 1
            started = clock()
            try:
                await child.start()
            except ChildFailed as error:
                problem = error.args[0]
            else:
                self._say(f"{child.name} is back (pid {child.pid})")
                problem = f"{child.name} {told(await child.exited())}"

    async def _stop(self, child: Child, timeout_seconds: float) -> None:
        if child.pid is not None and not await child.stop(max(timeout_seconds, 0.1)):
            self._say(f"{child.name} did not stop in time and was killed")

    async def _trim_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_SECONDS)
            for child in self._children:
                await asyncio.to_thread(logs.trim, child.log)

    def _keep(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._failure.done():
            return
        if error := task.exception():
            self._failure.set_exception(error)
            self._failure.exception()  # whoever waits still sees it; nobody may be waiting

    async def _let_go(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
