"""What a screen is given to draw: one moment, and how to show it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from console.acting import Acting
from console.glyphs import Glyphs
from console.model.views import Flow, LinkView, ProviderFlow, RunView, Snapshot
from console.place import Place
from console.themes import Inks
from contracts.channels import Lane


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One painting. ``link`` is of now even when ``snapshot`` was frozen earlier."""

    snapshot: Snapshot
    link: LinkView
    now: float
    flow: Callable[[Lane], Flow]
    provider_flow: Callable[[str], ProviderFlow]
    runs_of: Callable[[str], Sequence[RunView]]
    place: Place
    acting: Acting
    inks: Inks
    news: Inks
    """The inks for numbers: ``inks``, or faded ones while the news is stale."""
    glyphs: Glyphs
    frozen_seconds: float | None = None
    recording: str = ""
    """"rec", or why the recording ended; empty when there is none."""


class Cell(NamedTuple):
    """A piece of text and the ink it is written in."""

    text: str
    ink: str = "plain"
