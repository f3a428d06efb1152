"""How a channel's traffic is divided among its providers."""

import pytest
from hypothesis import given, strategies as st

from dispatcher.routing import shares

legs = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 2.0, 9.0]), st.sampled_from([0.0, 0.05, 0.4, 1.0])
    ),
    min_size=1,
    max_size=5,
).filter(lambda legs: any(weight for weight, _ in legs))


@given(legs)
def test_everything_goes_somewhere_and_nothing_to_who_does_not_pass(
    legs: list[tuple[float, float]],
) -> None:
    weights, health = zip(*legs, strict=True)
    parts = shares(weights, health)

    assert all(part >= 0 for part in parts)
    assert all(part == 0 for part, h in zip(parts, health, strict=True) if not h)
    usable = any(health)
    assert sum(parts) == pytest.approx(1.0 if usable else 0.0)


@given(legs)
def test_in_full_health_weights_decide(legs: list[tuple[float, float]]) -> None:
    weights = [weight for weight, _ in legs]

    assert shares(weights, [1.0] * len(legs)) == pytest.approx(
        [weight / sum(weights) for weight in weights]
    )


@pytest.mark.parametrize(
    ("weights", "health", "expected"),
    [
        ([1], [0.05], [1.0]),  # alone: no way round
        ([1, 0], [1, 1], [1, 0]),
        ([1, 0], [0, 1], [0, 1]),
        ([1, 0], [0.2, 1], [0.2, 0.8]),  # coming back
        ([1, 0, 0], [0, 0, 1], [0, 0, 1]),
        ([1, 0, 0], [0, 1, 1], [0, 1, 0]),  # in order
        ([9, 1, 0], [0, 1, 1], [0, 1, 0]),  # stands by while another is well
        ([6, 3, 1], [0, 1, 1], [0, 0.75, 0.25]),
        ([1, 1], [0.05, 0.05], [0.5, 0.5]),  # both slow
        ([1, 1, 0], [0, 0, 0], [0, 0, 0]),
    ],
)
def test_what_one_cannot_carry_others_do(
    weights: list[float], health: list[float], expected: list[float]
) -> None:
    assert shares(weights, health) == pytest.approx(expected)
