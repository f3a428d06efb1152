"""What becomes of what operators do: nothing is done until the mesh says so."""

from uuid import UUID

import msgspec
import pytest

from console.model.actions import ActionLog
from console.model.views import ActionState
from contracts.ids import new_id
from contracts.oversight import AuditEntry, Effect
from tests.unit.console.world import NOON, acted, moment


def entry(id_: UUID, **changes: object) -> AuditEntry:
    said = acted(id=id_)
    values = {**msgspec.structs.asdict(said), "effect": Effect.DONE, **changes}
    return msgspec.convert(values, AuditEntry)


@pytest.fixture
def log() -> ActionLog:
    return ActionLog()


def states(log: ActionLog) -> list[ActionState]:
    return [view.state for view in log.views()]


def test_an_accepted_change_is_pending_until_it_is_told_of(log: ActionLog):
    serial = log.begin(NOON, "lane.paused", "sms.low", "ann", "why")
    id_ = new_id()
    log.accepted(serial, entry(id_))
    assert states(log) == [ActionState.PENDING]

    log.heard(acted(id=new_id(), target="sms.high"))
    assert states(log) == [ActionState.PENDING, ActionState.DONE]

    log.heard(acted(id=id_))
    assert states(log) == [ActionState.DONE, ActionState.DONE]


def test_news_that_comes_before_the_answer_makes_no_second_entry(log: ActionLog):
    """The bus may be quicker than HTTP."""
    serial = log.begin(NOON, "lane.paused", "sms.low", "ann", "why")
    id_ = new_id()
    log.heard(acted(id=id_))
    log.accepted(serial, entry(id_))

    assert states(log) == [ActionState.DONE]


def test_an_entry_without_effect_has_failed(log: ActionLog):
    serial = log.begin(NOON, "lane.paused", "sms.low", "ann", "why")
    log.accepted(serial, entry(new_id(), effect=Effect.FAILED))

    assert states(log) == [ActionState.FAILED]


def test_a_lost_answer_is_found_in_the_audit(log: ActionLog):
    serial = log.begin(NOON, "lane.paused", "sms.low", "ann", "why")
    log.lost(serial, "no answer")
    assert states(log) == [ActionState.UNKNOWN]

    log.remember([entry(new_id())])
    assert states(log) == [ActionState.DONE]


def test_the_audit_adds_what_was_done_before_once(log: ActionLog):
    before = entry(new_id(), at=moment(NOON - 600), who="bob")
    log.heard(acted(id=new_id(), target="email"))
    for _ in range(2):
        log.remember([before])

    assert [view.who for view in log.views()] == ["bob", "ann"]


def test_an_operation_is_done_when_it_is_over_not_when_it_is_begun(log: ActionLog):
    serial = log.begin(NOON, "letters.replayed", "sms/permanent", "ann", "why")
    operation = new_id()
    log.awaits(serial, str(operation), operation)
    log.heard(acted(id=new_id(), action="letters.replayed", target=str(operation)))
    assert states(log) == [ActionState.PENDING]
    assert log.operations() == {operation}

    log.progress(operation, "97 of 97", ActionState.DONE)
    assert states(log) == [ActionState.DONE]
    assert log.operations() == set()
    [view] = log.views()
    assert (view.operation, view.words, view.running) == (operation, "97 of 97", False)


def test_a_stopped_operation_is_not_done(log: ActionLog):
    serial = log.begin(NOON, "letters.replayed", "sms/permanent", "ann", "why")
    operation = new_id()
    log.awaits(serial, str(operation), operation)
    log.progress(operation, "12 of 97", ActionState.STOPPED)

    assert states(log) == [ActionState.STOPPED]


def test_what_another_does_at_the_same_time_stays_theirs(log: ActionLog):
    log.begin(NOON, "lane.paused", "sms.low", "ann", "why")
    log.heard(acted(who="bob"))

    assert [(view.who, view.state) for view in log.views()] == [
        ("ann", ActionState.PENDING),
        ("bob", ActionState.DONE),
    ]


def test_an_operation_told_of_before_its_answer_has_one_entry(log: ActionLog):
    serial = log.begin(NOON, "letters.replayed", "sms/permanent", "ann", "why")
    operation = new_id()
    log.heard(acted(action="letters.replayed", target=str(operation)))
    log.awaits(serial, str(operation), operation)

    assert states(log) == [ActionState.PENDING]


def test_a_cancel_told_of_before_its_answer_is_done(log: ActionLog):
    id_ = str(new_id())
    serial = log.begin(NOON, "notification.cancelled", id_, "ann", "why")
    log.heard(acted(action="notification.cancelled", target=id_))
    log.awaits(serial, id_)

    assert states(log) == [ActionState.DONE]


def test_the_operation_of_another_is_begun_and_goes_on_until_it_is_known_to_be_over(
    log: ActionLog,
):
    operation = new_id()
    log.heard(acted(action="letters.replayed", target=str(operation), who="bob"))
    [view] = log.views()
    assert (view.words, view.running) == ("begun", True)

    log.progress(operation, "12 of 97")
    assert states(log) == [ActionState.PENDING]
    log.forget(operation)
    [view] = log.views()
    assert (view.state, view.running) == (ActionState.DONE, False)


def test_an_operation_that_ended_before_it_was_told_of_has_one_entry(log: ActionLog):
    serial = log.begin(NOON, "letters.replayed", "sms/permanent", "ann", "why")
    operation = new_id()
    log.awaits(serial, str(operation), operation)
    log.progress(operation, "12 of 97", ActionState.STOPPED)
    log.heard(acted(action="letters.replayed", target=str(operation)))

    assert states(log) == [ActionState.STOPPED]
