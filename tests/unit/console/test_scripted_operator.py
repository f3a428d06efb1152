from uuid import UUID

import pytest

from console.operator import Refused, Unreachable
from console.operator.scripted import ScriptedOperator
from contracts.breakers import BreakerCondition
from contracts.channels import Channel
from contracts.controls import BreakerOrder
from contracts.operations import LetterFilter, OperationState
from tests.unit.console.operator_conformance import (
    Office,
    OperatorConformance,
    OversightConformance,
)
from tests.unit.console.people import letter, notification, queued_trace


@pytest.fixture
def operator() -> ScriptedOperator:
    return ScriptedOperator()


class TestScriptedOperator(OperatorConformance, OversightConformance):
    @pytest.fixture
    def office(self, operator: ScriptedOperator) -> Office:
        async def queue(number: int) -> list[UUID]:
            made = [notification() for _ in range(number)]
            for one in made:
                operator.add(one, queued_trace())
            return [one.id for one in made]

        async def fail(number: int, channel: Channel) -> list[UUID]:
            letters = [letter(channel=channel) for _ in range(number)]
            operator.bury(*letters)
            return [one.notification_id for one in letters]

        return Office(operator=operator, queue=queue, fail=fail)


async def test_away_nobody_answers(operator: ScriptedOperator):
    operator.away = True
    for ask in (
        operator.reach(),
        operator.letter_groups(LetterFilter()),
        operator.discard(LetterFilter(), reason="x"),
    ):
        with pytest.raises(Unreachable):
            await ask


async def test_an_operation_is_running_until_it_is_finished(
    operator: ScriptedOperator,
):
    operator.bury(letter(), letter())
    begun = await operator.replay(LetterFilter(), reason="x", rate_per_second=5)
    operator.finish(begun.id, refused=1)
    over = await operator.operation(begun.id)

    assert (over.state, over.done, over.refused) == (OperationState.FINISHED, 1, 1)


async def test_what_was_done_can_be_announced(operator: ScriptedOperator):
    kept = notification()
    operator.add(kept, queued_trace())
    await operator.cancel(kept.id, "sent twice")
    [acted] = operator.acted
    [entry] = (await operator.audit()).items

    assert (acted.id, acted.target, acted.who) == (entry.id, str(kept.id), "ann")


async def test_a_breaker_is_ordered(operator: ScriptedOperator):
    operator.carry("acme")
    await operator.order_breaker("acme", BreakerOrder.OPEN, "they are down")
    [acme] = await operator.breakers()
    assert (acme.breaker, acme.forced) == (BreakerCondition.OPEN, True)
    assert acme.override is not None
    assert acme.override.by == "ann"

    await operator.order_breaker("acme", BreakerOrder.RESET, "they are back")
    [acme] = await operator.breakers()
    assert (acme.breaker, acme.forced) == (BreakerCondition.CLOSED, False)
    with pytest.raises(Refused):
        await operator.order_breaker("nobody", BreakerOrder.OPEN, "x")
