"""Two charts of one provider: how long it takes, and how much of it fails."""

from textual.app import ComposeResult
from textual.containers import Horizontal

from console.picture import Picture
from console.widgets.chart import Layer, StackedChart, legend

_MILLISECONDS = 1000.0
_LEGEND = [("success", "accepted"), ("error", "failed")]


class ProviderCharts(Horizontal):
    """The last quarter of an hour, side by side."""

    def compose(self) -> ComposeResult:
        """Make the charts."""
        latency = StackedChart(id="provider-latency", classes="panel")
        latency.border_title = "p95, ms, last 15 min"
        yield latency
        attempts = StackedChart(id="provider-attempts", classes="panel")
        attempts.border_title = "attempts per second"
        yield attempts

    def paint(self, picture: Picture, provider: str) -> None:
        """Draw a provider as of the picture."""
        flow = picture.provider_flow(provider)
        milliseconds = [
            None if value is None else value * _MILLISECONDS
            for value in flow.latency_p95_seconds
        ]
        latency = self.query_one("#provider-latency", StackedChart)
        latency.paint(
            picture,
            [Layer("note", milliseconds, max)],
            least_top=100,
            until=flow.until,
        )
        latency.border_subtitle = provider
        attempts = self.query_one("#provider-attempts", StackedChart)
        attempts.paint(
            picture,
            [Layer("good", flow.accepted), Layer("bad", flow.failed)],
            until=flow.until,
        )
        attempts.border_subtitle = legend(_LEGEND, picture.glyphs)
