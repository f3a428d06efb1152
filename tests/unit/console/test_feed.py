from hypothesis import given, strategies as st

from console.model import Model
from console.model.feed import FOLD_AFTER, Feed
from console.model.mesh import FEED_LINES
from console.model.views import FeedLine, Tone
from contracts.lifecycle import Status
from contracts.outcomes import FailureClass
from tests.unit.console.world import NOON, changed, notification_id


def line(serial: int, at: float = NOON) -> FeedLine:
    return FeedLine(serial=serial, at=at, tone=Tone.PLAIN, what="delivered")


def test_a_flood_of_the_same_is_counted_on_one_line():
    feed = Feed(100)
    for serial in range(412):
        feed.add(NOON + serial / 1000, line(serial), "same")

    assert len(feed.lines) == FOLD_AFTER
    assert feed.lines[-1].similar == 412 - FOLD_AFTER


def test_the_next_second_starts_a_new_line():
    feed = Feed(100)
    for serial in range(10):
        feed.add(NOON, line(serial), "same")
    feed.add(NOON + 1.0, line(99), "same")

    assert feed.lines[-1].serial == 99


def test_different_things_do_not_fold():
    feed = Feed(100)
    for serial in range(50):
        feed.add(NOON, line(serial), serial % 10)

    assert len(feed.lines) == 10 * FOLD_AFTER


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 3)), max_size=300))
def test_every_event_is_a_line_or_counted_on_one(events):
    feed = Feed(10_000)
    for serial, (offset, kind) in enumerate(sorted(events)):
        feed.add(NOON + offset, line(serial), kind)

    assert len(events) == sum(1 + shown.similar for shown in feed.lines)


def test_the_feed_is_bounded():
    model = Model()
    for number in range(3 * FEED_LINES):
        model.apply(changed(NOON + number, number), NOON + number)

    lines = model.snapshot(NOON).feed

    assert len(lines) == FEED_LINES
    assert str(notification_id(3 * FEED_LINES - 1)) == lines[-1].subject


def test_only_what_is_out_of_the_ordinary_is_notable():
    model = Model()
    model.apply(changed(NOON, 1), NOON)
    model.apply(changed(NOON, 2, status=Status.PROCESSING), NOON)
    model.apply(
        changed(
            NOON,
            3,
            status=Status.FAILED,
            failure_class=FailureClass.PERMANENT,
            attempts=5,
        ),
        NOON,
    )

    snapshot = model.snapshot(NOON)

    assert [n.what for n in snapshot.feed] == ["delivered", "processing", "failed"]
    assert [n.what for n in snapshot.notable] == ["failed"]
    assert snapshot.notable[0].words == "permanent  attempt 5  webhook"
    assert snapshot.notable[0].tone is Tone.BAD


def test_each_feed_counts_its_own_similar_lines():
    model = Model()
    for number in range(10):
        event = changed(
            NOON, number, status=Status.RETRYING, failure_class=FailureClass.TRANSIENT
        )
        model.apply(event, NOON)

    snapshot = model.snapshot(NOON)

    assert snapshot.feed[-1].similar == snapshot.notable[-1].similar == 7
