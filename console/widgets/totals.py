"""The mesh in six numbers: tiles where there is room, one line where there is not."""

from typing import NamedTuple

from rich.text import Text
from textual.widgets import Static

from console import formats
from console.model.views import LaneView, TotalsView
from console.picture import Picture

_FAILING_WARN, _FAILING_BAD = 0.02, 0.2
_SLOW_SECONDS = 2.0


class _Tile(NamedTuple):
    label: str
    value: str
    ink: str
    note: str
    short: tuple[str, str]
    """Its words and its number in the one line."""


class Totals(Static):
    """Six numbers."""

    def paint(self, picture: Picture) -> None:
        """Draw as many lines as the layout gives."""
        tiles = _tiles(picture)
        tall = self.size.height >= 3
        text = (
            _as_tiles(tiles, picture, self.size.width)
            if tall
            else _as_line(tiles, picture)
        )
        self.update(text, layout=False)


def _tiles(picture: Picture) -> list[_Tile]:
    totals = picture.snapshot.totals
    waiting = max(picture.snapshot.lanes, key=lambda lane: lane.queued or 0)
    oldest = max(picture.snapshot.lanes, key=lambda lane: lane.oldest_seconds or 0.0)
    return [
        _Tile(
            "queued",
            formats.count(totals.queued),
            "strong",
            _most_note(waiting),
            ("queued ", formats.count(totals.queued)),
        ),
        _Tile(
            "in flight",
            formats.count(totals.in_flight),
            "strong",
            "being sent now",
            ("in flight ", formats.count(totals.in_flight)),
        ),
        _Tile(
            "per second",
            formats.rate(totals.rate),
            "strong",
            _limit_note(picture),
            ("rate/s ", formats.rate(totals.rate)),
        ),
        _Tile(
            "failing",
            formats.share(totals.failing),
            failing_ink(totals.failing, calm="strong"),
            "last minute",
            ("failing ", formats.share(totals.failing)),
        ),
        _Tile(
            "dead letters",
            formats.count(totals.dead_letters),
            "bad" if totals.dead_letters_new else "strong",
            _new_note(totals),
            ("DLQ ", formats.count(totals.dead_letters) + _plus(totals)),
        ),
        _Tile(
            "oldest",
            formats.age(totals.oldest_seconds),
            "strong",
            _oldest_note(oldest),
            ("oldest ", formats.age(totals.oldest_seconds)),
        ),
    ]


def failing_ink(share: float | None, calm: str = "plain") -> str:
    """Return the ink for a share of failures."""
    if share is None or share < _FAILING_WARN:
        return calm
    return "bad" if share >= _FAILING_BAD else "warn"


def latency_ink(seconds: float | None) -> str:
    """Return the ink for a latency; as slow as this a provider counts as slow."""
    return "warn" if (seconds or 0.0) > _SLOW_SECONDS else "plain"


def _limit_note(picture: Picture) -> str:
    limits = [channel.limit for channel in picture.snapshot.channels]
    known = [limit for limit in limits if limit]
    return f"of {formats.count(sum(known))}" if known else "settled"


def _new_note(totals: TotalsView) -> str:
    if totals.dead_letters is None:
        return "not known"
    new = totals.dead_letters_new
    return f"+{new:,} in 5 min" if new else "none new"


def _plus(totals: TotalsView) -> str:
    return f" +{totals.dead_letters_new:,}" if totals.dead_letters_new else ""


def _most_note(lane: LaneView) -> str:
    if lane.queued is None:
        return "not known"
    return f"most {lane.key}" if lane.queued else "nothing waits"


def _oldest_note(lane: LaneView) -> str:
    return lane.key if lane.oldest_seconds is not None else ""


def _as_line(tiles: list[_Tile], picture: Picture) -> Text:
    text = Text(" ", no_wrap=True, overflow="ellipsis")
    for position, tile in enumerate(tiles):
        if position:
            text.append("  ")
        words, number = tile.short
        text.append(words, picture.news["quiet"]).append(number, picture.news[tile.ink])
    return text


def _as_tiles(tiles: list[_Tile], picture: Picture, width: int) -> Text:
    inks, each = picture.news, max(12, (width - 2) // len(tiles))

    def row(texts: list[tuple[str, str]]) -> Text:
        line = Text("  ")
        for text, ink in texts:
            line.append(text[: each - 1].ljust(each), inks[ink])
        return line

    return Text("\n", no_wrap=True).join(
        [
            row([(tile.label, "quiet") for tile in tiles]),
            row([(tile.value, tile.ink) for tile in tiles]),
            row([(tile.note, "quiet") for tile in tiles]),
        ]
    )
