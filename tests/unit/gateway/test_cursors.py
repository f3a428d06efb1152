from hypothesis import given, strategies as st

from contracts.ids import new_id
from gateway.live.cursors import BatchCursor, NotificationCursor
from tests.unit.gateway.test_watches import news

IDS = [new_id() for _ in range(5)]
FAR = dict.fromkeys(IDS, 1_000)


@given(st.lists(st.tuples(st.sampled_from(IDS), st.integers(2, 63)), max_size=20))
def test_an_event_id_of_a_batch_says_what_was_told_of_each_member(
    told: list[tuple[object, int]],
) -> None:
    cursor = BatchCursor(IDS)
    event_id = "0" * len(IDS)
    for id_, sequence in told:
        event_id = cursor.advance(news(sequence, id_))  # type: ignore[arg-type]

    assert BatchCursor(IDS).read(event_id, FAR) == dict(told)


def test_a_resumed_cursor_goes_on_where_the_other_stopped() -> None:
    resumed = BatchCursor(IDS)
    resumed.read("23450", FAR)

    assert resumed.advance(news(7, IDS[1])) == "27450"


def test_a_sequence_past_the_last_digit_may_be_told_twice_but_is_never_missed() -> None:
    cursor = BatchCursor(IDS)

    assert cursor.read(cursor.advance(news(500, IDS[0])), FAR) == {IDS[0]: 63}


@given(st.text())
def test_what_is_no_event_id_of_ours_is_none(text: str) -> None:
    for cursor in (NotificationCursor(IDS[0]), BatchCursor(IDS)):
        after = cursor.read(text, FAR)
        assert after is None or all(sequence >= 0 for sequence in after.values())


def test_an_event_id_of_a_notification_is_its_sequence() -> None:
    cursor = NotificationCursor(IDS[0])

    assert cursor.read(cursor.advance(news(12, IDS[0])), FAR) == {IDS[0]: 12}


def test_what_tells_of_a_change_that_has_not_been_is_none_of_ours() -> None:
    here = dict.fromkeys(IDS, 4)

    assert NotificationCursor(IDS[0]).read("5r", here) is None
    assert BatchCursor(IDS).read("44445", here) is None
    assert NotificationCursor(IDS[0]).read("4r", here) == {IDS[0]: 4}
    assert BatchCursor(IDS).read("44444", here) == here
