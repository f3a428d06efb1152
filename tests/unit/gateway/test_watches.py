"""Each client is told every change once, in order, whatever the bus does to it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry

from contracts.channels import Channel
from contracts.ids import new_id
from contracts.lifecycle import Status
from contracts.receipts import Receipt, ReceiptKind
from gateway.live.feed import Listener
from gateway.live.metrics import LiveMetrics
from gateway.live.news import News
from gateway.live.readings import Reading, Readings
from gateway.live.watch import Filter, Watch
from gateway.live.watches import Watches
from gateway.views import StatusView
from tests.waiting import until

ID = new_id()
AT = datetime(2026, 11, 27, tzinfo=UTC)


def view(sequence: int, id_: UUID = ID) -> StatusView:
    return StatusView(
        notification_id=id_,
        status=Status.PROCESSING,
        attempts=1,
        at=AT,
        sequence=sequence,
    )


def receipt(moment: int, number: int) -> Receipt:
    return Receipt(
        kind=ReceiptKind.BOUNCED,
        at=AT + timedelta(seconds=moment),
        provider="acme",
        id=UUID(int=number),
    )


def news(sequence: int, id_: UUID = ID) -> News:
    return News(view(sequence, id_), Channel.SMS)


@given(st.data())
def test_nothing_is_missed_or_told_twice_between_the_ledger_and_the_bus(
    data: st.DataObject,
) -> None:
    """The ledger is read at some moment; later changes come over the bus, earlier ones may."""
    last = data.draw(st.integers(2, 12))
    read_at = data.draw(st.integers(2, last))
    earlier = data.draw(st.lists(st.integers(2, read_at), max_size=4))
    before_reading = data.draw(st.integers(read_at, last))
    held = data.draw(
        st.permutations([*earlier, *range(read_at + 1, before_reading + 1)])
    )
    watch = Watch()
    watch.wants_standing = True

    told = [due.sequence for came in held for due in watch.hear(news(came))]
    assert told == []
    told += [due.sequence for due in watch.settle(Reading(view(read_at), []))]
    for came in (*range(before_reading + 1, last + 1), *earlier):
        told += [due.sequence for due in watch.hear(news(came))]

    assert told == list(range(read_at, last + 1))


@given(st.integers(2, 6), st.sets(st.integers(7, 14), min_size=1))
def test_what_was_missed_is_told_before_what_showed_it(
    seen: int, came: set[int]
) -> None:
    watch = Watch()
    watch.settle(Reading(view(seen), [view(seen)]))
    ordered = sorted(came)
    told = [due.sequence for s in ordered for due in watch.hear(news(s))]
    if watch.held is not None:
        last = ordered[-1]
        reading = Reading(view(last), [view(s) for s in range(seen + 1, last + 1)])
        told += [due.sequence for due in watch.settle(reading)]
        assert told == list(range(seen + 1, last + 1))
    else:
        assert told == ordered


@given(st.data())
def test_any_losses_orders_and_old_readings_make_one_complete_story(
    data: st.DataObject,
) -> None:
    """Readings are made at one moment and arrive at a later one, several at a time."""
    first = data.draw(st.integers(2, 4))
    last = data.draw(st.integers(first, 14))
    watch = Watch()
    watch.wants_standing = True
    told = [n.sequence for n in watch.settle(Reading(view(first), []))]
    committed = first
    on_the_way: list[Reading] = []
    while committed < last or on_the_way:
        match data.draw(st.sampled_from(["commit", "hear", "read", "arrive"])):
            case "commit" if committed < last:
                committed += 1
            case "hear":
                came = data.draw(st.integers(first, committed))
                told += [n.sequence for n in watch.hear(news(came))]
            case "read" if len(on_the_way) < 3:
                changes = [view(s) for s in range(watch.sequence + 1, committed + 1)]
                on_the_way.append(Reading(view(committed), changes))
            case "arrive" if on_the_way:
                reading = on_the_way.pop(data.draw(st.integers(0, len(on_the_way) - 1)))
                told += [n.sequence for n in watch.settle(reading)]
    changes = [view(s) for s in range(watch.sequence + 1, last + 1)]
    told += [n.sequence for n in watch.settle(Reading(view(last), changes))]

    assert told == list(range(first, last + 1))
    assert watch.held is None


@given(st.data())
def test_the_newest_receipt_is_told_whatever_is_lost_or_late(
    data: st.DataObject,
) -> None:
    """Changes and receipts, in any order, lost or not, over the bus and out of the ledger.

    Every change is told once and in order, each frame with the status that is due, and of
    the receipts only ever newer ones, the newest at last.
    """
    committed, shown = 2, None
    on_the_bus = [view(committed)]
    on_the_way: list[Reading] = []
    watch = Watch()
    watch.wants_standing = True
    told = watch.settle(Reading(view(committed), []))

    def reading() -> Reading:
        changes = [view(s) for s in range(watch.sequence + 1, committed + 1)]
        return Reading(msgspec.structs.replace(view(committed), receipt=shown), changes)

    for _ in range(data.draw(st.integers(1, 25))):
        match data.draw(st.sampled_from(["move", "receipt", "hear", "read", "arrive"])):
            case "move":
                committed += 1
                on_the_bus.append(view(committed))
            case "receipt":
                came = receipt(data.draw(st.integers(0, 9)), len(on_the_bus))
                if shown is None or came.rank > shown.rank:
                    shown = came
                on_the_bus.append(
                    msgspec.structs.replace(view(committed), receipt=came)
                )
            case "hear":
                told += watch.hear(News(data.draw(st.sampled_from(on_the_bus))))
            case "read":
                on_the_way.append(reading())
            case "arrive" if on_the_way:
                place = data.draw(st.integers(0, len(on_the_way) - 1))
                told += watch.settle(on_the_way.pop(place))
    told += watch.settle(reading())

    assert watch.held is None
    sequences = [due.sequence for due in told]
    assert sequences == sorted(sequences)
    assert sorted(set(sequences)) == list(range(2, committed + 1))
    ranks = [due.rank for due in told if due.rank is not None]
    assert ranks == sorted(set(ranks))
    assert (ranks[-1] if ranks else None) == (shown.rank if shown else None)
    plain = [due.sequence for due in told if due.rank is None]
    assert plain == sorted(set(plain))


def test_a_receipt_of_a_status_that_has_passed_is_told_with_the_status_it_has_now() -> (
    None
):
    watch = Watch()
    watch.wants_standing = True
    watch.settle(Reading(view(3), []))
    watch.hear(news(4))
    late = msgspec.structs.replace(view(3), receipt=receipt(1, 1))

    assert watch.hear(News(late)) == []
    assert watch.held is not None
    now = msgspec.structs.replace(view(4), receipt=late.receipt)
    assert [due.view for due in watch.settle(Reading(now, []))] == [now]
    assert watch.held is None


def test_what_is_held_back_is_bounded() -> None:
    watch = Watch()
    told = [due.sequence for s in range(2, 300) for due in watch.hear(news(s))]

    assert told == list(range(2, 300))


class Ledger:
    """One tenant's notifications: how many changes each has had."""

    def __init__(self) -> None:
        self.sequences: dict[UUID, int] = {}
        self.is_away = False
        self.reads = 0

    def of(self, tenant: str) -> "Ledger":
        assert tenant == "acme"
        return self

    async def standings(self, ids: Sequence[UUID]) -> list[StatusView]:
        self.reads += 1
        if self.is_away:
            raise ConnectionError
        return [view(self.sequences[i], i) for i in ids if i in self.sequences]

    async def changes_after(
        self, ids: Sequence[UUID], sequences: Sequence[int]
    ) -> list[StatusView]:
        return [
            view(sequence, id_)
            for id_, after in zip(ids, sequences, strict=True)
            for sequence in range(after + 1, self.sequences[id_] + 1)
        ]


class Feed:
    """Subjects and who listens to them, without a bus."""

    def __init__(self) -> None:
        self.listeners: list[tuple[str, Listener]] = []

    def listen(self, subject: str, listener: Listener) -> None:
        self.listeners.append((subject, listener))

    listen_to_kind = listen

    def leave(self, subject: str, listener: Listener) -> None:
        self.listeners.remove((subject, listener))

    async def settled(self) -> None:
        return

    def publish(self, item: News) -> None:
        for subject, listener in list(self.listeners):
            _, _, channel, status, id_ = subject.split(".")
            if (
                channel in ("*", item.channel)
                and status in ("*", item.status)
                and id_ in ("*", str(item.id))
            ):
                listener.hear(subject, item)


class Client:
    """What a client follows, and what it was told."""

    def __init__(self, ledger: Ledger, feed: Feed, readings: Readings) -> None:
        self.told: list[int] = []
        self.watches = Watches(
            "acme",
            feed,  # type: ignore[arg-type]
            readings,
            LiveMetrics(CollectorRegistry()),
            lambda item: self.told.append(item.sequence),
        )


async def test_many_questions_are_one_reading() -> None:
    ledger, feed = Ledger(), Feed()
    readings = Readings(ledger, feed)
    clients = [Client(ledger, feed, readings) for _ in range(50)]
    ledger.sequences[ID] = 2
    asked = [client.watches.follow([ID]) for client in clients]
    running = asyncio.create_task(readings.run())
    await asyncio.gather(*asked)
    running.cancel()

    assert ledger.reads == 1
    assert all(client.told == [2] for client in clients)
    for client in clients:
        client.watches.close()
    assert feed.listeners == []


async def test_a_client_that_is_behind_does_not_change_what_others_are_told() -> None:
    ledger, feed = Ledger(), Feed()
    readings = Readings(ledger, feed)
    new, behind = (Client(ledger, feed, readings) for _ in range(2))
    ledger.sequences[ID] = 6
    asked = [new.watches.follow([ID]), behind.watches.follow([ID], after={ID: 3})]
    running = asyncio.create_task(readings.run())
    await asyncio.gather(*asked)
    running.cancel()

    assert new.told == [6]
    assert behind.told == [4, 5, 6]


async def test_while_the_ledger_is_away_a_gap_waits_and_then_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.live.watches._TRY_AGAIN_SECONDS", 0)
    ledger, feed = Ledger(), Feed()
    readings = Readings(ledger, feed)
    client = Client(ledger, feed, readings)
    ledger.sequences[ID] = 2
    running = asyncio.create_task(readings.run())
    await client.watches.follow([ID])
    ledger.is_away = True
    ledger.sequences[ID] = 5
    feed.publish(news(4))
    feed.publish(news(5))
    await until(lambda: ledger.reads >= 3)
    assert client.told == [2]
    ledger.is_away = False
    await until(lambda: client.told != [2])
    running.cancel()

    assert client.told == [2, 3, 4, 5]


async def test_a_subscription_the_ledger_could_not_answer_is_none() -> None:
    ledger, feed = Ledger(), Feed()
    readings = Readings(ledger, feed)
    client = Client(ledger, feed, readings)
    ledger.is_away = True
    running = asyncio.create_task(readings.run())
    with pytest.raises(ConnectionError):
        await client.watches.follow([ID])
    running.cancel()

    assert len(client.watches) == 0
    assert feed.listeners == []


async def test_overlapping_filters_tell_an_event_once() -> None:
    ledger, feed = Ledger(), Feed()
    client = Client(ledger, feed, Readings(ledger, feed))
    for wanted in (
        Filter(Channel.SMS, None),
        Filter(None, Status.PROCESSING),
        Filter(Channel.SMS, Status.PROCESSING),
        Filter(None, None),
        Filter(Channel.EMAIL, None),
    ):
        client.watches.follow_all(wanted)
    feed.publish(news(3, new_id()))

    assert client.told == [3]
