"""The columns of the table of providers."""

from console import formats
from console.glyphs import Glyphs
from console.model.views import ProviderHealth, ProviderView
from console.picture import Cell
from console.readings import shares_of, used_of_limit, window_of
from console.screens.lane_columns import PROVIDER_INKS
from console.widgets.keyed_table import Column, number_column, word_column
from console.widgets.totals import failing_ink, latency_ink

_AT_LIMIT_SHARE = 0.95


def provider_columns(glyphs: Glyphs) -> list[Column[ProviderView]]:
    """Return the columns."""
    severity = list(ProviderHealth)
    return [
        word_column("provider", 13, lambda row: row.name, ink=lambda _row: "strong"),
        Column(
            label="breaker",
            width=12,
            cell=lambda row: Cell(
                f"{glyphs.provider(row.health)} {row.health}", PROVIDER_INKS[row.health]
            ),
            by=lambda row: severity.index(row.health),
            least_first=True,
        ),
        number_column("since", 7, lambda row: row.since_seconds, formats.age),
        number_column("probe", 7, lambda row: row.next_probe_seconds, formats.age),
        Column(
            label="  share",
            width=16,
            cell=lambda row: Cell(f"  {shares_of(row)}", _share_ink(row)),
            by=lambda row: sum(row.shares.values()),
            grows=True,
        ),
        number_column("rate/s", 8, lambda row: row.rate, formats.rate, spare=2),
        number_column(
            "limit",
            7,
            used_of_limit,
            formats.share,
            ink=lambda row: (
                "warn" if (used_of_limit(row) or 0.0) >= _AT_LIMIT_SHARE else "plain"
            ),
            spare=5,
        ),
        number_column(
            "fail",
            7,
            lambda row: row.failing,
            formats.share,
            ink=lambda row: failing_ink(row.failing),
        ),
        Column(
            label="window",
            width=13,
            cell=lambda row: Cell(window_of(row), "plain" if row.sends else "quiet"),
            by=lambda row: row.failures,
            right=True,
            spare=3,
        ),
        number_column(
            "p95",
            8,
            lambda row: row.latency_p95_seconds,
            formats.duration,
            ink=lambda row: latency_ink(row.latency_p95_seconds),
        ),
        number_column(
            "throttled",
            10,
            lambda row: row.throttled,
            formats.count,
            ink=lambda _row: "warn",
            spare=6,
        ),
    ]


def _share_ink(row: ProviderView) -> str:
    return "plain" if any(row.shares.values()) else "quiet"
