"""Who was started from a data folder: kept on disk, so that a successor can clean up.

A pid alone proves nothing once its process is gone, so the time the process was created
is kept with it and both must match before anything is signalled.
"""

import contextlib
import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ops.embedded import files

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
            age = abs(process.create_time() - self.created)
            same = age < _CLOCK_SLACK_SECONDS
            alive = process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return None
        return process if same and alive else None


class Roster:
    """The children running from one data folder, rewritten atomically at each change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}

    def enter(self, name: str, pid: int, orphan_signal: int) -> None:
        created = psutil.Process(pid).create_time()
        self._entries[name] = Entry(
            name=name, pid=pid, created=created, orphan_signal=orphan_signal
        )
        self._write()

    def leave(self, name: str) -> None:
        if self._entries.pop(name, None):
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
        _, stubborn = psutil.wait_procs(family, timeout=patience_seconds)
        for process in stubborn:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(stubborn, timeout=patience_seconds)
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


def end_group(pid: int) -> None:
    """Kill what is left of the process group that the child led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
