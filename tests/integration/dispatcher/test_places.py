"""A provider gets no more at a time than it bears, on whichever route it is."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from contracts.channels import Channel
from contracts.ids import new_id
from contracts.outcomes import OutcomeClass
from dispatcher.breakers import HealthPolicy
from dispatcher.metrics import Metrics
from dispatcher.pacing import Pacing
from dispatcher.peers import Peers
from dispatcher.places import Narrow
from dispatcher.providers.noop import NoopProvider, NoopSettings
from dispatcher.providers.port import OutboundMessage, Outcome, Provider
from dispatcher.rates import Rates
from dispatcher.routes import ProviderEntry, Routes
from dispatcher.routing import Route, RouteLeg
from dispatcher.sharing import Breakers
from ops.runtime.bus import Bus
from ops.runtime.controls import Controls

NOWHERE = Redis.from_url(
    "redis://127.0.0.1:1/0"
)  #: is asked only where there is a limit
MAIL = OutboundMessage(
    notification_id=new_id(),
    channel=Channel.EMAIL,
    recipient="ada@example.com",
    content="The kettle is on.",
    subject="Kettle",
    attempt=1,
    correlation_id="corr-1",
    traceparent=None,
)


class Slow(NoopProvider):
    """Bears four sends at a time, and ends none before it is told to."""

    name = "slow"
    concurrency = 4

    def __init__(self) -> None:
        super().__init__(NoopSettings())
        self.ended = asyncio.Event()
        self.under_way = 0

    async def send(self, _message: OutboundMessage) -> Outcome:
        self.under_way += 1
        await self.ended.wait()
        return Outcome(kind=OutcomeClass.DELIVERED)


def route_over(
    legs: Sequence[tuple[str, Provider, float]],
    redis: Redis = NOWHERE,
    limits: Mapping[str, float] = {},
) -> Route:
    metrics = Metrics(CollectorRegistry())
    bus, peers = Bus(), Peers()
    controls = Controls(bus)
    limited = {name: ProviderEntry(rate=rate) for name, rate in limits.items()}
    rates = Rates(controls, 0, Routes(providers=limited))
    breakers = Breakers(bus, controls, peers, metrics, instance="one")
    breakers.adopt({name: HealthPolicy() for name, _, _ in legs})
    pacing = Pacing(redis, peers, metrics, rates)
    route = Route(Channel.EMAIL, breakers, rates, pacing)
    route.replace(
        RouteLeg(name, provider, weight, breakers.of(name))
        for name, provider, weight in legs
    )
    return route


async def test_what_a_provider_has_no_place_for_goes_to_the_other() -> None:
    slow, quick = Slow(), NoopProvider(NoopSettings())
    route = route_over([("slow", Narrow(slow, 100), 9), ("quick", quick, 1)])
    picked = Counter[str]()
    sends = []
    for _ in range(100):
        pick = route.pick()
        assert pick is not None
        picked[pick.name] += 1
        sends.append(asyncio.create_task(pick.provider.send(MAIL)))
        await asyncio.sleep(0)

    assert picked == {"slow": 4, "quick": 96}
    assert slow.under_way == 4
    slow.ended.set()
    await asyncio.gather(*sends)
    # Of what came meanwhile nothing is owed: weights hold again at once.
    now = Counter(pick.name for _ in range(10) if (pick := route.pick()))
    assert now == {"slow": 9, "quick": 1}


async def test_one_that_stands_by_makes_no_room() -> None:
    slow, quick = Narrow(Slow(), 100), NoopProvider(NoopSettings())
    route = route_over([("slow", slow, 1), ("quick", quick, 0)])

    assert route.used == [slow]


async def test_a_send_that_is_cut_off_leaves_its_place() -> None:
    narrow = Narrow(Slow(), 100)
    sends = [asyncio.create_task(narrow.send(MAIL)) for _ in range(4)]
    await asyncio.sleep(0)
    assert narrow.free == 0

    for send in sends:
        send.cancel()
    await asyncio.gather(*sends, return_exceptions=True)

    assert narrow.free == 4


async def test_no_more_is_fetched_than_one_has_places_and_the_other_tokens_for(
    redis: Redis,
) -> None:
    slow = Narrow(Slow(), 100)
    quick = NoopProvider(NoopSettings())
    route = route_over([("slow", slow, 9), ("quick", quick, 1)], redis, {"quick": 20})

    first = await route.reserve(100)
    assert 4 < first.tokens < 20  # its burst, and what came since
    sends = [asyncio.create_task(slow.send(MAIL)) for _ in range(4)]
    await asyncio.sleep(0)
    second = await route.reserve(100)
    assert first.tokens - 4 <= second.tokens < 20

    for send in sends:
        send.cancel()
