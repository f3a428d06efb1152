"""What is counted of a provider's last seconds."""

from hypothesis import given, strategies as st

from dispatcher.windows import Tally, Window

sends = st.lists(
    st.tuples(
        st.floats(min_value=0, max_value=2),
        st.floats(min_value=0, max_value=50),
        st.booleans(),
        st.booleans(),
    ),
    max_size=60,
)


@given(sends)
def test_a_window_counts_its_last_seconds_and_forgets_the_rest(
    steps: list[tuple[float, float, bool, bool]],
) -> None:
    window = Window(10)
    now = 100.0
    seen = []
    for wait, duration, failed, slow in steps:
        now += wait
        window.add(now, duration, failed=failed, slow=slow)
        seen.append((now, failed, slow))
    tally = window.tally(now)

    surely = [s for s in seen if s[0] > now - 9]
    perhaps = [s for s in seen if s[0] > now - 10.001]
    assert len(surely) <= tally.sends <= len(perhaps)
    assert tally.failures <= sum(failed for _, failed, _ in perhaps)
    assert tally.slow <= sum(slow for *_, slow in perhaps)
    assert window.tally(now + 11) == Tally()


@given(st.lists(st.floats(min_value=0.002, max_value=50), min_size=1))
def test_the_p95_is_a_quarter_too_high_at_most(durations: list[float]) -> None:
    window = Window(10)
    for duration in durations:
        window.add(5.0, duration, failed=False, slow=False)
    p95 = window.p95_seconds(5.0)

    enough = sum(duration <= p95 for duration in durations)
    too_few = sum(duration <= p95 / 1.2501 for duration in durations)
    assert enough >= 0.95 * len(durations)
    assert too_few <= 0.95 * len(durations)


def test_an_empty_window_took_no_time() -> None:
    assert Window(10).p95_seconds(0.0) == 0
