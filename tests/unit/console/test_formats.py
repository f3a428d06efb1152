import pytest

from console import formats
from console.glyphs import ASCII, UNICODE
from console.widgets.chart import Layer, added, cut, stacked
from console.widgets.trend import nice_top, trend


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.4, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (3599, "59m"),
        (3600, "1h"),
        (6720, "1h52m"),
        (86400, "1d"),
        (200_000, "2d7h"),
        (10**7, "115d"),
        (-5, "0s"),
    ],
)
def test_ages(seconds, text):
    assert formats.age(seconds) == text
    assert len(text) <= 6


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (None, "-"),
        (0, "0%"),
        (0.0041, "0.4%"),
        (0.0994, "9.9%"),
        (0.41, "41%"),
        (1, "100%"),
    ],
)
def test_shares(part, text):
    assert formats.share(part) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(None, "-"), (0, "0.0"), (4.14, "4.1"), (99.96, "100"), (12_345.6, "12,346")],
)
def test_rates(rate, text):
    assert formats.rate(rate) == text


def test_a_trend_tells_gaps_from_zeros_and_little_from_nothing():
    assert trend([None, 0, 0.1, 50, 100], 5, 100, UNICODE) == "· ▁▄█"
    assert trend([None, 0, 0.1, 50, 100], 5, 100, ASCII) == "? .:#"


def test_a_trend_is_scaled_to_its_limit_and_not_to_itself():
    assert trend([1.0] * 4, 4, 100, UNICODE) == "▁▁▁▁"


def test_seconds_that_share_a_column_are_averaged():
    assert trend([0, 100, 100, 100, None, None], 3, 100, UNICODE) == "▄█·"


@pytest.mark.parametrize(
    ("highest", "top"),
    [(0, 10), (9, 10), (11, 20), (21, 30), (51, 100), (437, 500), (1000, 1000)],
)
def test_the_top_of_a_chart_is_a_round_number(highest, top):
    assert nice_top(highest) == top


def test_columns_of_a_chart_hold_all_layers_or_a_gap():
    layers = [Layer("a", [None, 1.0, 2.0]), Layer("b", [None, None, 5.0])]

    assert stacked(layers, 4) == [None, None, [1.0, 0.0], [2.0, 5.0]]
    assert stacked(layers, 1) == [[2.0, 5.0]]


@pytest.mark.parametrize(
    ("column", "floor", "seen"),
    [
        ([8, 0], 0, (0, None, 8)),
        ([4, 0], 0, (0, None, 4)),
        ([4, 8], 0, (0, 1, 4)),
        ([4, 8], 8, (1, None, 4)),
        ([0, 0], 0, (None, None, 0)),
        ([0.1, 0], 0, (0, None, 1)),
        ([0, 8.1], 8, (None, None, 0)),
    ],
)
def test_a_character_of_a_chart(column, floor, seen):
    assert cut(column, floor, 8) == seen


def test_series_add_up_and_share_their_gaps():
    assert added([[1, None, None], [2, 3, None]]) == [3, 3, None]


def test_every_sign_is_one_column_wide():
    from rich.cells import cell_len

    for glyphs in (UNICODE, ASCII):
        for name, sign in vars(glyphs).items():
            assert cell_len(sign) == len(sign), name
    assert "".join(vars(ASCII).values()).isascii()


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, "-"),
        (0.0004, "0ms"),
        (0.097, "97ms"),
        (1.0, "1.0s"),
        (4.94, "4.9s"),
        (131, "2m"),
    ],
)
def test_a_duration_has_the_unit_that_suits_it(seconds, written):
    assert formats.duration(seconds) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.25, "every 0.25 s"),
        (1, "every second"),
        (30, "every 30 s"),
        (60, "every minute"),
        (600, "every 10 minutes"),
        (3600, "every hour"),
        (86400, "every day"),
        (90, "every 90 s"),
    ],
)
def test_a_period_is_said_in_words(seconds, written):
    assert formats.period(seconds) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, "-"),
        (26.2, "26s"),
        (0.3, "now"),
        (-1.9, "now"),
        (-2, "-2s"),
        (-41, "-41s"),
    ],
)
def test_what_should_have_been_has_a_minus(seconds, written):
    assert formats.until(seconds) == written
