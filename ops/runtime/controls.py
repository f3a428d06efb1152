"""Operators' controls: how they are set, and how a service knows those that stand."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import msgspec
import structlog
from nats.js.errors import APIError

from contracts import controls, subjects
from contracts.channels import Channel, Priority
from contracts.controls import AnyControl, BreakerOverride, Pause, RateLimit
from contracts.topology import CONTROLS
from ops.runtime.bucket_watch import BucketWatch
from ops.runtime.bus import Bus
from ops.runtime.errors import ControlChanged
from ops.runtime.values import EXPECTED_HEADER, OPERATION_HEADER, WRONG_REVISION

log = structlog.stdlib.get_logger()


async def set_control(bus: Bus, key: str, control: AnyControl) -> int:
    """Set a control for the whole mesh and return its revision; it is stored on return."""
    return await _store(bus, key, control, {})


async def clear_control(bus: Bus, key: str) -> int:
    """Take a control back; clearing one that is not set changes nothing."""
    return await _store(bus, key, None, {})


async def change_control(
    bus: Bus, key: str, control: AnyControl | None, *, over: int, entry: UUID
) -> int:
    """Set a control over a revision of it, or clear it with None, and return the new one.

    Raises ``ControlChanged`` when that is not its revision any more. The value bears the id
    of the entry in the audit that it was set by.
    """
    headers = {EXPECTED_HEADER: str(over), controls.ENTRY_HEADER: str(entry)}
    try:
        return await _store(bus, key, control, headers)
    except APIError as error:
        if error.err_code == WRONG_REVISION:
            raise ControlChanged(key) from error
        raise


async def _store(
    bus: Bus, key: str, control: AnyControl | None, headers: dict[str, str]
) -> int:
    payload = b"" if control is None else msgspec.json.encode(control)
    if control is None:
        headers = {OPERATION_HEADER: "DEL", **headers}
    ack = await bus.js.publish(
        subjects.bucket_value(CONTROLS.name, key), payload, headers=headers or None
    )
    return ack.seq


class Controls:
    """The controls that stand, as this process last heard; none before it heard any."""

    def __init__(self, bus: Bus) -> None:
        self._watch = BucketWatch(bus, CONTROLS, self._hear)
        self._standing: dict[str, AnyControl] = {}
        self._on_change: list[Callable[[], None]] = []

    def on_change(self, call: Callable[[], None]) -> None:
        """Call ``call`` after every change; it must not block."""
        self._on_change.append(call)

    async def run(self, stopping: asyncio.Event) -> None:
        """Listen until told to stop."""
        await self._watch.run(stopping)

    def _hear(self, key: str, payload: bytes | None, _revision: int) -> None:
        """Take note of a value; one that cannot be read leaves the last one standing."""
        if payload is None:
            if self._standing.pop(key, None) is None:
                return
            log.info("control.cleared", key=key)
        else:
            try:
                control = controls.decode(payload)
            except msgspec.DecodeError as error:
                log.warning("control.unreadable", key=key, error=str(error))
                return
            self._standing[key] = control
            log.info("control.set", key=key, kind=type(control).__name__, by=control.by)
        for call in self._on_change:
            call()

    def paused(self, channel: Channel) -> frozenset[Priority]:
        """Return the lanes of a channel that are not to be sent from."""
        if self._is_pause(controls.pause_key(channel)):
            return frozenset(Priority)
        return frozenset(
            priority
            for priority in Priority
            if self._is_pause(controls.pause_key(channel, priority))
        )

    def _is_pause(self, key: str) -> bool:
        return isinstance(self._standing.get(key), Pause)

    def breaker(self, provider: str) -> BreakerOverride | None:
        """Return the last order to a provider's breaker."""
        order = self._standing.get(controls.breaker_key(provider))
        return order if isinstance(order, BreakerOverride) else None

    def channel_rate(self, channel: Channel) -> float | None:
        """Return what operators let a channel send per second; None when they did not say."""
        return self._rate(controls.channel_rate_key(channel))

    def provider_rate(self, provider: str) -> float | None:
        """Return what operators let a provider get per second; None when they did not say."""
        return self._rate(controls.provider_rate_key(provider))

    def _rate(self, key: str) -> float | None:
        limit = self._standing.get(key)
        return limit.per_second if isinstance(limit, RateLimit) else None
