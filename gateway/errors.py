"""What the gateway says no to.

Refusal                  answered with a problem
├── IntakeFull           too much waits to be committed
├── KeyInFlight          the same idempotency key is being committed right now
├── RateLimited          the caller has used up what it may
├── LedgerAway           not known to be committed, so not accepted
├── SpoolFull            the ledger is away, and so much was accepted that nothing more fits
├── TooLargeToSpool      the ledger is away, and this is more than the spool keeps in one piece
├── InSpool              accepted, and not in the ledger yet
└── SubmissionFailed     the ledger refused this submission and no other
ClientGone               the client left; nobody waits for an answer
"""

import math
from collections.abc import Sequence

from contracts.problems import FieldError, ProblemType


class Refusal(Exception):
    """A request that is answered with a problem."""

    def __init__(
        self,
        problem: ProblemType,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after_seconds: int | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.errors = list(errors)
        self.retry_after_seconds = retry_after_seconds
        self.headers = list(headers)

    @classmethod
    def of_field(cls, problem: ProblemType, pointer: str, detail: str) -> "Refusal":
        """Refuse for one field, which ``pointer`` (RFC 6901) names."""
        return cls(problem, detail, errors=[FieldError(pointer, detail)])

    @classmethod
    def of_parameter(
        cls, name: str, detail: str, problem: ProblemType = ProblemType.BAD_REQUEST
    ) -> "Refusal":
        """Refuse for one parameter of a query, named as a field would be."""
        return cls.of_field(problem, f"/{name}", detail)


class IntakeFull(Refusal):
    """Too much waits to be committed."""

    def __init__(self) -> None:
        super().__init__(
            ProblemType.OVERLOADED,
            "more is waiting to be stored than the gateway takes; try again",
            retry_after_seconds=1,
        )


class KeyInFlight(Refusal):
    """The same idempotency key is being committed right now."""

    def __init__(self) -> None:
        super().__init__(
            ProblemType.IDEMPOTENCY_IN_PROGRESS,
            "a request with this Idempotency-Key is still in progress",
            retry_after_seconds=1,
        )


class RateLimited(Refusal):
    """The caller has used up what it may; in ``wait_seconds`` there is enough again."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__(
            ProblemType.RATE_LIMITED,
            "the rate limit is used up; try again later",
            retry_after_seconds=max(1, math.ceil(wait_seconds)),
        )


class LedgerAway(Refusal):
    """Not known to be committed, so not accepted; the same request may be sent again."""

    def __init__(self) -> None:
        super().__init__(
            ProblemType.DEPENDENCY_UNAVAILABLE,
            "the ledger is not available; nothing was promised, try again",
            retry_after_seconds=1,
        )


class SpoolFull(Refusal):
    """The ledger is away, and so much was accepted that nothing more fits."""

    def __init__(self) -> None:
        super().__init__(
            ProblemType.OVERLOADED,
            "the ledger is not available and the spool is full; nothing was promised",
            retry_after_seconds=10,
        )


class TooLargeToSpool(Refusal):
    """The ledger is away, and this is more than the spool keeps in one piece."""

    def __init__(self) -> None:
        super().__init__(
            ProblemType.DEPENDENCY_UNAVAILABLE,
            "the ledger is not available and this batch is too large to be kept until it "
            "is; send it in smaller ones, or try again",
            retry_after_seconds=10,
        )


class InSpool(Refusal):
    """Accepted, and not in the ledger yet: nothing more is known of it."""

    def __init__(self) -> None:
        super().__init__(
            ProblemType.DEPENDENCY_UNAVAILABLE,
            "this was accepted while the ledger was away and is on its way there; try again",
            retry_after_seconds=2,
        )


class SubmissionFailed(Refusal):
    """The ledger refused this submission and no other; the log says why."""

    def __init__(self) -> None:
        super().__init__(ProblemType.INTERNAL, "the request could not be completed")


class ClientGone(Exception):
    """The client left before its request was read; nobody waits for an answer."""
