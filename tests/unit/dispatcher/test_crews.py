"""The tasks that send for one channel."""

import asyncio
from functools import partial
from uuid import uuid4

from structlog.testing import capture_logs

from contracts.channels import Channel, Lane, Priority
from dispatcher.crews import Crew
from dispatcher.deadlines import Deadline, Deadlines
from dispatcher.holdings import Holding
from dispatcher.lines import Line
from dispatcher.slots import Slots
from tests.waiting import until

LANE = Lane(Channel.SMS, Priority.NORMAL)


class Work:
    """A line whose claims are sent when the test says so."""

    def __init__(self, concurrency: int) -> None:
        self.line = Line()
        self.slots = Slots(concurrency, asyncio.Event())
        self.crew = Crew(self.line, self.slots, Deadlines(), self._send_next)
        self.go_on = asyncio.Event()
        self.under_way: dict[Holding, asyncio.Task[object]] = {}
        self.senders: set[asyncio.Task[object]] = set()
        self.sent = 0
        self.most = 0  #: under way at once
        self.fails = False

    def come(self, count: int) -> None:
        for _ in range(count):
            self.line.add(Holding(uuid4(), LANE, "nobody.answers"))
        self.crew.call()

    def let_end(self) -> None:
        """Let those end that are under way, and no other."""
        self.go_on.set()
        self.go_on.clear()

    def has_sent(self, count: int) -> bool:
        return self.sent == count

    async def _send_next(self, _deadline: Deadline) -> None:
        if (holding := self.line.next()) is None:
            return
        sender = asyncio.current_task()
        assert sender is not None
        self.senders.add(sender)
        self.under_way[holding] = sender
        self.most = max(self.most, len(self.under_way))
        try:
            await self.go_on.wait()
            if self.fails:
                raise ValueError("a bug")
            self.sent += 1
        finally:
            del self.under_way[holding]


async def test_a_sender_without_work_waits_for_some() -> None:
    work = Work(concurrency=2)
    work.go_on.set()
    for number in range(1, 6):
        work.come(1)
        await until(partial(work.has_sent, number))

    assert len(work.senders) == 1
    await asyncio.wait(work.crew.dismiss())


async def test_no_more_send_at_once_than_may() -> None:
    work = Work(concurrency=3)
    work.come(2)
    work.come(8)
    await until(lambda: len(work.under_way) == 3)

    work.slots.resize(1)
    work.let_end()
    await until(lambda: work.sent == 3)
    await until(lambda: len(work.under_way) == 1)
    work.slots.resize(2)
    work.let_end()
    await until(lambda: work.sent == 4)
    work.crew.call()
    await until(lambda: len(work.under_way) == 2)

    work.go_on.set()
    await until(lambda: work.sent == 10)
    assert work.most == 3
    senders = work.crew.dismiss()
    assert len(senders) == 3
    await asyncio.wait(senders)


async def test_after_a_bound_has_fallen_fewer_send() -> None:
    work = Work(concurrency=3)
    work.come(10)
    await until(lambda: len(work.under_way) == 3)

    work.slots.resize(1)
    work.let_end()
    await until(lambda: work.sent == 3)
    work.most = 0
    work.go_on.set()
    await until(lambda: work.sent == 10)
    assert work.most == 1
    await asyncio.wait(work.crew.dismiss())


async def test_idle_senders_beyond_what_may_send_at_once_delay_nobody() -> None:
    work = Work(concurrency=200)
    work.come(200)
    await until(lambda: len(work.under_way) == 200)
    work.go_on.set()
    await until(lambda: work.sent == 200)
    work.go_on.clear()

    work.slots.resize(1)
    work.come(2)
    for _ in range(2):
        await asyncio.sleep(0)
    assert len(work.under_way) == 1
    work.go_on.set()
    await until(lambda: work.sent == 202)
    assert len(work.senders) == 200
    await asyncio.wait(work.crew.dismiss())


async def test_dismissed_senders_end_after_the_send_under_way() -> None:
    work = Work(concurrency=2)
    work.go_on.set()
    work.come(2)
    await until(lambda: work.sent == 2)
    work.go_on.clear()
    work.come(1)
    await until(lambda: len(work.under_way) == 1)

    left = work.crew.dismiss()
    await until(lambda: sum(not sender.done() for sender in left) == 1)
    work.go_on.set()
    await asyncio.wait(left)

    assert work.sent == 3


async def test_a_sender_that_fails_is_logged_and_others_go_on() -> None:
    work = Work(concurrency=1)
    work.fails = True
    with capture_logs() as logs:
        work.come(2)
        work.go_on.set()
        await until(lambda: len(logs) == 2)

    assert {entry["event"] for entry in logs} == {"sender.failed"}
    assert logs[0]["error"] == "ValueError"
    assert "a bug" not in str(logs[0]["error"])
    work.fails = False
    work.come(1)
    await until(lambda: work.sent == 1)
    await asyncio.wait(work.crew.dismiss())


async def test_an_idle_sender_that_was_cancelled_is_not_called() -> None:
    work = Work(concurrency=1)
    work.go_on.set()
    work.come(1)
    await until(lambda: work.sent == 1)
    [sender] = work.senders
    sender.cancel()
    await asyncio.wait({sender})
    work.go_on.clear()

    work.come(2)
    await until(lambda: len(work.under_way) == 1)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(work.under_way) == 1
    work.go_on.set()
    await until(lambda: work.sent == 3)
    await asyncio.wait(work.crew.dismiss())
