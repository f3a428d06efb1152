from contracts import subjects, topology
from contracts.channels import LANES
from contracts.topology import Retention
from tests.unit.test_subjects import matches


def names() -> list[str]:
    return [stream.name for stream in topology.STREAMS]


def test_advisories_are_captured_before_any_consumer_can_cause_one() -> None:
    assert names().index("ADVISORY") < names().index("NOTIFY")
    assert topology.CONSUMERS[0] == topology.DEAD_LETTERS


def test_every_consumer_reads_a_declared_stream() -> None:
    assert {consumer.stream for consumer in topology.CONSUMERS} <= set(names())


def test_every_lane_has_one_consumer_and_no_message_has_two() -> None:
    consumers = [c for c in topology.CONSUMERS if c.stream == topology.NOTIFY.name]

    assert len({consumer.name for consumer in consumers}) == len(LANES)
    for lane in LANES:
        subject = subjects.notify(lane)
        readers = [c for c in consumers if matches(str(c.filter_subject), subject)]
        assert readers == [topology.lane_consumer(lane)]


def test_the_advisories_of_every_lane_are_captured() -> None:
    for lane in LANES:
        consumer = topology.lane_consumer(lane)
        for advisory in (subjects.MAX_DELIVERIES, subjects.MSG_TERMINATED):
            subject = f"{advisory}.{consumer.stream}.{consumer.name}"
            assert any(matches(s, subject) for s in topology.ADVISORY.subjects)


def test_notifications_are_never_dropped_to_make_room() -> None:
    assert topology.NOTIFY.discard_new
    assert topology.NOTIFY.max_age_seconds == 0
    assert topology.NOTIFY.retention is Retention.WORK_QUEUE


def test_a_window_for_duplicates_fits_in_the_age_of_its_stream() -> None:
    for stream in topology.STREAMS:
        assert (
            not stream.max_age_seconds
            or stream.duplicate_window_seconds <= stream.max_age_seconds
        )


def test_the_delivery_limit_leaves_room_for_naks() -> None:
    """Shutdowns, rate limits and short retries all count as deliveries."""
    for lane in LANES:
        assert topology.lane_consumer(lane).max_deliver >= 2 * 10


def test_changes_of_status_are_kept_for_a_day() -> None:
    assert topology.STATUS.max_age_seconds == 24 * 3600
