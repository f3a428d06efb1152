"""Every status change as it happens."""

from textual.app import ComposeResult
from textual.widget import Widget

from console import keys
from console.keys import Key, Level
from console.model.views import FeedLine, Tone
from console.picture import Picture
from console.readings import FEED_FIELDS
from console.screens.cancelling import against_cancelling, cancelling
from console.screens.mesh_screen import ListScreen
from console.widgets.feed_view import FeedView
from console.widgets.filter_bar import FilterBar


class FeedScreen(ListScreen[FeedLine]):
    """The feed, with a cursor."""

    scope = "feed"
    BINDINGS = keys.bindings("feed")

    def __init__(self) -> None:
        super().__init__(FEED_FIELDS)

    def parts(self) -> ComposeResult:
        """Make the list and the filter."""
        view = FeedView(id="feed", classes="panel")
        view.border_title = "feed"
        yield view
        yield FilterBar()

    def list_widget(self) -> Widget:
        """Return the list."""
        return self._view

    def current(self) -> FeedLine | None:
        """Return the line under the cursor."""
        return self._view.cursor_line

    def id_of(self, row: FeedLine) -> str:
        """Return the notification's id, or the service's name."""
        return row.subject

    def is_trouble(self, row: FeedLine) -> bool:
        """Say whether the line tells of something that went wrong."""
        return row.tone in {Tone.BAD, Tone.WARN}

    def draw(self, picture: Picture) -> None:
        """Draw the feed of a picture."""
        lines = self.chosen(picture.snapshot.feed)
        self._view.paint(picture, lines, instead=self._nothing(picture))
        self._view.border_subtitle = self._subtitle(picture)

    def illegal(self, key: Key) -> str:
        """Say why a key makes no sense for the line under the cursor."""
        if key.id != "open-trace" and key.level is Level.READ:
            return ""
        line = self.current()
        if line is None or line.change is None:
            return "no notification is selected"
        cancels = key.level > Level.READ
        return against_cancelling(line.change.status) if cancels else ""

    def action_open(self) -> None:
        """Show what happened to the notification under the cursor."""
        line = self.current()
        if line is not None:
            self.post_message(self.Seek(line.subject))

    def action_cancel(self) -> None:
        """Call the notification under the cursor back."""
        line, picture = self.current(), self.picture
        if line is None or line.change is None or picture is None:
            return
        operator, change = picture.acting.operator, line.change
        if operator is not None:
            self.propose(
                cancelling(change.notification_id, line.lane, change.status, operator)
            )

    def action_follow(self) -> None:
        """Follow the newest line, or stay here."""
        if self._view.following:
            self._view.stay()
        else:
            self._view.follow()
        self.redraw()

    def action_times(self) -> None:
        """Turn between times of day and how long ago."""
        self._view.ago = not self._view.ago
        self.redraw()

    def on_feed_view_moved(self) -> None:
        """Say whether the feed is followed."""
        self.bring_keys()
        if self.picture is not None:
            self._view.border_subtitle = self._subtitle(self.picture)

    @property
    def _view(self) -> FeedView:
        return self.query_one("#feed", FeedView)

    def _subtitle(self, picture: Picture) -> str:
        words = []
        snapshot = picture.snapshot
        if snapshot.dropped:
            words.append(f"{snapshot.dropped:,} dropped")
        if snapshot.unreadable:
            words.append(f"{snapshot.unreadable:,} unreadable")
        if self._view.following:
            words.append("following")
        else:
            unseen = self._view.unseen
            words.append(f"+{unseen:,} new, f follows" if unseen else "f follows")
        return "  ".join(words)

    def _nothing(self, picture: Picture) -> str:
        if not picture.snapshot.feed:
            return "Nothing has happened yet. Status changes appear here as they come."
        return f"No lines {self.reduction()}; esc shows all."
