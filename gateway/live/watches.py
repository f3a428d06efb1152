"""Everything one client follows."""

import asyncio
from collections.abc import Callable, Iterable
from uuid import UUID

from contracts import subjects
from gateway.live.feed import Feed
from gateway.live.metrics import LiveMetrics
from gateway.live.news import News
from gateway.live.readings import Reading, Readings
from gateway.live.watch import Filter, Watch

#: After the ledger did not answer.
_TRY_AGAIN_SECONDS = 1.0


class Watches:
    """Everything one client follows; ``tell`` gets each change that is due to it."""

    def __init__(
        self,
        tenant: str,
        feed: Feed,
        readings: Readings,
        metrics: LiveMetrics,
        tell: Callable[[News], None],
    ) -> None:
        self._tenant = tenant
        self._feed = feed
        self._readings = readings
        self._metrics = metrics
        self._tell = tell
        self._watches: dict[UUID, Watch] = {}
        self._filters: dict[str, Filter] = {}

    def __len__(self) -> int:
        """Return how many subscriptions there are."""
        return len(self._watches) + len(self._filters)

    def follow(
        self,
        ids: Iterable[UUID],
        reason: UUID | None = None,
        after: dict[UUID, int] | None = None,
    ) -> "asyncio.Future[dict[UUID, Reading]]":
        """Follow notifications; the future is done when their first news has been told.

        That is where each stands, or what happened after the sequence that ``after`` gives.
        The future's answer has those that the tenant does not have left out; they are not
        followed. When it raises what the ledger raises, none that is new is followed.
        """
        question: dict[UUID, int | None] = {}
        for id_ in ids:
            watch = self._watches.get(id_) or self._open(id_)
            if reason not in watch.reasons:
                watch.reasons += (reason,)
            seen = (after or {}).get(id_)
            if seen is None:
                watch.wants_standing = True
            else:
                watch.sequence = seen
            question[id_] = seen
        answered = self._readings.ask(self._tenant, question)
        done = asyncio.get_running_loop().create_future()
        answered.add_done_callback(
            lambda answer: self._followed(question, reason, answer, done)
        )
        return done

    def unfollow(self, ids: Iterable[UUID], reason: UUID | None = None) -> None:
        """Follow these for this reason no longer."""
        for id_ in ids:
            watch = self._watches.get(id_)
            if watch is None or reason not in watch.reasons:
                continue
            watch.reasons = tuple(kept for kept in watch.reasons if kept != reason)
            if not watch.reasons:
                del self._watches[id_]
                self._feed.leave(self._subject(id_), self)
                self._metrics.followed(-1)

    def members(self, batch_id: UUID) -> list[UUID]:
        """Return what is followed for a batch."""
        return [
            id_ for id_, watch in self._watches.items() if batch_id in watch.reasons
        ]

    def follow_all(self, wanted: Filter) -> None:
        """Follow every notification that a filter matches."""
        subject = subjects.status_of_kind(self._tenant, *wanted)
        if subject not in self._filters:
            self._filters[subject] = wanted
            self._feed.listen_to_kind(subject, self)
            self._metrics.followed(1)

    def unfollow_all(self, wanted: Filter) -> None:
        """Follow what a filter matches no longer."""
        subject = subjects.status_of_kind(self._tenant, *wanted)
        if self._filters.pop(subject, None) is not None:
            self._feed.leave(subject, self)
            self._metrics.followed(-1)

    def catch_up(self) -> None:
        """Have everything told that the bus did not bring, as soon as the ledger answers."""
        self._ask_again(self._watches)

    def look_after(self) -> None:
        """Catch up with those of which more is to come: the last news may have been lost."""
        self._ask_again(i for i, watch in self._watches.items() if not watch.is_final)

    def close(self) -> None:
        """Follow nothing any more."""
        for id_ in self._watches:
            self._feed.leave(self._subject(id_), self)
        for subject in self._filters:
            self._feed.leave(subject, self)
        self._metrics.followed(-len(self))
        self._watches.clear()
        self._filters.clear()

    def hear(self, subject: str, news: News) -> None:
        """Take in what the bus brings."""
        watch = self._watches.get(news.id)
        if subject in self._filters:
            if watch is None and self._is_first_match(subject, news):
                self._tell(news)
            return
        if watch is None:
            return
        was_current = watch.held is None
        for due in watch.hear(news):
            self._tell(due)
        if was_current and watch.held is not None:
            self._metrics.missed()
            self._ask_again([news.id])

    def _is_first_match(self, subject: str, news: News) -> bool:
        """Say whether it is this filter's turn: the others bring the same event too."""
        for other, wanted in self._filters.items():
            if wanted.matches(news):
                return other == subject
        return False

    def _ask_again(self, ids: Iterable[UUID]) -> None:
        """Look up what these have missed; those that are being looked up are left alone."""
        after: dict[UUID, int | None] = {
            id_: watch.sequence
            for id_ in ids
            if not (watch := self._watches[id_]).wants_standing
        }
        if after:
            answered = self._readings.ask(self._tenant, after)
            answered.add_done_callback(self._caught_up)

    def _caught_up(self, answered: "asyncio.Future[dict[UUID, Reading]]") -> None:
        if answered.exception() is None:
            self._settle(answered.result())
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(_TRY_AGAIN_SECONDS, self._try_again)

    def _try_again(self) -> None:
        held = [id_ for id_, watch in self._watches.items() if watch.held is not None]
        self._ask_again(held)

    def _followed(
        self,
        question: dict[UUID, int | None],
        reason: UUID | None,
        answered: "asyncio.Future[dict[UUID, Reading]]",
        done: "asyncio.Future[dict[UUID, Reading]]",
    ) -> None:
        error = answered.exception()
        if done.cancelled():
            return
        if error is not None:
            self._give_up(question, reason)
            done.set_exception(error)
            return
        readings = answered.result()
        self.unfollow([id_ for id_ in question if id_ not in readings], reason)
        self._settle(readings)
        done.set_result(readings)

    def _give_up(self, ids: Iterable[UUID], reason: UUID | None) -> None:
        """Unfollow those whose client has been told nothing yet."""
        for id_ in ids:
            watch = self._watches.get(id_)
            if watch is None:
                continue
            if watch.sequence == 0:
                self.unfollow([id_], reason)
            watch.wants_standing = False

    def _settle(self, readings: dict[UUID, Reading]) -> None:
        for id_, reading in readings.items():
            watch = self._watches.get(id_)
            if watch is None:
                continue
            for news in watch.settle(reading):
                self._tell(news)
            if watch.held is not None:
                self._ask_again([id_])

    def _open(self, id_: UUID) -> Watch:
        watch = self._watches[id_] = Watch()
        self._feed.listen(self._subject(id_), self)
        self._metrics.followed(1)
        return watch

    def _subject(self, id_: UUID) -> str:
        return subjects.status_of_notification(id_, self._tenant)
