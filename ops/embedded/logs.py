"""Logs that cannot fill the disk: each child has a file and one that went before."""

import contextlib
import os
import shutil
from pathlib import Path

LIMIT_BYTES = 32 * 1024 * 1024


def previous(log: Path) -> Path:
    return log.with_suffix(".log.1")


def trim(log: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Move what a log holds to NAME.log.1 once it is too long; its writer goes on.

    The writer has the file open for appending, so it is emptied and not replaced. What
    is written between the two steps is lost.
    """
    with contextlib.suppress(OSError):
        if log.stat().st_size > limit_bytes:
            shutil.copyfile(log, previous(log))
            os.truncate(log, 0)
