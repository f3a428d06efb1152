"""One provider: its breaker, how it answers, and what each dispatcher says of it."""

from collections.abc import Iterable

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

from console import formats, keys
from console.model.views import ProviderView
from console.picture import Picture
from console.readings import shares_of, used_of_limit
from console.screens.lane_columns import PROVIDER_INKS
from console.screens.mesh_screen import Export
from console.screens.provider_actions import ProviderActions
from console.widgets.figure import Figure
from console.widgets.provider_charts import ProviderCharts


class ProviderScreen(ProviderActions):
    """Everything the console knows of one provider."""

    scope = "provider"
    BINDINGS = keys.bindings("provider")

    def __init__(self, name: str) -> None:
        super().__init__()
        self._provider = name
        self._last: ProviderView | None = None

    def parts(self) -> ComposeResult:
        """Make figures, charts and what the dispatchers say."""
        yield Static("", id="lane-title")
        with Horizontal(id="figures"):
            yield Figure("per second", "figure-rate")
            yield Figure("p95, ms", "figure-p95")
            yield Figure("failing, %", "figure-failing")
            yield Figure("throttled", "figure-throttled")
        yield ProviderCharts(id="provider-charts")
        said = Static("", id="provider-said", classes="panel")
        said.border_title = "what the dispatchers say"
        yield said

    def draw(self, picture: Picture) -> None:
        """Draw the provider as it is in the picture, or as it was when it was last there."""
        there = next(
            (v for v in picture.snapshot.providers if v.name == self._provider), None
        )
        view = self._last = there or self._last
        if view is None:
            return
        title = self.query_one("#lane-title", Static)
        title.update(_title(view, picture, gone=there is None), layout=False)
        self._draw_figures(view)
        self.query_one(ProviderCharts).paint(picture, view.name)
        self.query_one("#provider-said", Static).update(_said(view, picture))

    def action_copy_row(self) -> None:
        """Copy the provider as JSON."""
        if self._last is not None:
            self.copy_json(self._last, f"{self._last.name} as JSON")

    def provider_in_hand(self) -> ProviderView | None:
        """Return the provider that is shown."""
        return self._last

    def exports(self) -> Iterable[Export]:
        """Offer the provider."""
        return () if self._last is None else self.export(self._last, self._last.name)

    def _draw_figures(self, view: ProviderView) -> None:
        latency = view.latency_p95_seconds
        used = used_of_limit(view)
        figures = {
            "rate": (
                formats.rate(view.rate),
                f"{formats.share(used)} of {view.limit:g}"
                if view.limit
                else "no limit",
            ),
            "p95": (
                formats.count(None if latency is None else latency * 1000),
                f"{view.slow:,} of {view.sends:,} slow",
            ),
            "failing": (
                formats.share(view.failing).rstrip("%"),
                f"{view.failures:,} of {view.sends:,} lately",
            ),
            "throttled": (formats.count(view.throttled), "of the last minute"),
        }
        for name, (value, note) in figures.items():
            self.query_one(f"#figure-{name}", Figure).paint(value, note)


def _title(view: ProviderView, picture: Picture, *, gone: bool) -> Text:
    quiet = picture.inks["quiet"]
    text = Text(" ", no_wrap=True, overflow="ellipsis")
    text.append("providers ", quiet).append(f"{picture.glyphs.step} ", quiet)
    text.append(view.name, picture.inks["strong"])
    sign = picture.glyphs.provider(view.health)
    text.append(f"   {sign} {view.health}", picture.inks[PROVIDER_INKS[view.health]])
    if gone:
        return text.append("   no dispatcher names it any more", picture.inks["warn"])
    if view.since_seconds is not None:
        text.append(f" for {formats.age(view.since_seconds)}", quiet)
    if view.next_probe_seconds is not None:
        text.append(f"   probe in {formats.age(view.next_probe_seconds)}", quiet)
    if view.openings:
        text.append(f"   opened {view.openings} in a row", quiet)
    return text.append(f"   {shares_of(view)}", quiet)


_COLUMNS = (
    ("breaker", 12),
    ("sends", 9),
    ("failed", 9),
    ("slow", 9),
    ("p95", 9),
)


def _said(view: ProviderView, picture: Picture) -> Text:
    inks = picture.news
    width = max([10, *(len(said.instance) for said in view.said)]) + 2
    lines = [Text("dispatcher".ljust(width), inks["quiet"], no_wrap=True)]
    for label, room in _COLUMNS:
        lines[0].append(label.rjust(room), inks["quiet"])
    for said in view.said:
        reading = said.reading
        line = Text(said.instance.ljust(width))
        for (_, room), value in zip(
            _COLUMNS,
            (
                reading.breaker.replace("_", "-"),
                formats.count(reading.sends),
                formats.count(reading.failures),
                formats.count(reading.slow),
                formats.duration(reading.latency_p95_seconds or None),
            ),
            strict=True,
        ):
            line.append(value.rjust(room))
        lines.append(line)
    channels = {c.channel: c for c in picture.snapshot.channels}
    for channel in view.shares:
        said_of = channels[channel].throttled_share
        waits = formats.share(said_of)
        lines.append(Text(f"{channel} waited for tokens {waits} of the last minute"))
    return Text("\n", no_wrap=True).join(lines)
