"""Who is calling, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum

from contracts.keys import DEFAULT_TENANT, Role
from contracts.problems import ProblemType
from gateway.errors import Refusal


class Permission(StrEnum):
    """What a route asks of its caller."""

    SEND = "send"  #: create
    READ = "read"  #: look at what one knows the id of
    LIST = "list"  #: look for what one does not know the id of
    OPERATE = "operate"  #: look after dead letters, and the mesh
    ERASE = "erase"  #: take a person out of the ledger


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.SENDER: frozenset({Permission.SEND, Permission.READ}),
    Role.READER: frozenset({Permission.READ, Permission.LIST}),
    Role.OPERATOR: frozenset(
        {Permission.SEND, Permission.READ, Permission.LIST, Permission.OPERATE}
    ),
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling."""

    tenant: str
    role: Role
    key: str = ""  #: names the API key; empty where authentication is off
    who: str = "anonymous"  #: for the record of what operators do

    def may(self, permission: Permission) -> bool:
        """Say whether the caller's role allows it."""
        return permission in PERMISSIONS[self.role]

    def must(self, permission: Permission) -> None:
        """Raise ``forbidden`` when the caller's role does not allow it."""
        if not self.may(permission):
            raise Refusal(
                ProblemType.FORBIDDEN,
                f"a key with the role {self.role} may not do this",
            )


#: The caller where authentication is off.
EVERYONE = Principal(DEFAULT_TENANT, Role.ADMIN)
