"""What every request passes on its way to a handler, whichever server it came through."""

import re
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from contracts.ids import new_id
from contracts.problems import Problem, ProblemType
from gateway.auth import Authenticate
from gateway.errors import ClientGone, LedgerAway, Refusal
from gateway.metrics import Metrics
from gateway.routing import PROBLEM_JSON, Answer, Call, Route, RouteName
from gateway.store import UNAVAILABLE

log = structlog.stdlib.get_logger()

CORRELATION_HEADER = b"x-correlation-id"

_VISIBLE = re.compile(rb"[!-~]{1,128}")

_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]

_encode = msgspec.json.Encoder().encode


def open_call(
    method: str,
    path: str,
    headers: dict[bytes, bytes],
    read: Callable[[int], Awaitable[bytes]],
) -> Call:
    """Make a call of a request, with the correlation id it was sent or one of its own."""
    sent = headers.get(CORRELATION_HEADER, b"")
    correlation_id = sent.decode() if _VISIBLE.fullmatch(sent) else str(new_id())
    return Call(method, path, headers, read, correlation_id)


def response_headers(call: Call, answer: Answer) -> list[tuple[bytes, bytes]]:
    """Return every header of a response."""
    correlation_id = answer.correlation_id or call.correlation_id
    return [
        (b"content-type", answer.content_type),
        *_content_length(answer),
        (CORRELATION_HEADER, correlation_id.encode()),
        *answer.headers,
        *_SECURITY_HEADERS,
    ]


def _content_length(answer: Answer) -> list[tuple[bytes, bytes]]:
    if answer.stream is not None:
        return []
    return [(b"content-length", b"%d" % len(answer.body))]


class Door:
    """Authenticates, admits, and turns whatever goes wrong into a problem."""

    def __init__(self, authenticate: Authenticate, metrics: Metrics) -> None:
        self._authenticate = authenticate
        self._metrics = metrics

    async def answer(self, route: Route, call: Call, **words: str) -> Answer:
        """Answer a call. Raises only ``ClientGone`` and cancellation."""
        started = time.perf_counter()
        try:
            if route.permission is not None:
                authorization = call.headers.get(b"authorization")
                call.principal = await self._authenticate(authorization)
                call.principal.must(route.permission)
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

    def turn_away(self, call: Call, refusal: Refusal) -> Answer:
        """Answer a call that no route takes."""
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
