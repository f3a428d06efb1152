"""What operators ordered that still stands, in one line: it explains what one sees."""

from collections.abc import Iterator

from rich.text import Text
from textual.widgets import Static

from console import formats
from console.changes import NO_REASON
from console.model.views import LimitView, PauseView
from console.picture import Picture
from contracts.channels import Lane


class Orders(Static):
    """Pauses and limits with who and why; not there while nothing is ordered."""

    def paint(self, picture: Picture, lane: Lane | None = None) -> None:
        """Write the orders that stand, or only those that concern a lane."""
        orders = list(_orders(picture, lane))
        self.display = bool(orders)
        line = Text(" ", no_wrap=True, overflow="ellipsis")
        self.update(line + Text("   ").join(orders), layout=False)


def _orders(picture: Picture, lane: Lane | None) -> Iterator[Text]:
    controls = picture.snapshot.controls
    told = set()
    for key, pause in controls.pauses.items():
        if pause.target not in told and (lane is None or key == str(lane)):
            told.add(pause.target)
            yield _pause(pause, picture)
    for target, limit in controls.limits.items():
        if lane is None or target == f"channel.{lane.channel}":
            yield _limit(target, limit, picture)


def _pause(pause: PauseView, picture: Picture) -> Text:
    text = Text(f"{picture.glyphs.pause} ", picture.inks["warn"])
    text.append(f"{pause.target} paused", picture.inks["warn"])
    return text + _by(pause, picture)


def _limit(target: str, limit: LimitView, picture: Picture) -> Text:
    rate = f"{limit.per_second:,g}/s" if limit.per_second else "unlimited"
    text = Text(f"{target.partition('.')[2]} limit {rate}", picture.inks["note"])
    return text + _by(limit, picture)


def _by(order: PauseView | LimitView, picture: Picture) -> Text:
    age = formats.age(picture.now - order.at)
    said = "" if order.reason in ("", NO_REASON) else f': "{order.reason}"'
    return Text(f" by {order.by} {age} ago{said}", picture.inks["plain"])
