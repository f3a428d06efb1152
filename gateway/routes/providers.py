"""Providers: how they and their breakers stand, orders to breakers, and limits."""

from contracts import controls
from contracts.controls import BreakerOverride, RateLimit
from contracts.oversight import Action, LimitStandings, ProviderStandings
from contracts.problems import ProblemType
from contracts.topology import BREAKERS
from gateway import standings
from gateway.changes import Changes, Wish, standing
from gateway.errors import Refusal
from gateway.house import House
from gateway.ops_requests import (
    channel_in_path,
    limit_of,
    order_of,
    reason_of,
)
from gateway.principals import Permission
from gateway.routing import Answer, Call, Route, RouteName
from gateway.states import States
from gateway.views import encode
from ops.runtime.bus import Bus

BREAKERS_PATH = "/api/v1/ops/breakers"
BREAKER = f"{BREAKERS_PATH}/<provider>"
LIMITS = "/api/v1/ops/limits"
CHANNEL_LIMIT = f"{LIMITS}/channels/<channel>"
PROVIDER_LIMIT = f"{LIMITS}/providers/<provider>"


class Providers:
    """Handlers of breakers and limits."""

    def __init__(self, changes: Changes, states: States, bus: Bus) -> None:
        self._changes = changes
        self._states = states
        self._bus = bus

    def routes(self, house: House) -> list[Route]:
        """Return what is served here."""
        limit_one, clear_one = self.limit_provider, self.clear_provider_limit
        return [
            Route(name, method, path, house.only(handler), Permission.OPERATE)
            for name, method, path, handler in (
                (RouteName.LIST_BREAKERS, "GET", BREAKERS_PATH, self.list_breakers),
                (RouteName.ORDER_BREAKER, "POST", BREAKER, self.order),
                (RouteName.LIST_LIMITS, "GET", LIMITS, self.list_limits),
                (RouteName.LIMIT_CHANNEL, "PUT", CHANNEL_LIMIT, self.limit_channel),
                (
                    RouteName.CLEAR_CHANNEL_LIMIT,
                    "DELETE",
                    CHANNEL_LIMIT,
                    self.clear_channel_limit,
                ),
                (RouteName.LIMIT_PROVIDER, "PUT", PROVIDER_LIMIT, limit_one),
                (RouteName.CLEAR_PROVIDER_LIMIT, "DELETE", PROVIDER_LIMIT, clear_one),
            )
        ]

    async def list_breakers(self, _call: Call) -> Answer:
        """Show how every provider and its breaker stand."""
        items = standings.providers(
            self._states.of("dispatcher"),
            standings.read_controls(await standing(self._bus)),
            await standing(self._bus, BREAKERS),
        )
        return Answer(200, encode(ProviderStandings(items=items)))

    async def list_limits(self, _call: Call) -> Answer:
        """Show the limits that operators have set."""
        held = standings.read_controls(await standing(self._bus))
        return Answer(200, encode(LimitStandings(items=standings.limits(held))))

    async def order(self, call: Call, provider: str) -> Answer:
        """Have a breaker held open, probed or reset."""

        def wish_in(body: bytes) -> Wish:
            order, reason = order_of(body)
            return Wish(
                Action.BREAKER_ORDERED,
                provider,
                controls.breaker_key(provider),
                reason,
                lambda who, at: BreakerOverride(
                    by=who, at=at, reason=reason, order=order
                ),
                {"order": order},
                lambda: self._check(provider),
            )

        return await self._changes.make(call, wish_in)

    async def limit_channel(self, call: Call, channel: str) -> Answer:
        """Set what a channel may send each second."""
        key = controls.channel_rate_key(channel_in_path(channel))
        return await self._limit(call, key)

    async def clear_channel_limit(self, call: Call, channel: str) -> Answer:
        """Go back to what is configured for a channel."""
        key = controls.channel_rate_key(channel_in_path(channel))
        return await self._clear(call, key)

    async def limit_provider(self, call: Call, provider: str) -> Answer:
        """Set what a provider may get each second, over all channels."""
        return await self._limit(call, controls.provider_rate_key(provider), provider)

    async def clear_provider_limit(self, call: Call, provider: str) -> Answer:
        """Go back to what is configured for a provider."""
        return await self._clear(call, controls.provider_rate_key(provider), provider)

    async def _limit(self, call: Call, key: str, provider: str | None = None) -> Answer:
        def wish_in(body: bytes) -> Wish:
            per_second, reason = limit_of(body)
            return Wish(
                Action.LIMIT_SET,
                key.removeprefix(controls.RATE_PREFIX),
                key,
                reason,
                lambda who, at: RateLimit(
                    by=who, at=at, reason=reason, per_second=per_second
                ),
                {"per_second": per_second},
                lambda: self._check(provider),
            )

        return await self._changes.make(call, wish_in)

    async def _clear(self, call: Call, key: str, provider: str | None = None) -> Answer:
        def wish_in(body: bytes) -> Wish:
            return Wish(
                Action.LIMIT_CLEARED,
                key.removeprefix(controls.RATE_PREFIX),
                key,
                reason_of(body),
                None,
                check=lambda: self._check(provider),
            )

        return await self._changes.make(call, wish_in)

    async def _check(self, provider: str | None) -> None:
        """Raise ``not-found`` for a provider that no dispatcher has and nothing is set for."""
        known = self._states.providers()
        if provider is None or provider in known:
            return
        held = await standing(self._bus)
        if held.keys() & {
            controls.breaker_key(provider),
            controls.provider_rate_key(provider),
        }:
            return
        there = f"there are {', '.join(sorted(known))}" if known else "none is heard of"
        raise Refusal(ProblemType.NOT_FOUND, f"there is no such provider; {there}")
