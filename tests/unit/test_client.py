import asyncio
from collections.abc import Awaitable, Callable

import pytest

from contracts.problems import FieldError, Problem, ProblemType
from ops import client
from ops.client import GatewayError, Refused, Unreachable, patience, patiently

Waits = list[tuple[GatewayError, float]]


def refused(
    kind: ProblemType, retry_after: float | None = None, *errors: FieldError
) -> Refused:
    problem = Problem(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        detail="so it is",
        instance="/",
        correlation_id="c-1",
        errors=list(errors),
    )
    return Refused(problem, retry_after)


def answers(*results: str | GatewayError) -> Callable[[], Awaitable[str]]:
    """Make a request that comes to each of these in turn."""
    left = iter(results)

    async def ask() -> str:
        result = next(left)
        if isinstance(result, GatewayError):
            raise result
        return result

    return ask


async def ask(
    request: Callable[[], Awaitable[str]],
    waits: Waits | None = None,
    *,
    at_most_seconds: float = 10,
    stopping: asyncio.Event | None = None,
) -> str:
    told: Waits = [] if waits is None else waits
    return await patiently(
        request,
        at_most_seconds=at_most_seconds,
        waiting=lambda error, pause: told.append((error, pause)),
        stopping=stopping or asyncio.Event(),
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE_SECONDS", 0.001)


@pytest.mark.parametrize("kind", [ProblemType.RATE_LIMITED, ProblemType.OVERLOADED])
async def test_a_refusal_that_passes_is_asked_again_when_the_gateway_says(
    kind: ProblemType,
) -> None:
    waits: Waits = []
    error = refused(kind, 0.01)

    assert await ask(answers(error, error, "yes"), waits) == "yes"
    assert waits == [(error, 0.01), (error, 0.01)]


async def test_a_key_in_flight_is_asked_again() -> None:
    error = refused(ProblemType.IDEMPOTENCY_IN_PROGRESS, 0.01)

    assert await ask(answers(error, "yes")) == "yes"


@pytest.mark.usefixtures("quick")
async def test_pauses_grow_where_the_gateway_names_none() -> None:
    waits: Waits = []
    lost = Unreachable("gone")

    assert await ask(answers(lost, lost, lost, "yes"), waits) == "yes"
    assert [pause for _, pause in waits] == [0.001, 0.002, 0.004]


@pytest.mark.parametrize(
    "kind",
    [
        ProblemType.INVALID_RECIPIENT,
        ProblemType.UNAUTHORIZED,
        ProblemType.IDEMPOTENCY_KEY_MISMATCH,
        ProblemType.PAYLOAD_TOO_LARGE,
        ProblemType.INTERNAL,
    ],
)
async def test_a_refusal_for_good_is_not_asked_again(kind: ProblemType) -> None:
    with pytest.raises(Refused):
        await ask(answers(refused(kind), "never asked"))


async def test_a_wait_beyond_all_patience_is_not_begun() -> None:
    waits: Waits = []

    with pytest.raises(Refused):
        await ask(answers(refused(ProblemType.RATE_LIMITED, 60)), waits)
    assert waits == []


@pytest.mark.usefixtures("quick")
async def test_patience_ends_with_the_last_error() -> None:
    lost = [Unreachable(str(n)) for n in range(100)]

    with pytest.raises(Unreachable):
        await ask(answers(*lost), at_most_seconds=0.05)


async def test_being_told_to_stop_ends_a_wait() -> None:
    stopping = asyncio.Event()

    def stop(_error: GatewayError, _pause: float) -> None:
        stopping.set()

    async with asyncio.timeout(5):
        with pytest.raises(Refused):
            await patiently(
                answers(refused(ProblemType.RATE_LIMITED, 60)),
                at_most_seconds=100,
                waiting=stop,
                stopping=stopping,
            )


def test_a_problem_is_one_sentence_with_its_pointer() -> None:
    error = refused(
        ProblemType.INVALID_RECIPIENT, None, FieldError("/recipient", "so it is")
    )

    assert str(error) == "so it is at /recipient (400 invalid-recipient)"


def test_several_fields_are_told_each_with_its_reason() -> None:
    fields = [FieldError(f"/notifications/{n}/to", f"no {n}") for n in range(7)]

    said = str(refused(ProblemType.INVALID_RECIPIENT, None, *fields))
    assert said.startswith("so it is at /notifications/0/to: no 0; /notifications/1/to")
    assert said.endswith("; 2 more (400 invalid-recipient)")


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("http://127.0.0.1:8080", True),
        ("https://tocsin.example.com/", True),
        ("127.0.0.1:8080", False),
        ("nats://127.0.0.1", False),
        ("http://", False),
    ],
)
def test_the_address_of_a_gateway(text: str, right: bool) -> None:
    assert client.is_address(text) == right


def test_a_moment_needs_its_offset() -> None:
    assert client.moment("2031-01-01T09:00:00+01:00").hour == 9
    for text in ("2031-01-01T09:00:00", "tomorrow", "2031-01-01"):
        with pytest.raises(ValueError, match="offset"):
            client.moment(text)
