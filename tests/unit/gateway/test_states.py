from contracts.breakers import BreakerCondition
from contracts.mesh import ProviderReading, ServiceCondition, ServiceState
from gateway.states import States
from tests.integration.gateway.operators import state_of

DRAINING = ServiceCondition.DRAINING


def shown(states: States, now: float) -> dict[str, tuple[float, bool]]:
    return {
        standing.state.instance: (standing.age_seconds, standing.lost)
        for standing in states.standings(now)
    }


def test_the_latest_state_of_each_process_is_kept_with_its_age() -> None:
    told: list[tuple[ServiceState, float]] = []
    states = States([lambda state, now: told.append((state, now))])
    first, second = state_of("gateway", "one"), state_of("gateway", "one")
    states.hear(first, 10.0)
    states.hear(second, 11.0)

    [standing] = states.standings(12.5)
    assert standing.state is second
    assert standing.age_seconds == 1.5
    assert told == [(first, 10.0), (second, 11.0)]


def test_one_that_falls_silent_is_lost_and_kept_for_an_hour() -> None:
    states = States()
    states.hear(state_of("dispatcher", "one"), 0.0)

    assert shown(states, 5.0) == {"one": (5.0, False)}
    assert shown(states, 5.1) == {"one": (5.1, True)}
    assert shown(states, 3600.0) == {"one": (3600.0, True)}
    assert shown(states, 3601.0) == {}


def test_one_that_said_goodbye_is_forgotten_instead() -> None:
    states = States()
    states.hear(state_of("dispatcher", "one", condition=DRAINING), 0.0)

    assert shown(states, 5.0) == {"one": (5.0, False)}
    assert shown(states, 5.1) == {}


def test_a_lost_one_that_comes_back_is_not_lost() -> None:
    states = States()
    states.hear(state_of("dispatcher", "one"), 0.0)
    assert shown(states, 60.0)["one"][1]
    states.hear(state_of("dispatcher", "one"), 61.0)

    assert shown(states, 62.0) == {"one": (1.0, False)}


def test_what_is_remembered_is_bounded() -> None:
    states = States()
    for number in range(1_001):
        states.hear(state_of("dispatcher", str(number)), 0.0)

    names = shown(states, 0.0)
    assert len(names) == 1_000
    assert "0" not in names


def test_a_provider_stays_known_when_its_dispatchers_are_lost() -> None:
    states = States()
    acme = ProviderReading(name="acme", breaker=BreakerCondition.OPEN)
    states.hear(state_of("dispatcher", "one", providers=[acme]), -60.0)
    now = states.standings(0.0)

    assert now[0].lost
    assert [provider.name for provider in now[0].state.providers] == ["acme"]
