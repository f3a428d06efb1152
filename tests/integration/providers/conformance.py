"""What every provider does, whatever it speaks.

A subclass names the provider, brings the far side and says what the protocol can tell.
"""

import asyncio
import gc
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from contracts.channels import Channel
from contracts.ids import new_id
from contracts.limits import CONTENT_AT_MOST_BYTES
from contracts.outcomes import OutcomeClass
from dispatcher.errors import ProviderMisconfigured
from dispatcher.providers import discovery
from dispatcher.providers.port import OutboundMessage, Outcome, Provider
from dispatcher.sends import presentable
from tests.integration.providers.far_sides import RETRY_AFTER_SECONDS, FarSide, Mood
from tests.waiting import until

RECIPIENTS = {
    Channel.SMS: "+155555501{:02}",
    Channel.EMAIL: "jo.doe{}@example.com",
    Channel.PUSH: "device-token-of-number-{}",
}
CONTENT = "The kettle is on; your code is 481516."
#: Those of the far sides, which run in the same process.
FAR_LOGGERS = ("mail.", "aiohttp.server")


class ProviderConformance:
    """Every test runs for every provider."""

    name: str
    channel: Channel
    required: frozenset[str]  #: variables without which it does not open
    secrets: tuple[str, ...] = ()  #: what must never be seen
    tells_to_wait = True  #: the protocol has a Retry-After
    names_messages = True  #: what is accepted gets an id of the far side's

    def run_far_side(self) -> AbstractAsyncContextManager[FarSide]:
        """Run the far side."""
        raise NotImplementedError

    def environment(self, far_side: Any) -> dict[str, str]:
        """Return the variables with which the provider finds the far side."""
        raise NotImplementedError

    def message(self, number: int = 1, **given: Any) -> OutboundMessage:
        facts: dict[str, Any] = {
            "notification_id": new_id(),
            "channel": self.channel,
            "recipient": RECIPIENTS[self.channel].format(number),
            "content": CONTENT,
            "subject": None,
            "attempt": 1,
            "correlation_id": "corr-1",
            "traceparent": None,
        }
        return OutboundMessage(**(facts | given))

    @asynccontextmanager
    async def opened(self, far_side: FarSide, **more: str) -> AsyncIterator[Any]:
        """Open the provider as a dispatcher does."""
        os.environ.update(self.environment(far_side))
        prefix = f"TOCSIN_{self.name}_".upper()
        os.environ.update(
            {f"{prefix}{key}".upper(): text for key, text in more.items()}
        )
        kind = discovery.find(self.name)
        async with kind.open(discovery.settings_of(kind)) as provider:
            yield provider

    @pytest_asyncio.fixture
    async def far_side(self) -> AsyncIterator[Any]:
        async with self.run_far_side() as far_side:
            yield far_side

    @pytest_asyncio.fixture
    async def provider(self, far_side: FarSide) -> AsyncIterator[Any]:
        async with self.opened(far_side) as provider:
            yield provider

    async def test_what_is_accepted_is_delivered(
        self, far_side: FarSide, provider: Provider
    ) -> None:
        message = self.message()
        outcome = await attempt(provider, message)

        assert outcome.kind is OutcomeClass.DELIVERED
        assert (outcome.message_id is not None) is self.names_messages
        [parcel] = far_side.parcels
        assert (parcel.recipient, parcel.content) == (
            message.recipient,
            message.content,
        )

    async def test_a_passing_failure_is_transient(
        self, far_side: FarSide, provider: Provider
    ) -> None:
        far_side.mood = Mood.TRANSIENT
        outcome = await attempt(provider, self.message())

        assert outcome.kind is OutcomeClass.TRANSIENT
        assert outcome.code

    async def test_too_many_is_throttled(
        self, far_side: FarSide, provider: Provider
    ) -> None:
        far_side.mood = Mood.THROTTLED
        outcome = await attempt(provider, self.message())

        if self.tells_to_wait:
            assert outcome.kind is OutcomeClass.THROTTLED
            assert outcome.retry_after_seconds == RETRY_AFTER_SECONDS
        else:
            assert outcome.kind in {OutcomeClass.THROTTLED, OutcomeClass.TRANSIENT}
        assert outcome.code

    async def test_a_refusal_is_permanent(
        self, far_side: FarSide, provider: Provider
    ) -> None:
        far_side.mood = Mood.PERMANENT
        outcome = await attempt(provider, self.message())

        assert outcome.kind is OutcomeClass.PERMANENT
        assert outcome.code

    async def test_silence_ends_with_the_timeout(self, far_side: FarSide) -> None:
        far_side.mood = Mood.SILENT
        async with self.opened(far_side, timeout_seconds="0.4") as provider:
            started_at = time.monotonic()
            outcome = await attempt(provider, self.message())

            assert (outcome.kind, outcome.code) == (OutcomeClass.TRANSIENT, "timeout")
            assert 0.3 < time.monotonic() - started_at < 2
            far_side.mood = Mood.ACCEPT
            provider.timeout_seconds = 5
            assert await delivers(provider, self.message())

    @pytest.mark.parametrize("mood", [Mood.RESET, Mood.GARBAGE], ids=str)
    async def test_what_is_no_answer_is_transient(
        self, far_side: FarSide, provider: Provider, mood: Mood
    ) -> None:
        """Once on a new connection, once on one that has worked before."""
        for _ in range(2):
            far_side.mood = mood
            outcome = await attempt(provider, self.message())

            assert outcome.kind is OutcomeClass.TRANSIENT
            assert outcome.code
            far_side.mood = Mood.ACCEPT
            assert await delivers(provider, self.message())

    async def test_nobody_there_is_transient_until_somebody_is(
        self, far_side: FarSide
    ) -> None:
        await far_side.stop()
        async with self.opened(far_side) as provider:
            outcome = await attempt(provider, self.message())
            assert outcome.kind is OutcomeClass.TRANSIENT

            await far_side.start()
            assert await delivers(provider, self.message())

    async def test_a_restart_of_the_far_side_costs_no_attempt(
        self, far_side: FarSide, provider: Provider
    ) -> None:
        assert await delivers(provider, self.message())
        await far_side.stop()
        await far_side.start()

        assert await delivers(provider, self.message())

    async def test_every_attempt_carries_the_same_key_and_no_other_does(
        self, far_side: FarSide, provider: Provider
    ) -> None:
        message = self.message()
        for sent in (message, self.message(), message):
            assert await delivers(provider, sent)

        first, other, second = (parcel.key for parcel in far_side.parcels)
        assert first is not None
        assert str(message.notification_id) in first
        assert first == second != other

    async def test_any_text_arrives_whole(
        self, far_side: FarSide, provider: Provider
    ) -> None:
        texts = [
            "Zwölf Boxkämpfer jagen\nViktor über den Sylter Deich 🐝",
            ".\n..\nFrom me & you = 100 % <b>\"'+\\",
            "x" * CONTENT_AT_MOST_BYTES[self.channel],
            "é " * (CONTENT_AT_MOST_BYTES[self.channel] // 3) + "!",
        ]
        for text in texts:
            assert await delivers(provider, self.message(content=text))

        assert [parcel.content for parcel in far_side.parcels] == texts

    async def test_sends_run_at_the_same_time_and_are_not_mixed_up(
        self, far_side: FarSide, provider: Provider
    ) -> None:
        messages = [self.message(n, content=f"Number {n}") for n in range(60)]
        outcomes = await asyncio.gather(*(attempt(provider, m) for m in messages))

        assert {outcome.kind for outcome in outcomes} == {OutcomeClass.DELIVERED}
        assert sorted((p.recipient, p.content) for p in far_side.parcels) == sorted(
            (m.recipient, m.content) for m in messages
        )
        if provider.concurrency is not None:
            assert far_side.connections <= provider.concurrency

    async def test_a_send_that_is_cut_off_harms_no_other(
        self, far_side: FarSide
    ) -> None:
        far_side.mood = Mood.SILENT
        async with self.opened(far_side, timeout_seconds="2") as provider:
            cut = [asyncio.create_task(provider.send(self.message())) for _ in "abc"]
            await until(lambda: far_side.heard == len(cut))
            for task in cut:
                task.cancel()
            await asyncio.wait(cut)
            far_side.mood = Mood.ACCEPT

            for number in range(5):
                assert await delivers(provider, self.message(number))

    async def test_nothing_that_is_seen_tells_who_or_what_or_a_secret(
        self,
        far_side: FarSide,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        caplog.set_level(1)
        seen: list[str] = []
        message = self.message(subject="Tea is ready")
        async with self.opened(far_side, timeout_seconds="0.4") as provider:
            seen.append(repr(provider))
            for mood in Mood:
                far_side.mood = mood
                seen.append(repr(await attempt(provider, message)))
        settings = discovery.settings_of(discovery.find(self.name))
        seen += [repr(settings), str(settings)]
        seen += [
            record.getMessage()
            for record in caplog.records
            if not record.name.startswith(FAR_LOGGERS)
        ]
        seen += capfd.readouterr()

        for hidden in (
            message.recipient,
            message.content,
            "481516",
            "Tea is ready",
            *self.secrets,
        ):
            assert not [words for words in seen if hidden in words]

    async def test_closing_leaves_nothing_behind(self, far_side: FarSide) -> None:
        tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
        async with self.opened(far_side) as provider:
            await asyncio.gather(*(attempt(provider, self.message()) for _ in "abc"))
        await until(lambda: far_side.connections == 0)

        await until(lambda: asyncio.all_tasks() <= tasks)
        left = set(threading.enumerate()) - threads  # but for the loop's own
        assert not [t for t in left if not t.name.startswith(("asyncio_", "uvloop_"))]
        gc.collect()  # an unclosed socket would warn, and a warning fails the test

    def test_what_is_missing_is_named(self) -> None:
        kind = discovery.find(self.name)
        if not self.required:
            assert discovery.settings_of(kind)
            return
        with pytest.raises(ProviderMisconfigured) as refused:
            discovery.settings_of(kind)

        for variable in self.required:
            assert variable in str(refused.value)


async def attempt(provider: Provider, message: OutboundMessage) -> Outcome:
    """Send as the dispatcher does; what it would call a bug is raised."""
    try:
        async with asyncio.timeout(provider.timeout_seconds):
            outcome = await provider.send(message)
    except TimeoutError:
        outcome = Outcome(kind=OutcomeClass.TRANSIENT, code="timeout")
    return presentable(outcome, message)


async def delivers(provider: Provider, message: OutboundMessage) -> bool:
    """Say whether one attempt delivers."""
    return (await attempt(provider, message)).kind is OutcomeClass.DELIVERED
