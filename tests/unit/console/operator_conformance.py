"""What every operator's port does, whatever is behind it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import pytest

from console.operator import LaneTarget, LimitTarget, Operator, Refused, Sought
from contracts.channels import Channel, Lane, Priority
from contracts.ids import new_id
from contracts.lifecycle import Status
from contracts.operations import LetterFilter, OperationKind, OperationState
from contracts.outcomes import FailureClass


@dataclass
class Office:
    """An operator at work, and a mesh a test can put things into."""

    operator: Operator
    queue: Callable[[int], Awaitable[list[UUID]]]
    """Have so many SMS queued; returns their ids."""
    fail: Callable[[int, Channel], Awaitable[list[UUID]]]
    """Have so many notifications failed for good, for the reason "refused"."""


ALL = LetterFilter()


class OperatorConformance:
    """Subclasses provide the fixture ``office``."""

    async def test_somebody_answers(self, office: Office):
        await office.operator.reach()

    async def test_a_notification_is_shown_with_its_trace(self, office: Office):
        [id_] = await office.queue(1)
        shown = await office.operator.notification(id_)
        trace = await office.operator.trace(id_)

        assert (shown.id, shown.status) == (id_, Status.QUEUED)
        assert [entry.event for entry in trace.entries] == ["created", "queued"]

    async def test_what_is_not_there_is_refused_in_words(self, office: Office):
        for ask in (
            office.operator.notification,
            office.operator.trace,
            lambda id_: office.operator.cancel(id_, "x"),
            office.operator.operation,
            office.operator.stop,
        ):
            with pytest.raises(Refused, match=r"there is no .* with this id"):
                await ask(new_id())

    async def test_a_cancelled_notification_stays_cancelled(self, office: Office):
        [id_] = await office.queue(1)
        cancelled = await office.operator.cancel(id_, "sent twice")
        shown = await office.operator.notification(id_)
        trace = await office.operator.trace(id_)

        assert cancelled.status == shown.status == Status.CANCELLED
        assert trace.entries[-1].event == Status.CANCELLED
        with pytest.raises(Refused, match="cannot become cancelled"):
            await office.operator.cancel(id_, "sent twice")

    async def test_groups_say_what_most_died_of(self, office: Office):
        await office.fail(2, Channel.SMS)
        await office.fail(3, Channel.EMAIL)
        groups = await office.operator.letter_groups(ALL)

        assert [(g.channel, g.class_, g.reason, g.count) for g in groups] == [
            ("email", "permanent", "refused", 3),
            ("sms", "permanent", "refused", 2),
        ]
        assert groups[0].first <= groups[0].last

    async def test_letters_come_newest_first_in_pages(self, office: Office):
        await office.fail(5, Channel.SMS)
        seen: list[UUID] = []
        page = await office.operator.letters(ALL, limit=2)
        while True:
            seen += [letter.id for letter in page.items]
            if page.next_cursor is None:
                break
            page = await office.operator.letters(ALL, limit=2, cursor=page.next_cursor)

        assert seen == sorted(seen, reverse=True)
        assert len(set(seen)) == len(seen) == 5

    async def test_a_filter_picks_letters(self, office: Office):
        ids = await office.fail(2, Channel.SMS)
        await office.fail(3, Channel.EMAIL)
        for which, number in (
            (LetterFilter(channel=Channel.SMS), 2),
            (LetterFilter(class_=FailureClass.PERMANENT, reason="refused"), 5),
            (LetterFilter(class_=FailureClass.POISON), 0),
        ):
            assert len((await office.operator.letters(which)).items) == number
        named = LetterFilter(ids=ids[:1])
        assert (await office.operator.forecast(OperationKind.REPLAY, named)).count == 1

    async def test_a_forecast_does_nothing(self, office: Office):
        await office.fail(4, Channel.SMS)
        for kind in (OperationKind.REPLAY, OperationKind.DISCARD):
            told = await office.operator.forecast(kind, LetterFilter())
            assert (told.count, len(told.samples)) == (4, 3)
            assert sum(told.refused.values()) == 0

        assert await office.operator.operations() == []

    async def test_a_replay_begins_once_and_can_be_stopped(self, office: Office):
        await office.fail(3, Channel.SMS)
        begun = await office.operator.replay(ALL, reason="fixed", rate_per_second=2.0)

        assert (begun.kind, begun.state) == ("replay", OperationState.RUNNING)
        assert (begun.total, begun.done) == (3, 0)
        assert (begun.reason, begun.rate_per_second) == ("fixed", 2.0)
        assert begun.who
        assert await office.operator.operation(begun.id) == begun

        stopped = await office.operator.stop(begun.id)
        assert stopped.state is OperationState.STOPPED
        assert await office.operator.stop(begun.id) == stopped

    async def test_operations_come_newest_first(self, office: Office):
        await office.fail(2, Channel.SMS)
        await office.fail(1, Channel.EMAIL)
        first = await office.operator.replay(
            LetterFilter(channel=Channel.SMS), reason="fixed", rate_per_second=5.0
        )
        second = await office.operator.discard(
            LetterFilter(channel=Channel.EMAIL), reason="a test"
        )

        assert (second.kind, second.total) == ("discard", 1)
        listed = await office.operator.operations()
        assert [operation.id for operation in listed] == [second.id, first.id]


SMS = LaneTarget(Channel.SMS)
SMS_LOW = LaneTarget(Channel.SMS, Priority.LOW)


class OversightConformance:
    """What holds of lanes, limits and the audit; subclasses provide ``office``."""

    async def paused(self, office: Office) -> dict[str, tuple[str | None, ...]]:
        return {
            str(Lane(lane.channel, lane.priority)): (
                lane.paused_as,
                lane.paused_by,
                lane.paused_why,
            )
            for lane in await office.operator.lanes()
            if lane.paused
        }

    async def test_a_paused_lane_says_who_and_why_until_it_is_resumed(
        self, office: Office
    ):
        entry = await office.operator.pause(SMS_LOW, "the provider asked")
        assert (entry.action, entry.target) == ("lane.paused", "sms.low")
        assert (entry.who, entry.reason) == (office.operator.who, "the provider asked")
        assert await self.paused(office) == {
            "sms/low": ("sms.low", office.operator.who, "the provider asked")
        }

        entry = await office.operator.resume(SMS_LOW, "it is well")
        assert (entry.action, entry.target) == ("lane.resumed", "sms.low")
        assert await self.paused(office) == {}

    async def test_a_paused_channel_pauses_each_of_its_lanes(self, office: Office):
        await office.operator.pause(SMS, "the provider asked")

        paused = await self.paused(office)
        assert set(paused) == {"sms/high", "sms/normal", "sms/low"}
        assert {target for target, *_ in paused.values()} == {"sms"}

    async def test_a_limit_can_be_set_and_taken_back(self, office: Office):
        target = LimitTarget("channel", Channel.EMAIL)
        first = await office.operator.set_limit(target, 40, "a new contract")
        second = await office.operator.set_limit(target, 4, "a slip")
        [limit] = await office.operator.limits()

        assert (limit.target, limit.per_second) == ("channel.email", 4)
        assert (limit.by, limit.reason) == (office.operator.who, "a slip")
        assert first.target == second.target == "channel.email"
        assert second.details["previous"]["per_second"] == 40

        cleared = await office.operator.clear_limit(target, "back to the settings")
        assert cleared.action == "limit.cleared"
        assert await office.operator.limits() == []

    async def test_the_audit_has_the_newest_first_in_pages(self, office: Office):
        done = [
            await office.operator.pause(SMS, "one"),
            await office.operator.resume(SMS, "two"),
            await office.operator.pause(SMS, "three"),
        ]
        page = await office.operator.audit(limit=2)
        rest = await office.operator.audit(limit=2, before=page.next_cursor)

        ids = [entry.id for entry in (*page.items, *rest.items)]
        assert ids == [entry.id for entry in reversed(done)]
        assert rest.next_cursor is None
        resumed = await office.operator.audit(action="lane.resumed")
        assert [entry.reason for entry in resumed.items] == ["two"]

    async def test_what_is_done_to_notifications_is_in_the_audit(self, office: Office):
        [id_] = await office.queue(1)
        await office.fail(2, Channel.SMS)
        await office.operator.cancel(id_, "sent twice")
        begun = await office.operator.replay(ALL, reason="fixed", rate_per_second=5.0)
        await office.operator.stop(begun.id)

        entries = (await office.operator.audit()).items
        assert [(entry.action, entry.target) for entry in entries] == [
            ("operation.stopped", str(begun.id)),
            ("letters.replayed", str(begun.id)),
            ("notification.cancelled", str(id_)),
        ]
        assert {entry.who for entry in entries} == {office.operator.who}

    async def test_a_notification_is_found_by_its_id_or_recipient(self, office: Office):
        ids = await office.queue(2)
        [one] = (await office.operator.find(Sought(id=ids[0]))).items
        found = await office.operator.find(Sought(recipient_hash=one.recipient_hash))

        assert one.id == ids[0]
        assert "5550100" not in one.recipient
        assert [n.id for n in found.items] == sorted(ids, reverse=True)
        assert (await office.operator.find(Sought(id=new_id()))).items == []
        nobodys = Sought(idempotency_key="nobody's")
        assert (await office.operator.find(nobodys)).items == []
