"""Counts the calls of providers.

Of all metrics these are counted most often. Plain numbers, which are put into the library's
form when somebody looks, cost a fifth of its counters.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from contracts.channels import LANES, Channel, Lane
from contracts.outcomes import OutcomeClass

#: Upper bounds of the durations that are told apart, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LABELS = (*map(str, BOUNDS), "+Inf")


class _Durations:
    """How long the calls for one channel took."""

    def __init__(self) -> None:
        self._counts = [0] * len(_LABELS)
        self._sum_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._sum_seconds += seconds

    def show_in(self, family: HistogramMetricFamily, channel: Channel) -> None:
        """Add a sample to a metric."""
        buckets = list(zip(_LABELS, accumulate(self._counts), strict=True))
        family.add_metric([channel], buckets, self._sum_seconds)


class Attempts(Collector):
    """Attempts that ended, by lane and by provider. All lanes exist from the start, at zero."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._by_lane = {lane: dict.fromkeys(OutcomeClass, 0) for lane in LANES}
        self._by_provider: dict[str, dict[OutcomeClass, int]] = {}
        self._durations = {channel: _Durations() for channel in Channel}
        registry.register(self)

    def ended(
        self,
        lane: Lane,
        outcome: OutcomeClass,
        duration_seconds: float,
        provider: str | None,
    ) -> None:
        """Count one; without a provider nobody was called."""
        self._by_lane[lane][outcome] += 1
        self._durations[lane.channel].add(duration_seconds)
        if provider is not None:
            self._by_provider[provider][outcome] += 1

    def of_lane(self, lane: Lane) -> int:
        """Return how many ended since the process began."""
        return sum(self._by_lane[lane].values())

    def of_provider(self, provider: str) -> Mapping[OutcomeClass, int]:
        """Return how many ended since the process began, by outcome."""
        return self._by_provider[provider]

    def show(self, provider: str) -> None:
        """Show a provider's numbers from now on, at zero."""
        self._by_provider.setdefault(provider, dict.fromkeys(OutcomeClass, 0))

    def describe(self) -> Iterable[Metric]:
        """Return the metrics, by whose names the registry knows this."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        yield _counter(
            "tocsin_attempts",
            "Attempts that ended, by outcome.",
            ("channel", "priority", "outcome"),
            (
                ((*lane, outcome), count)
                for lane, counts in self._by_lane.items()
                for outcome, count in counts.items()
            ),
        )
        durations = HistogramMetricFamily(
            "tocsin_attempt_duration_seconds",
            "From the start of a send to its outcome.",
            labels=("channel",),
        )
        for channel, of_channel in self._durations.items():
            of_channel.show_in(durations, channel)
        yield durations
        yield _counter(
            "tocsin_provider_attempts",
            "Attempts that ended, by the provider that made them.",
            ("provider", "outcome"),
            (
                ((provider, outcome), count)
                for provider, counts in self._by_provider.items()
                for outcome, count in counts.items()
            ),
        )


def _counter(
    name: str,
    words: str,
    labels: tuple[str, ...],
    samples: Iterator[tuple[tuple[str, ...], int]],
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, words, labels=labels)
    for values, count in samples:
        family.add_metric(values, count)
    return family
