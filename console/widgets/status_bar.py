"""The top line: which mesh, how fresh, which servers are well; a second line when not."""

from rich.style import Style
from rich.text import Text
from textual.widgets import Static

from console import formats
from console.events import LinkCondition
from console.model.views import SERVICE_TROUBLES, LinkView, ServiceHealth
from console.picture import Cell, Picture
from console.sentences import trouble_of

_SLOW_SECONDS = 0.5
#: The age of the news is worth a number once a report has been missed.
_FRESH_SECONDS = 1.5
_SERVERS = {"postgres": "PG", "redis": "Redis"}


class StatusBar(Static):
    """One line of chips; what matters most stays when the terminal is narrow."""

    def paint(self, picture: Picture) -> None:
        """Draw the chips and the time."""
        self.set_class(picture.place.is_production, "-production")
        chips = [
            Cell(f" {picture.place.name}", "strong"),
            _arms_chip(picture),
            link_chip(picture),
            *_server_chips(picture),
            *_gateway_chips(picture),
            *_service_chips(picture),
        ]
        line = _line(picture, chips, _right_chips(picture), self.content_size.width)
        self.update(line, layout=False)


def link_chip(picture: Picture) -> Cell:
    """Say how fresh the news is."""
    link, glyphs = picture.link, picture.glyphs
    match link.condition:
        case LinkCondition.ENDED:
            return Cell(f"{glyphs.pause} recording ended", "note")
        case LinkCondition.CONNECTING:
            return Cell(f"{glyphs.ring} connecting", "note")
        case LinkCondition.RETRYING:
            return Cell(f"{glyphs.cross} retrying {link.attempt}", "bad")
    age = link.age_seconds
    if age is None:
        return Cell(f"{glyphs.ring} listening", "note")
    if link.stale:
        return Cell(f"{glyphs.cross} no news {formats.age(age)}", "bad")
    if age > _FRESH_SECONDS:
        return Cell(f"{glyphs.half} live {formats.age(age)}", "warn")
    return Cell(f"{glyphs.dot} live", "good")


def _arms_chip(picture: Picture) -> Cell:
    return Cell("rw", "accent") if picture.acting.armed else Cell("read-only", "quiet")


def _gateway_chips(picture: Picture) -> list[Cell]:
    """Say how the gateway is, where there is one to look up and change through."""
    acting = picture.acting
    if acting.operator is None:
        return []
    if acting.trouble:
        return [Cell("GW down", "bad")]
    return [Cell("GW ok", "quiet")] if acting.reached else []


def _server_chips(picture: Picture) -> list[Cell]:
    chips = [_bus_chip(picture.link)]
    for name, short in _SERVERS.items():
        said = picture.snapshot.dependencies.get(name)
        if said is not None:
            ink = "quiet" if said == "ok" else "bad"
            chips.append(Cell(f"{short} {said}", ink))
    return chips


def _bus_chip(link: LinkView) -> Cell:
    if link.condition is LinkCondition.ENDED:
        return Cell("replay", "quiet")
    if link.condition is not LinkCondition.CONNECTED:
        return Cell("NATS down", "bad")
    if link.stale:
        return Cell("NATS silent", "bad")
    if (link.answer_seconds or 0.0) > _SLOW_SECONDS:
        return Cell(f"NATS slow {link.answer_seconds:.1f}s", "warn")
    return Cell("NATS ok", "quiet")


def _service_chips(picture: Picture) -> list[Cell]:
    services = picture.snapshot.services
    health = [service.health for service in services]
    troubled = [state for state in health if state in SERVICE_TROUBLES]
    late = sorted({service.service for service in services if service.late})
    if late and not troubled:
        words = f"{', '.join(late)} late"
        return [Cell(f"{picture.glyphs.half} {words}", "warn")]
    if not troubled:
        ready = health.count(ServiceHealth.READY)
        return [Cell(f"{ready} ready", "quiet")] if ready else []
    worst = min(troubled, key=list(ServiceHealth).index)
    words = f"{troubled.count(worst)} {worst}"
    return [Cell(f"{picture.glyphs.cross} {words}", "bad")]


def _right_chips(picture: Picture) -> list[Cell]:
    chips = []
    if picture.frozen_seconds is not None:
        age = formats.age(picture.frozen_seconds)
        chips.append(Cell(f"{picture.glyphs.pause} FROZEN {age}", "warn"))
    if picture.recording:
        ink = "note" if picture.recording == "rec" else "bad"
        chips.append(Cell(picture.recording, ink))
    if picture.place.replayed:
        chips.append(Cell("replay", "note"))
    chips.append(Cell(f"{formats.clock(picture.now)}Z", "plain"))
    return chips


def _line(picture: Picture, left: list[Cell], right: list[Cell], width: int) -> Text:
    end = _joined(right, picture).append(" ")
    room = width - end.cell_len - 1
    badge = Text().append(" tocsin ", picture.inks["accent"] + Style(reverse=True))
    line = badge + _joined(left, picture)
    while line.cell_len > room and (spare := _spare(left)) is not None:
        left = [chip for chip in left if chip is not spare]
        line = badge + _joined(left, picture)
    line.truncate(max(0, room), overflow="ellipsis")
    line.append(" " * max(0, width - line.cell_len - end.cell_len))
    line.no_wrap = True
    return line + end


def _spare(chips: list[Cell]) -> Cell | None:
    """Return what a narrow terminal can do without: the last that tells no trouble."""
    return next((chip for chip in reversed(chips) if chip.ink == "quiet"), None)


def _joined(chips: list[Cell], picture: Picture) -> Text:
    text = Text(no_wrap=True)
    for position, chip in enumerate(chips):
        if position:
            text.append("  ")
        text.append(chip.text, picture.inks[chip.ink])
    return text


class Banner(Static):
    """Says across the screen that the numbers are old, or missing, and why."""

    def paint(self, picture: Picture) -> None:
        """Show the sentence, or nothing when there is none to say."""
        sentence = trouble_of(picture.link)
        self.set_class(picture.link.stale, "-stale")
        self.display = bool(sentence)
        text = Text(f" {sentence}", no_wrap=True, overflow="ellipsis")
        self.update(text, layout=False)
