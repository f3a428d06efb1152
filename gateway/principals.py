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


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.SENDER: frozenset({Permission.SEND, Permission.READ}),
    Role.READER: frozenset({Permission.READ}),
    Role.OPERATOR: frozenset({Permission.SEND, Permission.READ}),
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling."""

    tenant: str
    role: Role

    def must(self, permission: Permission) -> None:
        """Raise ``forbidden`` when the caller's role does not allow it."""
        if permission not in PERMISSIONS[self.role]:
            raise Refusal(
                ProblemType.FORBIDDEN,
                f"a key with the role {self.role} may not do this",
            )


#: The caller where authentication is off.
EVERYONE = Principal(DEFAULT_TENANT, Role.ADMIN)
