"""The data folder: one live owner at a time, writable, with room, cleaned of leftovers."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ops.embedded import logs
from ops.embedded.child import Child, Spec
from ops.embedded.errors import FolderInUse, FolderUnusable
from ops.embedded.roster import Roster

# A fresh cluster, its write-ahead log and the first streams take about 100 MB.
_LEAST_FREE_BYTES = 200 * 1024 * 1024

_TEMPORARY_PREFIX = "tocsin-up-"


@dataclass(frozen=True, kw_only=True)
class DataFolder:
    path: Path
    roster: Roster
    #: Names of the children that a killed predecessor had left and that were ended.
    leftovers: tuple[str, ...]

    def child(self, spec: Spec, on_spawn: Callable[[], None] = lambda: None) -> Child:
        """Make a child that logs to logs/NAME.log; the log of the last run is kept as .1."""
        log = self.path / "logs" / f"{spec.name}.log"
        try:
            if log.exists():
                log.replace(logs.previous(log))
        except OSError as error:
            raise unusable(self.path, error) from error
        return Child(spec, log=log, roster=self.roster, on_spawn=on_spawn)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free


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


@contextmanager
def temporary() -> Iterator[Path]:
    """Lend a folder that is gone afterwards; those of killed runs go now."""
    try:
        for orphan in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY_PREFIX}*"):
            _discard(orphan)
        path = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX))
    except OSError as error:
        raise FolderUnusable(
            f"cannot make a temporary folder: {error.strerror}"
        ) from error
    path.chmod(0o711)  # root's Postgres runs as another user and has to pass through
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _discard(path: Path) -> None:
    """Remove a temporary folder of ours unless its owner lives."""
    with suppress(OSError, FolderInUse):
        mine = path.lstat().st_uid == os.getuid() and not path.is_symlink()
        if mine and (path / "lock").exists():
            with _locked(path):
                Roster(path / "processes.json").clear_leftovers()
                shutil.rmtree(path, ignore_errors=True)


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
