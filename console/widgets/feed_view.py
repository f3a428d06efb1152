"""The feed on the screen: draws only the lines one sees, and never loses one's place."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console import formats, keys
from console.glyphs import Glyphs
from console.model.views import FeedLine, Tone
from console.picture import Picture
from console.themes import Inks

_WIDE = 110
_INKS = {
    Tone.GOOD: "good",
    Tone.PLAIN: "plain",
    Tone.QUIET: "quiet",
    Tone.WARN: "warn",
    Tone.BAD: "bad",
    Tone.NOTE: "note",
}


class FeedView(ScrollView, can_focus=True):
    """Lines with a cursor. Follows the newest until one moves up; ``follow`` resumes."""

    BINDINGS: ClassVar = [
        *keys.bindings("feed_view"),
        ("up", "cursor_up", ""),
        ("down", "cursor_down", ""),
        ("pageup", "page_up", ""),
        ("pagedown", "page_down", ""),
        ("home", "first", ""),
        ("end", "last", ""),
    ]

    class Moved(Message):
        """The cursor moved, or following began or ended."""

    def __init__(self, *, cursor: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.can_focus = cursor
        self.following = True
        self.ago = False
        self._cursor = cursor
        self._lines: Sequence[FeedLine] = ()
        self._serials: list[int] = []
        self._cursor_serial = 0
        self._seen_serial = 0
        self._inks: Inks | None = None
        self._glyphs: Glyphs | None = None
        self._now = 0.0
        self._instead = ""

    @property
    def cursor_line(self) -> FeedLine | None:
        """The line under the cursor."""
        return self._lines[self._cursor_at] if self._lines else None

    @property
    def unseen(self) -> int:
        """How many lines came since following ended."""
        if self.following:
            return 0
        return len(self._serials) - bisect_left(self._serials, self._seen_serial + 1)

    def paint(
        self, picture: Picture, lines: Sequence[FeedLine], instead: str = ""
    ) -> None:
        """Show these lines, oldest first; where there is none, ``instead``."""
        self._instead = instead
        top = self._top_serial()
        self._lines = lines
        self._serials = [line.serial for line in lines]
        self._inks, self._glyphs = picture.inks, picture.glyphs
        self._now = picture.now
        self.virtual_size = Size(self._room, len(lines))
        if self.following:
            self.follow()
        else:
            self.scroll_to(y=bisect_left(self._serials, top), animate=False)
        self.refresh()

    def follow(self) -> None:
        """Go to the newest line and stay with it."""
        self.following = True
        self._cursor_serial = self._serials[-1] if self._serials else 0
        self.scroll_to(y=max(0, len(self._lines) - self.size.height), animate=False)

    def stay(self) -> None:
        """Stop following; what comes from now on is counted as unseen."""
        if self.following:
            self.following = False
            self._seen_serial = self._serials[-1] if self._serials else 0

    def on_resize(self) -> None:
        """Keep the newest line in sight when the room changes."""
        if self.following:
            self.follow()

    def action_cursor_up(self) -> None:
        """Move the cursor to the line above."""
        self._move(self._cursor_at - 1)

    def action_cursor_down(self) -> None:
        """Move the cursor to the line below."""
        self._move(self._cursor_at + 1)

    def action_page_up(self) -> None:
        """Move the cursor one screen up."""
        self._move(self._cursor_at - max(1, self.size.height - 1))

    def action_page_down(self) -> None:
        """Move the cursor one screen down."""
        self._move(self._cursor_at + max(1, self.size.height - 1))

    def action_first(self) -> None:
        """Move the cursor to the oldest line."""
        self._move(0)

    def action_last(self) -> None:
        """Go to the newest line and follow."""
        self.follow()
        self._moved()

    def on_click(self, event: Click) -> None:
        """Put the cursor on the clicked line."""
        if self._cursor:
            self._move(self.scroll_offset.y + event.y)

    def on_mouse_scroll_up(self) -> None:
        """Scrolling up stops following."""
        if self._cursor:
            self.stay()
            self._moved()

    def render_line(self, y: int) -> Strip:
        """Draw one row."""
        at = self.scroll_offset.y + y
        if self._inks is not None and not self._lines and y == self.size.height // 2:
            words = Text().append(self._instead, self._inks["quiet"])
            words.align("center", self._room)
            return self._strip(words, self.rich_style)
        if self._inks is None or not 0 <= at < len(self._lines):
            return Strip.blank(self._room, self.rich_style)
        line = self._lines[at]
        text = self._text(line)
        text.truncate(self._room, overflow="ellipsis", pad=True)
        style = self.rich_style
        if self._cursor and self.has_focus and line.serial == self._cursor_serial:
            style += Style(bgcolor=self._inks.cursor)
        return self._strip(text, style)

    def _strip(self, text: Text, style: Style) -> Strip:
        segments = text.render(self.app.console, "")
        return Strip(Segment.apply_style(segments, style), self._room)

    @property
    def _room(self) -> int:
        """How many columns a line may take; ``size`` counts those below the scrollbar."""
        return self.scrollable_content_region.width

    @property
    def _cursor_at(self) -> int:
        place = bisect_left(self._serials, self._cursor_serial)
        return min(place, len(self._serials) - 1) if self._serials else 0

    def _top_serial(self) -> int:
        top = self.scroll_offset.y
        return self._serials[top] if top < len(self._serials) else 0

    def _move(self, place: int) -> None:
        if not self._lines:
            return
        self.stay()
        place = max(0, min(place, len(self._lines) - 1))
        self._cursor_serial = self._serials[place]
        top = self.scroll_offset.y
        if place < top:
            self.scroll_to(y=place, animate=False)
        elif place >= top + self.size.height:
            self.scroll_to(y=place - self.size.height + 1, animate=False)
        self.refresh()
        self._moved()

    def _moved(self) -> None:
        self.post_message(self.Moved())

    def _text(self, line: FeedLine) -> Text:
        assert self._inks is not None
        assert self._glyphs is not None
        inks, ink = self._inks, _INKS[line.tone]
        wide = self._room >= _WIDE
        subject = (
            line.subject
            if wide
            else formats.short_id(line.subject, self._glyphs.ellipsis)
        )
        text = Text(" ", no_wrap=True)
        text.append(self._time(line), inks["quiet"])
        text.append(f"  {self._glyphs.tone(line.tone)} {line.what:<10} ", inks[ink])
        if line.lane:
            channel = line.lane.partition("/")[0]
            text.append(line.lane.ljust(14 if wide else 13), inks[channel])
        text.append(subject, inks["quiet" if line.tone is Tone.QUIET else "plain"])
        if line.similar:
            similar = f"  +{line.similar:,} more" if wide else f"  +{line.similar:,}"
            text.append(similar, inks["strong"])
        if line.words:
            text.append(f"  {line.words}", inks["quiet" if ink == "good" else ink])
        return text

    def _time(self, line: FeedLine) -> str:
        if self.ago:
            return f"{formats.age(self._now - line.at):>8} ago"
        return formats.clock(line.at, milliseconds=self._room >= _WIDE)
