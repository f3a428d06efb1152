"""What every request passes on its way to a handler, whichever server it came through."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import structlog

from contracts.ids import new_id
from contracts.problems import Problem, ProblemType
from gateway.allowances import Allowances
from gateway.auth import Authenticate
from gateway.errors import ClientGone, LedgerAway, RateLimited, Refusal
from gateway.metrics import Metrics
from gateway.principals import Permission
from gateway.proxies import household_of
from gateway.routing import PROBLEM_JSON, Answer, Call, Route, RouteName
from gateway.store import UNAVAILABLE

log = structlog.stdlib.get_logger()

CORRELATION_HEADER = b"x-correlation-id"

_VISIBLE = re.compile(rb"[!-~]{1,128}")

#: Those that are the same on every response come from the server.
_SECURITY_HEADERS = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]

_encode = msgspec.json.Encoder().encode


def open_call(
    method: str,
    path: str,
    headers: dict[bytes, bytes],
    read: Callable[[int], Awaitable[bytes]],
    client: tuple[str, int] | None = None,
) -> Call:
    """Make a call of a request, with the correlation id it was sent or one of its own."""
    sent = headers.get(CORRELATION_HEADER, b"")
    correlation_id = sent.decode() if _VISIBLE.fullmatch(sent) else str(new_id())
    address = client[0] if client else ""
    return Call(method, path, headers, read, correlation_id, address)


def call_headers(
    call: Call, correlation_id: str | None = None
) -> list[tuple[bytes, bytes]]:
    """Return what every response says of its call, or of the resource that is shown."""
    return [
        (CORRELATION_HEADER, (correlation_id or call.correlation_id).encode()),
        *(call.allowance.headers() if call.allowance else ()),
    ]


def response_headers(call: Call, answer: Answer) -> list[tuple[bytes, bytes]]:
    """Return every header of a response; what the answer says of itself comes first."""
    said = {name for name, _ in answer.headers}
    return [
        (b"content-type", answer.content_type),
        *_content_length(answer),
        *call_headers(call, answer.correlation_id),
        *answer.headers,
        *(header for header in _SECURITY_HEADERS if header[0] not in said),
    ]


def _content_length(answer: Answer) -> list[tuple[bytes, bytes]]:
    if answer.stream is not None:
        return []
    return [(b"content-length", b"%d" % len(answer.body))]


class Door:
    """Authenticates, admits, and turns whatever goes wrong into a problem."""

    def __init__(
        self,
        authenticate: Authenticate,
        metrics: Metrics,
        *,
        allowances: Allowances | None,
        answer_seconds: float,
    ) -> None:
        self._authenticate = authenticate
        self._metrics = metrics
        self._allowances = allowances
        self._answer_seconds = answer_seconds

    async def answer(self, route: Route, call: Call, **words: str) -> Answer:
        """Answer a call. Raises only ``ClientGone`` and cancellation."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._answer_seconds):
                self.recognize(call)
                if route.permission is not None:
                    await self._admit(call, route.permission)
                _check_correlation_id(call)
                answer = await route.handler(call, **words)
        except Refusal as refusal:
            answer = self.refuse(call, refusal)
        except ClientGone:
            raise
        except UNAVAILABLE as error:
            log.warning("ledger.not_read", error=type(error).__name__)
            answer = self.refuse(call, LedgerAway())
        except Exception as error:  # noqa: BLE001 (the last edge; fail logs it)
            answer = self.fail(call, error)
        self._metrics.request_finished(
            route.name, answer.status, time.perf_counter() - started
        )
        return answer

    def recognize(self, call: Call) -> None:
        """Find the allowance of the caller's address, which holds until its key is known."""
        if self._allowances is not None and call.client:
            call.allowance = self._allowances.of(f"address:{household_of(call.client)}")

    async def _admit(self, call: Call, permission: Permission) -> None:
        """Find out who is calling, let them pay, and see whether they may.

        Whoever cannot say who they are pays by their address, before their key is looked up.
        """
        try:
            call.principal = call.vouched or await self._authenticate(
                call.headers.get(b"authorization"), partial(call.spend, 1)
            )
        except RateLimited:
            raise
        except Refusal:
            if not call.paid:
                await call.spend(1)
            raise
        if self._allowances is not None and call.principal.key:
            call.take_back()
            call.allowance = self._allowances.of(f"key:{call.principal.key}")
        if not call.paid:
            await call.spend(1)
        call.principal.must(permission)

    async def turn_away(self, call: Call, refusal: Refusal) -> Answer:
        """Answer a call that no route takes."""
        self.recognize(call)
        try:
            await call.spend(1)
        except Refusal as limited:
            refusal = limited
        answer = self.refuse(call, refusal)
        self._metrics.request_finished(RouteName.UNMATCHED, answer.status, 0.0)
        return answer

    def refuse(self, call: Call, refusal: Refusal) -> Answer:
        """Say no, as a problem."""
        problem = refusal.problem
        self._metrics.refused(problem)
        headers = refusal.headers
        if refusal.retry_after_seconds is not None:
            headers = [*headers, (b"retry-after", b"%d" % refusal.retry_after_seconds)]
        body = _encode(
            Problem(
                type=problem.uri,
                title=problem.title,
                status=problem.status,
                detail=refusal.detail,
                instance=call.path,
                correlation_id=call.correlation_id,
                errors=refusal.errors,
            )
        )
        return Answer(problem.status, body, PROBLEM_JSON, headers)

    def fail(self, call: Call, error: Exception) -> Answer:
        """Answer for an error of our own: the log has it, the client does not."""
        log.error(
            "request.failed",
            exc_info=error,
            method=call.method,
            path=call.path,
            correlation_id=call.correlation_id,
        )
        return self.refuse(
            call, Refusal(ProblemType.INTERNAL, "the request could not be completed")
        )


def _check_correlation_id(call: Call) -> None:
    sent = call.headers.get(CORRELATION_HEADER)
    if sent and sent != call.correlation_id.encode():
        raise Refusal(
            ProblemType.BAD_REQUEST,
            "X-Correlation-ID has 1 to 128 visible ASCII characters",
        )
