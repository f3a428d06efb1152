from datetime import UTC, datetime

from contracts.channels import Channel
from contracts.ids import new_id
from ops.sandbox.answers import ACCEPTED, TRANSIENT, Answer
from ops.sandbox.inbox import Inbox, Message


def add(
    inbox: Inbox,
    key: str | None = None,
    answer: Answer = ACCEPTED,
    *,
    to: str = "+15555550001",
    channel: Channel = Channel.SMS,
) -> Message:
    message = Message(
        id=new_id(),
        to=to,
        channel=channel,
        content="Hello",
        idempotency_key=key,
        attempt=inbox.next_attempt(key),
        answer=answer.status,
        outcome=answer.name,
        received_at=datetime.now(UTC),
    )
    inbox.add(message, answer)
    return message


def test_the_newest_message_comes_first():
    inbox = Inbox(keep=10)
    first, second = add(inbox, "a"), add(inbox, "b")

    assert inbox.find(limit=10) == [second, first]
    assert inbox.find(limit=1) == [second]


def test_filters_are_anded():
    inbox = Inbox(keep=10)
    wanted = add(inbox, "a", to="ana@example.com", channel=Channel.EMAIL)
    add(inbox, "b", to="ana@example.com", channel=Channel.PUSH)
    add(inbox, "c", to="bo@example.com", channel=Channel.EMAIL)

    found = inbox.find(limit=10, to="ana@example.com", channel=Channel.EMAIL)

    assert found == [wanted]
    assert inbox.find(limit=10, to_contains="ana", idempotency_key="a") == [wanted]
    assert inbox.find(limit=10, to_contains="bo", idempotency_key="a") == []
    assert inbox.find(limit=10, idempotency_key="unknown") == []


def test_attempts_are_counted_by_key():
    inbox = Inbox(keep=10)

    assert [add(inbox, key).attempt for key in ("a", "a", "b", "a")] == [1, 2, 1, 3]


def test_without_a_key_every_send_is_a_first_attempt():
    inbox = Inbox(keep=10)

    assert [add(inbox).attempt, add(inbox).attempt] == [1, 1]
    assert inbox.stats().distinct_keys == 0


def test_a_full_inbox_drops_the_oldest_message_and_keeps_counting():
    inbox = Inbox(keep=3)
    kept = [add(inbox, str(number)) for number in range(10)][-3:]

    assert inbox.find(limit=10) == kept[::-1]
    assert inbox.find(limit=10, idempotency_key="0") == []
    stats = inbox.stats()
    assert (stats.kept, stats.received, stats.distinct_keys) == (3, 10, 10)


def test_attempts_survive_the_drop_of_earlier_messages_of_the_key():
    inbox = Inbox(keep=2)
    for _ in range(4):
        add(inbox, "a")

    assert inbox.next_attempt("a") == 5
    assert inbox.stats().duplicates_accepted == 1


def test_a_key_accepted_more_than_once_is_one_duplicate():
    inbox = Inbox(keep=10)
    for answer in (TRANSIENT, ACCEPTED, ACCEPTED, ACCEPTED):
        add(inbox, "a", answer)
    add(inbox, "b", TRANSIENT)
    add(inbox, "b", ACCEPTED)

    stats = inbox.stats()
    assert (stats.received, stats.distinct_keys) == (6, 2)
    assert (stats.accepted, stats.duplicates_accepted) == (4, 1)
    assert stats.answers == {"202": 4, "503": 2}


def test_stats_are_told_apart_by_channel():
    inbox = Inbox(keep=10)
    add(inbox, "a", channel=Channel.SMS)
    add(inbox, "b", TRANSIENT, channel=Channel.PUSH)

    channels = inbox.stats().channels
    assert (channels[Channel.SMS].received, channels[Channel.SMS].accepted) == (1, 1)
    assert (channels[Channel.PUSH].received, channels[Channel.PUSH].accepted) == (1, 0)
    assert channels[Channel.EMAIL].received == 0


def test_clearing_forgets_messages_counts_and_attempts():
    inbox = Inbox(keep=10)
    add(inbox, "a")
    inbox.clear()

    assert inbox.find(limit=10) == []
    assert inbox.stats().received == 0
    assert inbox.stats().answers == {}
    assert inbox.next_attempt("a") == 1
