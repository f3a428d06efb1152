"""What an operator may do to dead letters, as changes to confirm."""

from collections.abc import Awaitable, Callable

from console.changes import Change, Choices, Number, Outcome, Preview
from console.keys import Level
from console.model.letters import Selection
from console.operator import Forecast, Letter, Operator
from contracts.operations import (
    DEFAULT_RATE_PER_SECOND,
    RATE_AT_MOST_PER_SECOND,
    OperationKind,
)
from contracts.oversight import Action

Save = Callable[[Selection], Awaitable[str]]


def replaying(chosen: Selection, filter_text: str, operator: Operator) -> Change:
    """Have letters sent again; one is asked for with yes or no, many with a dry run."""
    many = not chosen.single

    async def act(choices: Choices) -> Outcome:
        rate = DEFAULT_RATE_PER_SECOND if choices.number is None else choices.number
        return await operator.replay(
            chosen.which, reason=choices.reason, rate_per_second=rate
        )

    async def preview() -> Preview:
        forecast = await operator.forecast(OperationKind.REPLAY, chosen.which)
        count = forecast.count - sum(forecast.refused.values())
        attempts = "its attempts" if count == 1 else "their attempts"
        effect = (
            f"{_are(count)} queued again, {attempts} starting at 1{_left(forecast)}."
        )
        return Preview(
            effect=effect,
            typed=str(count),
            samples=_samples(forecast),
            nothing=count == 0,
        )

    return Change(
        action=Action.LETTERS_REPLAYED,
        title=f"Replay {_title(chosen)}",
        target=chosen.words,
        level=Level.MANY if many else Level.ONE,
        effect=f"Queued again, attempts starting at 1: {chosen.words}.",
        act=act,
        preview=preview if many else None,
        filter_text=filter_text,
        number=_RATE if many else None,
    )


def discarding(
    chosen: Selection, filter_text: str, operator: Operator, save: Save
) -> Change:
    """Have letters put away; nobody replays them after that."""

    async def act(choices: Choices) -> Outcome:
        return await operator.discard(chosen.which, reason=choices.reason)

    async def preview() -> Preview:
        forecast = await operator.forecast(OperationKind.DISCARD, chosen.which)
        return Preview(
            effect=f"{_are(forecast.count)} put away for good and cannot be replayed.",
            typed=f"discard {forecast.count}",
            samples=_samples(forecast),
            nothing=forecast.count == 0,
        )

    async def export() -> str:
        return await save(chosen)

    return Change(
        action=Action.LETTERS_DISCARDED,
        title=f"Discard {_title(chosen)}",
        target=chosen.words,
        level=Level.DESTROY,
        effect=f"Put away for good, never to be replayed: {chosen.words}.",
        act=act,
        preview=preview,
        filter_text=filter_text,
        export=export,
    )


_RATE = Number(
    label="at most per second",
    preset=DEFAULT_RATE_PER_SECOND,
    least=0.1,
    most=RATE_AT_MOST_PER_SECOND,
)


def _title(chosen: Selection) -> str:
    if chosen.single:
        return "the dead letter"
    return chosen.words if chosen.count is None else f"{chosen.count:,} dead letters"


def _are(count: int) -> str:
    return "1 is" if count == 1 else f"{count:,} are"


def _left(forecast: Forecast) -> str:
    refused = {cause: number for cause, number in forecast.refused.items() if number}
    words = ", ".join(f"{number:,} {cause}" for cause, number in refused.items())
    return f"; left as they are: {words}" if words else ""


def _samples(forecast: Forecast) -> tuple[str, ...]:
    return tuple(map(sample_of, forecast.samples))


def sample_of(letter: Letter) -> str:
    """Write a letter in a line."""
    lane = f"{letter.channel}/{letter.priority}"
    return f"{letter.notification_id}  {lane}  {letter.reason}"
