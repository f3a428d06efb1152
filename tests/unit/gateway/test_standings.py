from datetime import UTC, datetime

from contracts import controls
from contracts.breakers import BreakerCondition
from contracts.channels import Channel, Lane, Priority
from contracts.controls import AnyControl, BreakerOrder, BreakerOverride, Pause
from contracts.mesh import ProviderReading
from contracts.oversight import ProcessStanding
from gateway import standings
from tests.integration.gateway.operators import state_of

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def dispatcher(
    name: str, *providers: ProviderReading, lost: bool = False
) -> ProcessStanding:
    state = state_of("dispatcher", name, providers=providers)
    return ProcessStanding(age_seconds=0.0, lost=lost, state=state)


def test_the_pause_of_a_channel_is_shown_before_that_of_its_lane() -> None:
    low = controls.pause_key(Channel.SMS, Priority.LOW)
    held: dict[str, AnyControl] = {low: Pause(by="Ada", at=NOW, reason="one")}

    def paused() -> dict[str, str | None]:
        lanes = standings.lanes({}, [], held)
        return {f"{n.channel}.{n.priority}": n.paused_as for n in lanes if n.paused}

    assert paused() == {"sms.low": "sms.low"}
    held[controls.pause_key(Channel.SMS)] = Pause(by="Grace", at=NOW)
    assert paused() == {f"sms.{priority}": "sms" for priority in Priority}


def test_what_waits_is_shown_by_lane() -> None:
    waiting = {Lane(Channel.PUSH, Priority.LOW): 7}

    shown = standings.lanes(waiting, [], {})
    assert {(n.channel, n.priority): n.queued for n in shown if n.queued} == {
        (Channel.PUSH, Priority.LOW): 7
    }


def test_a_provider_of_lost_dispatchers_is_shown_as_they_last_told_it() -> None:
    acme = ProviderReading(name="acme", sends=3)
    other = ProviderReading(name="other", breaker=BreakerCondition.OPEN, sends=5)
    shown = standings.providers(
        [dispatcher("one", acme), dispatcher("two", acme, other, lost=True)], {}, {}
    )

    assert [(p.provider, p.sends, p.lost) for p in shown] == [
        ("acme", 3, False),
        ("other", 5, True),
    ]


def test_the_last_order_to_a_breaker_is_shown_with_who_and_why() -> None:
    order = BreakerOverride(by="Ada", at=NOW, reason="why", order=BreakerOrder.OPEN)
    held: dict[str, AnyControl] = {controls.breaker_key("acme"): order}
    acme = ProviderReading(name="acme", forced=True)
    [shown] = standings.providers([dispatcher("one", acme)], held, {})

    assert shown.forced
    assert shown.override is not None
    assert (shown.override.order, shown.override.by, shown.override.reason) == (
        *("open", "Ada", "why"),
    )


def test_a_value_that_cannot_be_read_stands_for_nothing() -> None:
    assert standings.read_controls({"pause.sms": b"{}"}) == {}
