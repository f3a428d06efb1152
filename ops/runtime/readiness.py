"""Whether a service can do its work: what it depends on, asked for real."""

import asyncio
import time
from collections.abc import Awaitable, Callable

Check = Callable[[], Awaitable[object]]

#: A burst of probes asks the servers once in this time.
_REMEMBERED_SECONDS = 0.5
_AT_MOST_SECONDS = 2.0


class Readiness:
    """The dependencies of one service. Optional ones are reported and do not count."""

    def __init__(self) -> None:
        self._checks: dict[str, tuple[Check, bool]] = {}
        self._answers: dict[str, str] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    def depends_on(self, name: str, check: Check, *, required: bool = True) -> None:
        """Add a check that raises while the dependency is away."""
        self._checks[name] = (check, required)

    async def ask(self) -> dict[str, str]:
        """Return "ok", or what is wrong in a few words, for each dependency."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= _REMEMBERED_SECONDS:
                checks = dict(self._checks)  # another may be added meanwhile
                answers = await asyncio.gather(
                    *(_ask_one(check) for check, _ in checks.values())
                )
                self._answers = dict(zip(checks, answers, strict=True))
                self._asked_at = time.monotonic()
        return dict(self._answers)

    async def missing(self) -> list[str]:
        """Return the names of the required dependencies that are away."""
        answers = await self.ask()
        return [
            name
            for name, (_, required) in self._checks.items()
            if required and answers.get(name) != "ok"
        ]


async def _ask_one(check: Check) -> str:
    try:
        async with asyncio.timeout(_AT_MOST_SECONDS):
            await check()
    except TimeoutError:
        return "no answer"
    except Exception as error:  # noqa: BLE001 (whatever a check raises is the answer)
        return type(error).__name__
    return "ok"
