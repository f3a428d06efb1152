"""The data folder: one live owner at a time, writable, with room, cleaned of leftovers."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.embedded.child import Child, Spec
from ops.embedded.errors import FolderInUse, FolderUnusable
from ops.embedded.roster import Roster

# A fresh cluster, its write-ahead log and the first streams take about 100 MB.
_LEAST_FREE_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class DataFolder:
    path: Path
    roster: Roster
    #: Names of the children that a killed predecessor had left and that were ended.
    leftovers: tuple[str, ...]

    def child(self, spec: Spec) -> Child:
        """Make a child that logs to logs/NAME.log; the log of the last run is kept as .1."""
        log = self.path / "logs" / f"{spec.name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        return Child(spec, log=log, roster=self.roster)


@contextmanager
def opened(path: Path) -> Iterator[DataFolder]:
    """Own the folder for the duration; raises FolderInUse or FolderUnusable."""
    path = path.absolute()
    with ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(path))
            (path / "logs").mkdir(exist_ok=True)
            _try_writing(path)
            roster = Roster(path / "processes.json")
            leftovers = tuple(roster.clear_leftovers())
        except OSError as error:
            raise unusable(path, error) from error
        yield DataFolder(path=path, roster=roster, leftovers=leftovers)


def unusable(path: Path, error: OSError) -> FolderUnusable:
    """Say in one sentence why the folder cannot be used."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            why = "the disk is full"
        case errno.EROFS:
            why = "the disk is read-only"
        case errno.EACCES | errno.EPERM:
            owner = _owner(path)
            why = f"user {os.getuid()} may not write there{owner}"
        case errno.EEXIST | errno.ENOTDIR:
            why = "it is not a folder"
        case _:
            why = error.strerror or str(error)
    return FolderUnusable(
        f"cannot use the data folder {path}: {why}; choose another with --data"
    )


def _owner(path: Path) -> str:
    try:
        return f", it belongs to user {path.stat().st_uid}"
    except OSError:
        return ""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise FolderInUse(
                f"the data folder {path} is in use by another tocsin (pid {holder});"
                " stop that one, or choose another folder with --data"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _try_writing(path: Path) -> None:
    with tempfile.TemporaryFile(dir=path) as probe:
        probe.write(bytes(4096))
        probe.flush()
        os.fsync(probe.fileno())
    free = shutil.disk_usage(path).free
    if free < _LEAST_FREE_BYTES:
        raise FolderUnusable(
            f"the disk that holds {path} has {free / 2**20:.0f} MB free and at least"
            f" {_LEAST_FREE_BYTES / 2**20:.0f} MB are needed;"
            " make room, or choose another folder with --data"
        )
