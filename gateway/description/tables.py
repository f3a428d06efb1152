"""Every operation there is."""

from gateway.description import (
    letters,
    live,
    notifications,
    oversight,
    receipts,
    service,
    templates,
)
from gateway.description.operations import Operation
from gateway.routing import RouteName

OPERATIONS: dict[RouteName, Operation] = {
    **notifications.OPERATIONS,
    **live.OPERATIONS,
    **templates.OPERATIONS,
    **letters.OPERATIONS,
    **receipts.OPERATIONS,
    **oversight.OPERATIONS,
    **service.OPERATIONS,
}
