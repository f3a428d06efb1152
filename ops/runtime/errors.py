"""What can go wrong between a service and its servers.

MeshError
├── BusUnavailable      the bus did not confirm; whether it stored is unknown
│   └── BusFull         the bus refused because a limit is reached; nothing stored
├── ControlChanged      somebody else has changed it first; nothing stored
├── TopologyConflict    a stream or consumer differs in a way no update can mend
└── StatementMissing    a store asked for SQL that its file does not have
"""


class MeshError(Exception):
    """Base of the errors of this package."""


class BusUnavailable(MeshError):
    """The bus did not confirm; whether it stored the message is unknown."""


class BusFull(BusUnavailable):
    """The bus refused because a limit is reached; nothing was stored."""


class ControlChanged(MeshError):
    """Somebody else has changed the control first; nothing was stored."""


class TopologyConflict(MeshError):
    """A stream or consumer differs in a way that would lose data to change."""


class StatementMissing(MeshError):
    """A store asked for SQL that its file does not have."""
