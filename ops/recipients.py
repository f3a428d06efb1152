"""A file of recipients, read as batches that are the same each time it is read.

The first line names the columns: ``recipient`` (or ``to``), and where they differ from line
to line ``channel``, ``content``, ``subject``, ``priority`` and ``metadata`` (a JSON object).
An empty cell means what was given for the whole file.
"""

import csv
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from contracts import limits
from contracts.channels import Channel, Priority

#: The names a column may have, and the field each stands for.
COLUMNS = {
    "recipient": "recipient",
    "to": "recipient",
    "channel": "channel",
    "content": "content",
    "subject": "subject",
    "priority": "priority",
    "metadata": "metadata",
}
_DELIMITERS = ",;\t"
_OPENING, _CLOSING = b'{"notifications":[', b"]}"
#: Room for the key of the last digits of a hash in 255 characters, and no accidental twins.
_JOB_DIGITS = 32

_CHANNELS = {str(channel): channel for channel in Channel}


class FileUnusable(Exception):
    """The file cannot be read as recipients; the message says why in one sentence."""


class Common(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What holds for every line that does not say otherwise."""

    channel: str | None = None
    content: str | None = None
    subject: str | None = None
    priority: str | None = None
    metadata: dict[str, Any] | None = None
    scheduled_at: str | None = None
    #: Sets this sending of the file apart from another sending of the same file.
    label: str | None = None


class Fault(NamedTuple):
    """One thing that is wrong in a line."""

    line: int
    field: str
    detail: str


class Batch(NamedTuple):
    """Consecutive lines as one request."""

    first_line: int
    last_line: int
    size: int
    body: bytes
    key: str  #: the idempotency key: the same for the same lines of the same file


class Examined(NamedTuple):
    """What a file is, known before anything is sent."""

    rows: int
    batches: int
    faults: list[Fault]
    ignored_columns: list[str]
    job: str  #: names this file, sent with these options


def examine(path: Path, common: Common) -> Examined:
    """Read the whole file once; raises FileUnusable."""
    job = _job(path, common)
    faults: list[Fault] = []
    rows = batches = 0
    for batch in _batches(path, common, job, faults):
        rows += batch.size
        batches += 1
    return Examined(rows, batches, faults, _ignored(path), job)


def batches(path: Path, common: Common, job: str) -> Iterator[Batch]:
    """Read the file again, as what is to be sent; raises FileUnusable when it has changed."""
    faults: list[Fault] = []
    for batch in _batches(path, common, job, faults):
        if faults:
            break
        yield batch
    if faults or _job(path, common) != job:
        raise FileUnusable(f"{path} has changed while it was being sent")


def _job(path: Path, common: Common) -> str:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise _unreadable(path, error) from error
    digest.update(b"\0" + msgspec.json.encode(common))
    return digest.hexdigest()[:_JOB_DIGITS]


def _batches(
    path: Path, common: Common, job: str, faults: list[Fault]
) -> Iterator[Batch]:
    """Cut the file where a batch has as many items or bytes as it may."""
    items: list[bytes] = []
    size = first = last = 0

    def cut() -> Batch:
        body = _OPENING + b",".join(items) + _CLOSING
        return Batch(first, last, len(items), body, f"file-{job}-{first}-{last}")

    envelope = len(_OPENING) + len(_CLOSING)
    for line, item in _items(path, common, faults):
        full = len(items) == limits.BATCH_AT_MOST_ITEMS
        long = size + len(item) + envelope > limits.BATCH_AT_MOST_BYTES
        if items and (full or long):
            yield cut()
            items, size = [], 0
        if not items:
            first = line
        items.append(item)
        size += len(item) + 1
        last = line
    if items:
        yield cut()


def _items(
    path: Path, common: Common, faults: list[Fault]
) -> Iterator[tuple[int, bytes]]:
    for line, row, misshapen in _rows(path):
        item, wrong = ({}, [misshapen]) if misshapen else _item(row, common)
        if wrong:
            faults += [Fault(line, field, detail) for field, detail in wrong]
        else:
            yield line, msgspec.json.encode(item)


def _item(
    row: dict[str, str], common: Common
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return one line as a request, and what is wrong with it as (field, rule)."""
    wrong: list[tuple[str, str]] = []
    item: dict[str, Any] = {}

    def check(field: str, value: Any, rule: str | None) -> None:
        if rule is not None:
            wrong.append((field, rule))
        elif value:
            item[field] = value

    given = (row.get("channel") or common.channel or "").strip().lower()
    channel = _CHANNELS.get(given)
    if channel is None:
        wrong.append(("channel", f"channel is one of {', '.join(Channel)}"))
    else:
        recipient = row.get("recipient", "")
        content = row.get("content") or common.content or ""
        item["channel"] = channel
        check("recipient", recipient, limits.recipient_fault(channel, recipient))
        check("content", content, limits.content_fault(channel, content))
    priority = (row.get("priority") or common.priority or Priority.NORMAL).lower()
    known = priority in set(Priority)
    rule = None if known else f"priority is one of {', '.join(Priority)}"
    check("priority", priority, rule)
    subject = row.get("subject") or common.subject or ""
    check("subject", subject, limits.subject_fault(subject))
    try:
        check("metadata", *_metadata(row.get("metadata"), common))
    except ValueError as error:
        wrong.append(("metadata", str(error)))
    if common.scheduled_at:
        item["scheduled_at"] = common.scheduled_at
    return item, wrong


def _metadata(
    cell: str | None, common: Common
) -> tuple[dict[str, Any] | None, str | None]:
    metadata = read_metadata(cell) if cell else common.metadata
    return metadata, None if metadata is None else limits.metadata_fault(
        msgspec.json.encode(metadata)
    )


def read_metadata(text: str) -> dict[str, Any]:
    """Read metadata as a person writes it; raises ValueError."""
    try:
        metadata: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError('metadata is a JSON object, like {"order": 4711}') from error
    return metadata


def _rows(
    path: Path,
) -> Iterator[tuple[int, dict[str, str], tuple[str, str] | None]]:
    """Yield each line that is not empty: its number, its cells by field, or what it lacks."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, reader = _opened(path, file)
            fields = [COLUMNS.get(name) for name in header]
            line = reader.line_num + 1
            for cells in reader:
                row = {
                    field: cell.strip() if field != "content" else cell
                    for field, cell in zip(fields, cells, strict=False)
                    if field is not None
                }
                if any(cells):
                    yield line, row, _misshapen(header, cells)
                line = reader.line_num + 1
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise FileUnusable(f"{path} is not UTF-8") from error
    except csv.Error as error:
        raise FileUnusable(f"{path} is not CSV: {error}") from error


def _misshapen(header: list[str], cells: list[str]) -> tuple[str, str] | None:
    if len(cells) != len(header):
        detail = (
            f"it has {len(cells)} cells for {len(header)} columns;"
            " put a cell that holds a delimiter in quotes"
        )
        return "line", detail
    for name, cell in zip(header, cells, strict=True):
        if "\0" in cell:
            return (COLUMNS.get(name, "line"), "NUL characters are not accepted")
    return None


def _opened(path: Path, file: Iterable[str]) -> tuple[list[str], Any]:
    """Read the line that names the columns; returns them and the reader of the rest."""
    lines = iter(file)
    first = next(lines, "")
    for delimiter in _DELIMITERS:
        names = next(csv.reader([first], delimiter=delimiter), [])
        header = [name.strip().lower() for name in names]
        if "recipient" in {COLUMNS.get(name) for name in header}:
            break
    else:
        raise FileUnusable(
            f"{path} has no column 'recipient' (or 'to'): its first line names the columns"
        )
    fields = [COLUMNS[name] for name in header if name in COLUMNS]
    if len(fields) != len(set(fields)):
        raise FileUnusable(f"{path} has two columns for the same field")
    reader = csv.reader(_with(first, lines), delimiter=delimiter, strict=True)
    next(reader)
    return header, reader


def _with(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _ignored(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, _ = _opened(path, file)
    return [name for name in header if name and name not in COLUMNS]


def _unreadable(path: Path, error: OSError) -> FileUnusable:
    return FileUnusable(f"{path} cannot be read: {error.strerror or error}")
