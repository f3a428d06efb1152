"""Every key of the console, once: bindings, footer, help and palette are made from this.

Lower case reads, upper case changes the system: an operator can explore without fear.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from textual.binding import Binding, BindingType


class Level(IntEnum):
    """How much a key may change, and so how much it asks before it does."""

    READ = 0
    ONE = 1  #: changes one thing: asks yes or no
    MANY = 2  #: changes many: shows what would happen, asks for the count and a reason
    DESTROY = 3  #: cannot be undone: offers an export first


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key. ``scopes`` are the screens and widgets it works in; "app" is everywhere."""

    id: str
    key: str
    action: str
    label: str
    tooltip: str
    scopes: frozenset[str]
    shown: str = ""
    level: Level = Level.READ
    in_footer: bool = True

    def binding(self) -> Binding:
        """Return the key as Textual wants it; its id is what a keymap changes."""
        return Binding(
            self.key,
            self.action,
            self.label,
            show=self.in_footer,
            key_display=self.shown or None,
            tooltip=self.tooltip,
            id=self.id,
            group=SCREENS if self.id.startswith("screen.") else None,
        )

    @property
    def display(self) -> str:
        """Return the key as it is written for people."""
        return self.shown or self.key


SCREENS = Binding.Group("Screens", compact=True)

_APP = frozenset({"app"})
_DLQ = frozenset({"dlq"})
_STATES = frozenset({"lanes", "providers", "services", "schedule", "job"})
_TABLES = _STATES | _DLQ
_LANES = frozenset({"lanes", "lane"})
_LISTS = _TABLES | {"feed"}

KEYS: tuple[Key, ...] = (
    Key(
        id="screen.lanes",
        key="1",
        action="app.go('lanes')",
        label="Lanes",
        tooltip="The lanes: what waits, how fast it goes, what fails",
        scopes=_APP,
    ),
    Key(
        id="screen.dlq",
        key="2",
        action="app.go('dlq')",
        label="Dead letters",
        tooltip="The dead letters, by what they died of",
        scopes=_APP,
    ),
    Key(
        id="screen.trace",
        key="3",
        action="app.go('trace')",
        label="Trace",
        tooltip="What happened to one notification",
        scopes=_APP,
    ),
    Key(
        id="screen.feed",
        key="4",
        action="app.go('feed')",
        label="Feed",
        tooltip="Every status change as it happens",
        scopes=_APP,
    ),
    Key(
        id="screen.providers",
        key="5",
        action="app.go('providers')",
        label="Providers",
        tooltip="The providers: breakers, shares, latency, failures",
        scopes=_APP,
    ),
    Key(
        id="screen.services",
        key="6",
        action="app.go('services')",
        label="Services",
        tooltip="The processes of the mesh and how they are",
        scopes=_APP,
    ),
    Key(
        id="screen.schedule",
        key="7",
        action="app.go('schedule')",
        label="Schedule",
        tooltip="The scheduler's jobs, and what their runs repaired",
        scopes=_APP,
    ),
    Key(
        id="open",
        key="enter",
        action="screen.open",
        label="Open",
        tooltip="Open what is under the cursor",
        shown="enter",
        scopes=frozenset({"opening_table"}),
    ),
    Key(
        id="open-trace",
        key="enter",
        action="open",
        label="Trace",
        tooltip="Show what happened to the notification",
        shown="enter",
        scopes=frozenset({"feed"}),
    ),
    Key(
        id="back",
        key="escape",
        action="back",
        label="Back",
        tooltip="Go one step back: the filter, then the screen",
        shown="esc",
        scopes=_LISTS,
        in_footer=False,
    ),
    Key(
        id="leave",
        key="escape",
        action="back",
        label="Back",
        tooltip="Go back to where one came from",
        shown="esc",
        scopes=frozenset({"lane", "provider", "trace", "actions"}),
    ),
    Key(
        id="filter",
        key="slash",
        action="filter",
        label="Filter",
        tooltip="Show only what matches: words, field:value, !not",
        shown="/",
        scopes=_LISTS,
    ),
    Key(
        id="troubles",
        key="z",
        action="troubles",
        label="Trouble",
        tooltip="Show only what is failing, or everything again",
        scopes=_STATES | {"feed"},
    ),
    Key(
        id="sort",
        key="s",
        action="sort",
        label="Sort",
        tooltip="Sort by the next column",
        scopes=_TABLES,
        in_footer=False,
    ),
    Key(
        id="reverse",
        key="o",
        action="reverse",
        label="Reverse",
        tooltip="Turn the order round",
        scopes=_TABLES,
        in_footer=False,
    ),
    Key(
        id="follow",
        key="f",
        action="follow",
        label="Follow",
        tooltip="Follow the newest line, or stay where you are",
        scopes=frozenset({"feed"}),
    ),
    Key(
        id="times",
        key="t",
        action="times",
        label="Times",
        tooltip="Show times of day, or how long ago",
        scopes=frozenset({"feed"}),
        in_footer=False,
    ),
    Key(
        id="copy",
        key="c",
        action="copy",
        label="Copy",
        tooltip="Copy the id under the cursor",
        scopes=_LISTS | {"trace", "actions"},
        in_footer=False,
    ),
    Key(
        id="copy-row",
        key="y",
        action="copy_row",
        label="Copy row",
        tooltip="Copy the row under the cursor as JSON",
        scopes=_LISTS | {"lane", "provider", "actions"},
        in_footer=False,
    ),
    Key(
        id="copy-trace",
        key="y",
        action="copy_row",
        label="Copy JSON",
        tooltip="Copy the notification with its trace as JSON",
        scopes=frozenset({"trace"}),
        in_footer=False,
    ),
    Key(
        id="earlier",
        key="left_square_bracket",
        action="earlier",
        label="Earlier",
        tooltip="Go back to the notification before",
        shown="[",
        scopes=frozenset({"trace"}),
    ),
    Key(
        id="later",
        key="right_square_bracket",
        action="later",
        label="Later",
        tooltip="Go forward again",
        shown="]",
        scopes=frozenset({"trace"}),
    ),
    Key(
        id="pause",
        key="P",
        action="pause",
        label="Pause",
        tooltip="Pause the lane or its channel, or resume it",
        scopes=_LANES,
        level=Level.ONE,
    ),
    Key(
        id="limit",
        key="L",
        action="limit",
        label="Limit",
        tooltip="Set what the channel may send per second",
        scopes=_LANES,
        level=Level.MANY,
    ),
    Key(
        id="undo-limit",
        key="U",
        action="undo_limit",
        label="Undo limit",
        tooltip="Take the last change of the channel's limit back",
        scopes=_LANES,
        level=Level.MANY,
        in_footer=False,
    ),
    Key(
        id="breaker",
        key="B",
        action="breaker",
        label="Breaker",
        tooltip="Hold the breaker open, probe now, or reset it",
        scopes=frozenset({"providers", "provider"}),
        level=Level.MANY,
    ),
    Key(
        id="mark",
        key="space",
        action="mark",
        label="Mark",
        tooltip="Mark the letter; of a group, those that are loaded",
        scopes=_DLQ,
        in_footer=False,
    ),
    Key(
        id="mark-all",
        key="asterisk",
        action="mark_all",
        label="Mark all",
        tooltip="Mark all that match, loaded or not, or none",
        shown="*",
        scopes=_DLQ,
        in_footer=False,
    ),
    Key(
        id="export",
        key="e",
        action="export",
        label="Export",
        tooltip="Write the marked, or all that match, to a file",
        scopes=_DLQ,
        in_footer=False,
    ),
    Key(
        id="replay",
        key="R",
        action="replay",
        label="Replay",
        tooltip="Have the marked, or the current, sent again",
        scopes=_DLQ,
        level=Level.ONE,
    ),
    Key(
        id="discard",
        key="D",
        action="discard",
        label="Discard",
        tooltip="Put the marked, or the current, away for good",
        scopes=_DLQ,
        level=Level.DESTROY,
    ),
    Key(
        id="cancel",
        key="X",
        action="cancel",
        label="Cancel",
        tooltip="Call the notification back before it is sent",
        scopes=frozenset({"feed", "trace"}),
        level=Level.ONE,
    ),
    Key(
        id="stop",
        key="S",
        action="stop",
        label="Stop",
        tooltip="Stop the operation; what it has done stays done",
        scopes=frozenset({"actions"}),
        level=Level.ONE,
    ),
    Key(
        id="seek",
        key="g",
        action="app.seek",
        label="Go to",
        tooltip="Look a notification up by id, key or recipient",
        scopes=_APP,
        in_footer=False,
    ),
    Key(
        id="actions",
        key="a",
        action="app.actions",
        label="Actions",
        tooltip="What operators did, and what came of it",
        scopes=_APP,
        in_footer=False,
    ),
    Key(
        id="freeze",
        key="p",
        action="app.freeze",
        label="Freeze",
        tooltip="Hold the display still; the console keeps listening",
        scopes=_APP,
        in_footer=False,
    ),
    Key(
        id="refresh",
        key="r",
        action="app.refresh_now",
        label="Refresh",
        tooltip="Ask the bus now; when it is away, try to connect now",
        scopes=_APP,
        in_footer=False,
    ),
    Key(
        id="down",
        key="j",
        action="cursor_down",
        label="Down",
        tooltip="Move down, as the arrow key does",
        scopes=frozenset({"table", "feed_view"}),
        in_footer=False,
    ),
    Key(
        id="up",
        key="k",
        action="cursor_up",
        label="Up",
        tooltip="Move up, as the arrow key does",
        scopes=frozenset({"table", "feed_view"}),
        in_footer=False,
    ),
    Key(
        id="help",
        key="question_mark",
        action="app.help",
        label="Help",
        tooltip="Show every key that works here",
        shown="?",
        scopes=_APP,
    ),
    Key(
        id="quit",
        key="q",
        action="app.quit",
        label="Quit",
        tooltip="Leave the console; Ctrl-Q leaves from anywhere",
        scopes=_APP,
    ),
)


def bindings(*scopes: str) -> list[BindingType]:
    """Return the bindings of a screen or widget."""
    return [key.binding() for key in in_scope(*scopes)]


def in_scope(*scopes: str) -> Iterable[Key]:
    """Return the keys that work in any of the scopes, in the table's order."""
    return [key for key in KEYS if key.scopes & set(scopes)]


def of_action(action: str, *scopes: str) -> Key | None:
    """Return the key of an action in some scopes, if it has one there."""
    return next((key for key in in_scope(*scopes) if key.action == action), None)


def as_markdown() -> str:
    """Return the table of keys as the documentation shows it."""
    lines = [
        "| key | where | what it does | before it changes anything |",
        "|---|---|---|---|",
    ]
    for key in KEYS:
        where = "everywhere" if "app" in key.scopes else _where(key.scopes)
        asks = _ASKS[key.level]
        lines.append(f"| `{key.display}` | {where} | {key.tooltip} | {asks} |")
    return "\n".join(lines)


_ASKS = {
    Level.READ: "",
    Level.ONE: "asks y/n",
    Level.MANY: "asks why, and to type what is meant",
    Level.DESTROY: "offers an export, asks why, and to type what is meant",
}


#: Where the keys of a part of a screen work, in words.
_PLACES = {
    "lane": "a lane",
    "provider": "a provider",
    "job": "a job",
    "opening_table": "dlq, lanes, providers, schedule",
    "table": "lists",
    "feed_view": "lists",
}


def _where(scopes: Iterable[str]) -> str:
    return ", ".join(sorted({_PLACES.get(scope, scope) for scope in scopes}))
