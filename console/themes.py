"""Our two themes, and the inks that tables and lines are written in."""

from collections.abc import Mapping

from rich.style import Style
from textual.color import Color, ColorParseError
from textual.theme import Theme

DARK = Theme(
    name="tocsin-dark",
    primary="#5aa7e0",
    secondary="#3d4b5e",
    accent="#e8b04a",
    warning="#e8a33d",
    error="#ff6161",
    success="#5fbf85",
    foreground="#d7dde6",
    background="#0e1116",
    surface="#0e1116",
    panel="#1b212b",
    dark=True,
    variables={
        "quiet": "#7f8a9b",
        "edge": "#2b3442",
        "sms": "#4cc0c4",
        "email": "#8f9ff2",
        "push": "#c990e6",
        "cursor": "#24364d",
        "block-cursor-background": "#24364d",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#1b2735",
        "footer-background": "#151a22",
        "footer-key-foreground": "#e8b04a",
        "footer-description-foreground": "#97a1b0",
    },
)

LIGHT = Theme(
    name="tocsin-light",
    primary="#1c69ad",
    secondary="#c4ccd6",
    accent="#8f5a00",
    warning="#9a5800",
    error="#c01f1f",
    success="#1c7440",
    foreground="#1c2430",
    background="#fbfbf9",
    surface="#fbfbf9",
    panel="#eceeed",
    dark=False,
    variables={
        "quiet": "#68727f",
        "edge": "#cfd4da",
        "sms": "#08757b",
        "email": "#4152c4",
        "push": "#8636ad",
        "cursor": "#d3e3f3",
        "block-cursor-background": "#d3e3f3",
        "block-cursor-foreground": "#0b1320",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#e6edf4",
        "footer-background": "#eceeed",
        "footer-key-foreground": "#8f5a00",
        "footer-description-foreground": "#56606d",
    },
)

_FADING = 0.5

#: What other themes than ours do not name: shades that can be read on dark and on light.
ELSEWHERE = {
    "quiet": "#808a96",
    "edge": "#68717d",
    "sms": "#1f9ea3",
    "email": "#7081e6",
    "push": "#ad6ccb",
    "cursor": "#5d7a99",
}

THEMES = {"dark": DARK, "light": LIGHT}

#: Ink → the theme variable that colours it, and the attributes that go with it. The error
#: colour means trouble and is used for nothing else.
_INKS: dict[str, tuple[str, str]] = {
    "plain": ("foreground", ""),
    "strong": ("foreground", "bold"),
    "quiet": ("quiet", ""),
    "good": ("success", ""),
    "warn": ("warning", ""),
    "bad": ("error", "bold"),
    "note": ("primary", ""),
    "accent": ("accent", "bold"),
    "sms": ("sms", ""),
    "email": ("email", ""),
    "push": ("push", ""),
    "edge": ("edge", ""),
}


class Inks:
    """Resolves the name of an ink to a style of the current theme."""

    def __init__(self, variables: Mapping[str, str], *, faded: bool = False) -> None:
        self._variables = variables
        background = _color(variables, "background") if faded else None
        self._styles = {
            ink: _style(_color(variables, name), attributes, background)
            for ink, (name, attributes) in _INKS.items()
        }
        self.cursor = _color(variables, "cursor").rich_color

    def faded(self) -> "Inks":
        """Return the same inks, half gone into the background: for old news."""
        return Inks(self._variables, faded=True)

    def __getitem__(self, ink: str) -> Style:
        return self._styles[ink]


def _style(color: Color, attributes: str, background: Color | None) -> Style:
    if background is not None:
        color = color.blend(background, _FADING)
    return Style.parse(attributes) + Style(color=color.rich_color)


def _color(variables: Mapping[str, str], name: str) -> Color:
    try:
        return Color.parse(variables[name])
    except ColorParseError:  # such as "auto 60%", which is no colour by itself
        return Color.parse("ansi_default")
