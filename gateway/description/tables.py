"""Every operation there is."""

from gateway.description import letters, live, notifications, service, templates
from gateway.description.operations import Operation
from gateway.routing import RouteName

OPERATIONS: dict[RouteName, Operation] = {
    **notifications.OPERATIONS,
    **live.OPERATIONS,
    **templates.OPERATIONS,
    **letters.OPERATIONS,
    **service.OPERATIONS,
}
