"""Small files, written so that a reader never sees half of one."""

import os
from pathlib import Path


def write_atomically(path: Path, text: str, *, sync: bool = False) -> None:
    """Replace the file, private to its owner, in one step; the old one stays on failure.

    With `sync` it is on the disk before the step, for what must survive a power cut.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            if sync:
                file.flush()
                os.fsync(descriptor)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
