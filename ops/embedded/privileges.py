"""Who runs Postgres when tocsin runs as root, and whether that user gets where it must."""

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ops.embedded.errors import FolderUnusable

_NOBODY = 65534
_CAP_DAC_OVERRIDE, _CAP_SETPCAP = 1 << 1, 1 << 8


def postgres_user(cluster: Path) -> tuple[int, int] | None:
    """Return the cluster's owner, nobody for a new one, or None when we are not root."""
    if os.getuid() != 0:
        return None
    with suppress(FileNotFoundError):
        owner = cluster.stat()
        return owner.st_uid, owner.st_gid
    return _NOBODY, _NOBODY


def give(path: Path, user: tuple[int, int]) -> None:
    """Hand the file to the user; raises FolderUnusable where root may not do that."""
    try:
        os.chown(path, *user)
    except OSError as error:
        raise FolderUnusable(
            f"Postgres does not run as root, and here root cannot hand {path} to user"
            f" {user[0]} ({error.strerror}); run tocsin as an ordinary user"
        ) from error


def open_every_door() -> bool:
    """Say whether this root holds the capability that the launcher hands on."""
    return _holds(_CAP_DAC_OVERRIDE)


def run_behind_doors() -> bool:
    """Say whether what the launcher hands on lets Postgres find its programs as well."""
    return _holds(_CAP_DAC_OVERRIDE | _CAP_SETPCAP)


def _holds(capabilities: int) -> bool:
    if sys.platform != "linux":
        return False
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16) & capabilities == capabilities
    return False


def check_way(user: tuple[int, int], targets: Iterable[Path]) -> None:
    """Raise FolderUnusable unless the user can enter the folders above the targets."""
    for target in targets:
        for folder in reversed(target.parents):
            if not _may_enter(user, folder):
                raise FolderUnusable(
                    f"Postgres does not run as root, and user {user[0]} may not enter"
                    f" {folder}; keep {target} where others may enter,"
                    " or run tocsin as an ordinary user"
                )


def _may_enter(user: tuple[int, int], folder: Path) -> bool:
    found = folder.stat()
    if found.st_uid == user[0]:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == user[1]:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
