import pytest

from console.widgets.chart import folded


def test_few_values_stay_as_they_are():
    assert folded([1.0, None, 2.0], 5, until=100, fold=max) == [1.0, None, 2.0]


def test_many_values_share_columns_and_all_fit():
    values = [float(n) for n in range(90)]

    columns = folded(values, 10, until=900, fold=max)

    assert columns == [float(n) for n in range(8, 90, 9)]


def test_a_column_is_a_gap_only_when_all_its_seconds_are():
    assert folded([None, 4.0, None, None], 2, until=4, fold=max) == [4.0, None]


@pytest.mark.parametrize("until", range(100, 120))
def test_a_value_stays_in_its_column_while_time_passes(until):
    """The columns of whole seconds that both moments know are the same."""
    values = {second: float(second) for second in range(200)}
    now = folded([values[s] for s in range(until - 60, until)], 12, until, max)
    then = folded([values[s] for s in range(until - 59, until + 1)], 12, until + 1, max)

    assert set(now[1:-1]) <= set(then)
