"""The audit finds what it is there for: each test breaks one thing in a sound set of records."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.chaos.audit import Findings, audit
from tests.acceptance.chaos.faults import Kind, Struck
from tests.acceptance.chaos.load import Book, Wish
from tests.acceptance.chaos.records import Event, Receipt, Records, Row

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def delivered_row() -> Row:
    return Row("a", "one", None, "delivered", 4, 1, None)


def sound() -> tuple[Book, Records]:
    """Return one notification that was promised, sent once and delivered."""
    book = Book(
        wishes={"one": Wish(content="one", outcome="delivered", body={})},
        promised={"a": "one"},
    )
    trace = [
        Event(at(0), 1, "created", {}),
        Event(at(0), 2, "queued", {}),
        Event(at(1), 3, "processing", {"dispatcher": "dispatcher-1/x"}),
        Event(at(2), 4, "delivered", {}),
    ]
    records = Records(
        rows={"a": delivered_row()},
        traces={"a": trace},
        receipts={"a": [Receipt(at(1.5), "one", True)]},
        dead_letters=[],
        on_dlq=[],
    )
    return book, records


def test_a_sound_run_has_no_problems() -> None:
    findings = audit(*sound(), struck=[])

    assert findings == Findings(accepted=1, delivered=1)


def lose_row(_: Book, records: Records) -> None:
    del records.rows["a"], records.traces["a"], records.receipts["a"]


def leave_unfinished(_: Book, records: Records) -> None:
    records.rows["a"] = delivered_row()._replace(status="processing", sequence=3)
    records.traces["a"].pop()


def fail(_: Book, records: Records) -> None:
    records.rows["a"] = delivered_row()._replace(status="failed")
    records.traces["a"][-1] = Event(at(2), 4, "failed", {})


def send_nothing(_: Book, records: Records) -> None:
    records.receipts.clear()


def send_another_body(_: Book, records: Records) -> None:
    records.receipts["a"] = [Receipt(at(1.5), "two", True)]


def send_a_stranger(_: Book, records: Records) -> None:
    records.receipts["b"] = [Receipt(at(1.5), "one", True)]


def store_twice(_: Book, records: Records) -> None:
    records.rows["b"] = delivered_row()._replace(id="b")
    records.traces["b"] = records.traces["a"]
    records.receipts["b"] = records.receipts["a"]


def lose_an_event(_: Book, records: Records) -> None:
    del records.traces["a"][1]


def turn_back_time(_: Book, records: Records) -> None:
    records.traces["a"][3] = records.traces["a"][3]._replace(at=at(0.5))


def move_illegally(_: Book, records: Records) -> None:
    records.traces["a"][2] = records.traces["a"][2]._replace(name="cancelled")


def bury_the_living(_: Book, records: Records) -> None:
    records.on_dlq.append("a")


def lose_a_member(book: Book, _: Records) -> None:
    book.batches["batch"] = ["one"]


def store_a_part(_: Book, records: Records) -> None:
    records.rows["a"] = delivered_row()._replace(batch_id="batch")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lose_row, "not there"),
        (leave_unfinished, "still processing"),
        (fail, "expected delivered"),
        (send_nothing, "no receipt"),
        (send_another_body, "another body"),
        (send_a_stranger, "not in the ledger"),
        (store_twice, "is 2 notifications"),
        (lose_an_event, "gaps"),
        (turn_back_time, "times decrease"),
        (move_illegally, "illegal move"),
        (bury_the_living, "on the DLQ"),
        (lose_a_member, "1 members missing"),
        (store_a_part, "1 members stored"),
    ],
)
def test_damage_is_found(damage: Callable[[Book, Records], None], words: str) -> None:
    book, records = sound()
    damage(book, records)

    findings = audit(book, records, struck=[])

    assert any(words in problem for problem in findings.problems)


def accept_again(records: Records, duplicate_of: str, content: str = "one") -> None:
    """Add one more notification, which was cancelled in favour of another."""
    records.rows["b"] = Row("b", content, None, "cancelled", 3, 0, None)
    records.traces["b"] = [
        Event(at(3), 1, "created", {}),
        Event(at(4), 2, "queued", {}),
        Event(at(4), 3, "cancelled", {"duplicate_of": duplicate_of}),
    ]


def test_what_was_called_back_for_another_of_its_key_is_no_second_one() -> None:
    book, records = sound()
    accept_again(records, "a")
    book.promised["b"] = "one"

    findings = audit(book, records, struck=[])

    assert not findings.problems
    assert findings.set_aside == 1


@pytest.mark.parametrize(("duplicate_of", "content"), [("c", "one"), ("a", "two")])
def test_nothing_is_called_back_for_another_that_is_not_there(
    duplicate_of: str, content: str
) -> None:
    book, records = sound()
    accept_again(records, duplicate_of, content)

    assert audit(book, records, struck=[]).problems


def taken_over() -> tuple[Book, Records]:
    """Return a notification that a second dispatcher sent again."""
    book, records = sound()
    records.rows["a"] = delivered_row()._replace(sequence=5, attempts=2)
    again = Event(at(20), 4, "processing", {"dispatcher": "dispatcher-2/y"})
    records.traces["a"][3:] = [again, Event(at(21), 5, "delivered", {})]
    records.receipts["a"].append(Receipt(at(20.5), "one", True))
    return book, records


def struck(target: str, seconds: float) -> Struck:
    return Struck(kind=Kind.KILL, target=target, began=at(seconds), ended=at(seconds))


def test_a_duplicate_is_explained_by_a_fault_of_its_own_dispatcher() -> None:
    findings = audit(*taken_over(), struck=[struck("dispatcher-1", 1.7)])

    assert not findings.problems
    assert findings.duplicates == {"under way at a kill -9 of its dispatcher": 1}


def postgres_away(seconds: float) -> Struck:
    return Struck(
        kind=Kind.FREEZE, target="postgres", began=at(1.7), ended=at(1.7 + seconds)
    )


def test_a_duplicate_is_explained_by_an_outage_longer_than_a_lease() -> None:
    findings = audit(*taken_over(), struck=[postgres_away(18)])

    assert not findings.problems
    assert findings.duplicates == {"under way while Postgres was away for a lease": 1}


def test_a_duplicate_is_not_explained_by_a_short_outage() -> None:
    findings = audit(*taken_over(), struck=[postgres_away(5)])

    assert findings.duplicates == {"unexplained": 1}


def retried(code: str) -> tuple[Book, Records]:
    """Return a notification that was sent again after an answer, or none, of the provider."""
    book, records = sound()
    records.rows["a"] = delivered_row()._replace(sequence=6, attempts=2)
    records.traces["a"][3:] = [
        Event(at(3), 4, "retrying", {"code": code}),
        Event(at(20), 5, "processing", {"dispatcher": "dispatcher-2/y"}),
        Event(at(21), 6, "delivered", {}),
    ]
    records.receipts["a"].append(Receipt(at(20.5), "one", True))
    return book, records


def test_a_duplicate_is_explained_by_an_answer_that_came_too_late() -> None:
    findings = audit(*retried("timeout"), struck=[])

    assert not findings.problems
    assert findings.duplicates == {"answered later than its dispatcher waits": 1}


def test_a_duplicate_is_not_explained_by_an_answer_that_came() -> None:
    findings = audit(*retried("500"), struck=[])

    assert findings.duplicates == {"unexplained": 1}


def test_a_claim_may_run_a_moment_after_its_sender_was_killed() -> None:
    findings = audit(*taken_over(), struck=[struck("dispatcher-1", 0.2)])

    assert not findings.problems


def test_a_kill_explains_nothing_of_a_process_that_went_on() -> None:
    book, records = taken_over()
    records.traces["b"] = [
        Event(at(30), 3, "processing", {"dispatcher": "dispatcher-1/x"})
    ]

    findings = audit(book, records, struck=[struck("dispatcher-1", 0.2)])

    assert findings.duplicates == {"unexplained": 1}


@pytest.mark.parametrize(
    "elsewhere", [struck("dispatcher-3", 1.7), struck("dispatcher-1", 25)]
)
def test_a_duplicate_is_not_explained_by_another_fault(elsewhere: Struck) -> None:
    findings = audit(*taken_over(), struck=[elsewhere])

    assert findings.duplicates == {"unexplained": 1}
    assert any("without a reason" in problem for problem in findings.problems)
