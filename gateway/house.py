"""The tenant whose operators look after the whole mesh."""

from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec

from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.routing import Answer, Call

_Words = ParamSpec("_Words")
_Handler = Callable[Concatenate[Call, _Words], Awaitable[Answer]]


class House:
    """Lets keys of one tenant in, where what is seen and changed is everybody's."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant

    def owns(self, call: Call) -> bool:
        """Say whether a caller is of the house."""
        return call.principal.tenant == self._tenant

    def only(self, handler: "_Handler[_Words]") -> "_Handler[_Words]":
        """Return the same handler, which answers to the house alone."""

        async def guarded(
            call: Call, /, *words: _Words.args, **named: _Words.kwargs
        ) -> Answer:
            if not self.owns(call):
                raise Refusal(
                    ProblemType.FORBIDDEN,
                    f"the mesh is looked after with keys of the tenant {self._tenant}",
                )
            return await handler(call, *words, **named)

        return guarded
