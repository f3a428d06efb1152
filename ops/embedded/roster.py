"""Who was started from a data folder: kept on disk, so that a successor can clean up.

A pid alone proves nothing once its process is gone, so the time the process was created
is kept with it and both must match before anything is signalled.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ops.embedded import files, processes

# psutil derives creation times from the boot time, which moves when the clock is set.
_CLOCK_SLACK_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Entry:
    name: str
    pid: int
    created: float
    orphan_signal: int

    def process(self) -> psutil.Process | None:
        """Return the very process that was entered, or None when it is gone."""
        try:
            process = psutil.Process(self.pid)
            apart = abs(process.create_time() - self.created)
        except psutil.Error:
            return None
        same = apart < _CLOCK_SLACK_SECONDS
        return process if same and processes.lives(process) else None


class Roster:
    """The children running from one data folder, rewritten atomically at each change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}

    def enter(self, name: str, pid: int, orphan_signal: int) -> None:
        try:
            created = psutil.Process(pid).create_time()
        except psutil.Error:  # gone already
            return
        self._entries[name] = Entry(
            name=name, pid=pid, created=created, orphan_signal=orphan_signal
        )
        self._write()

    def leave(self, name: str) -> None:
        """Take the child off; a full disk may keep the entry, which then matches nobody."""
        if self._entries.pop(name, None):
            with contextlib.suppress(OSError):
                self._write()

    def clear_leftovers(self, patience_seconds: float = 5.0) -> list[str]:
        """End what a killed predecessor left running; return the names.

        Each process first gets its own orphan signal, and SIGKILL with all it started
        once patience is over.
        """
        found = [(e, p) for e in self._read() if (p := e.process())]
        family = [p for _, p in found]
        for entry, process in found:
            with contextlib.suppress(psutil.Error):
                family += process.children(recursive=True)
                process.resume()
                process.send_signal(entry.orphan_signal)
        processes.kill(processes.survivors(family, patience_seconds))
        self._entries.clear()
        self._write()
        return [entry.name for entry, _ in found]

    def _read(self) -> list[Entry]:
        try:
            return [Entry(**fields) for fields in json.loads(self._path.read_bytes())]
        except (FileNotFoundError, ValueError, TypeError):
            return []

    def _write(self) -> None:
        entries = [asdict(entry) for entry in self._entries.values()]
        files.write_atomically(self._path, json.dumps(entries, indent=1))
