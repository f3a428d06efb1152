"""Which answer a send gets: a pure decision from recipient, attempt and behaviour."""

import msgspec

from contracts.channels import Channel
from ops.sandbox.behaviour import Behaviour, Mode

SLOW_SECONDS = 3.0
RETRY_AFTER_SECONDS = 2


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as data; `status` is None when the request is never answered.

    `instead` is then what the sender gets before its connection is cut; None keeps it waiting.
    """

    name: str
    status: int | None
    message: str = ""
    retry_after_seconds: int | None = None
    delay_seconds: float = 0.0
    instead: bytes | None = None

    @property
    def label(self) -> str:
        return "none" if self.status is None else str(self.status)

    @property
    def accepts(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


ACCEPTED = Answer(name="accepted", status=202)
SLOW = Answer(name="accepted", status=202, delay_seconds=SLOW_SECONDS)
PERMANENT = Answer(
    name="permanent", status=422, message="The recipient is refused for good."
)
TRANSIENT = Answer(
    name="transient", status=503, message="The sandbox is unavailable for a moment."
)
THROTTLED = Answer(
    name="throttled",
    status=429,
    message="Too many messages; try again later.",
    retry_after_seconds=RETRY_AFTER_SECONDS,
)
SILENT = Answer(name="timeout", status=None)
RESET = Answer(name="reset", status=None, instead=b"")
GARBAGE = Answer(name="garbage", status=None, instead=b"\x00\xff 202 certainly\r\n\r\n")
MALFORMED = Answer(name="malformed", status=400)
TOO_LARGE = Answer(name="malformed", status=413)

ANSWERS = (
    *(ACCEPTED, PERMANENT, TRANSIENT, THROTTLED),
    *(SILENT, RESET, GARBAGE, MALFORMED, TOO_LARGE),
)


class Simulator(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient whose answers are always the same, counted per idempotency key."""

    number: str
    first: Answer
    later: Answer


SIMULATORS = {
    "permanent": Simulator(number="+15005550001", first=PERMANENT, later=PERMANENT),
    "flaky": Simulator(number="+15005550002", first=TRANSIENT, later=ACCEPTED),
    "transient": Simulator(number="+15005550003", first=TRANSIENT, later=TRANSIENT),
    "throttled": Simulator(number="+15005550004", first=THROTTLED, later=THROTTLED),
    "slow": Simulator(number="+15005550005", first=SLOW, later=SLOW),
}
_BY_NUMBER = {simulator.number: simulator for simulator in SIMULATORS.values()}
_BY_MODE = {
    Mode.ACCEPT: ACCEPTED,
    Mode.TRANSIENT: TRANSIENT,
    Mode.PERMANENT: PERMANENT,
    Mode.THROTTLED: THROTTLED,
    Mode.TIMEOUT: SILENT,
    Mode.RESET: RESET,
    Mode.GARBAGE: GARBAGE,
}


def find_simulator(channel: Channel, to: str) -> Simulator | None:
    """Return the simulator recipient `to` names on this channel, if it names one.

    An email may carry a plus suffix (`flaky+7@example.com`), so that a test can tell
    its recipients apart.
    """
    if channel is Channel.SMS:
        return _BY_NUMBER.get(to)
    if channel is Channel.EMAIL:
        to = to.partition("@")[0].partition("+")[0]
    return SIMULATORS.get(to)


def decide(
    *, channel: Channel, to: str, attempt: int, behaviour: Behaviour, roll: float
) -> Answer:
    """Choose the answer to the `attempt`-th send (from 1) of one idempotency key.

    A simulator recipient keeps its outcome whatever the mode, so that it stays
    repeatable. `roll` is uniform in [0, 1) and is compared with the rate.
    """
    simulator = find_simulator(channel, to)
    if simulator is not None:
        return simulator.first if attempt == 1 else simulator.later
    if behaviour.covers(channel) and roll < behaviour.rate:
        return _BY_MODE[behaviour.mode]
    return ACCEPTED
