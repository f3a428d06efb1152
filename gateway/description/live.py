"""The operations of ``gateway.live``: hearing of changes as they happen."""

from contracts.problems import ProblemType
from gateway.description.operations import Operation, Parameter, Reply, path_id
from gateway.description.queries import query
from gateway.live import live
from gateway.principals import Permission
from gateway.routes import batches, notifications
from gateway.routing import RouteName

_TAG = "Following"
_LAST_EVENT_ID = Parameter(
    name="Last-Event-ID",
    place="header",
    description="The id of the last event that was heard: what came after it is told. "
    "One that was never given out is ignored.",
    schema={"type": "string"},
)
_STREAM = {
    200: Reply(
        description="Events until all is final. The data of each is a `Change`.",
        body={"type": "string"},
        media_type="text/event-stream",
    ),
    204: Reply(description="All is final and was told; a browser stops asking."),
}

OPERATIONS = {
    RouteName.FOLLOW_NOTIFICATIONS: Operation(
        method="GET",
        path=live.PATH,
        tag=_TAG,
        summary="Follow notifications over a WebSocket",
        description=(
            "The client sends text frames: "
            '`{"action": "subscribe", "notification_id": "…"}`, or with a `batch_id`, or '
            "with a `channel`, a `status`, or both, for a role that may list; "
            "`unsubscribe` likewise. A frame that is none is answered with one "
            '`{"error": "…"}`. The gateway sends a `Change` where a notification stands '
            "when it is subscribed to, and then one for each change. One with a `receipt` "
            "tells what a provider told: the status is the one that was told before, or "
            "the next. A browser passes its "
            f"key as a subprotocol, beside `{live.SUBPROTOCOL}`. 1013 closes a connection "
            "that reads too slowly, 1001 one to a gateway that stops."
        ),
        permission=Permission.READ,
        replies={101: Reply(description="A WebSocket from here on.")},
        problems=(ProblemType.OVERLOADED,),
    ),
    RouteName.GET_EVENTS: Operation(
        method="GET",
        path=f"{notifications.PATH}/<notification_id>/events",
        tag=_TAG,
        summary="Follow a notification as server-sent events",
        permission=Permission.READ,
        description=(
            "Ends when it is final. With `receipts=true`, one that is `delivered` ends "
            "with its first receipt."
        ),
        parameters=(
            path_id("notification_id", "notification"),
            query("receipts", "Wait for a receipt.", {"enum": ["true", "false"]}),
            _LAST_EVENT_ID,
        ),
        replies=_STREAM,
        problems=(ProblemType.NOT_FOUND, ProblemType.OVERLOADED),
    ),
    RouteName.GET_BATCH_EVENTS: Operation(
        method="GET",
        path=f"{batches.PATH}/<batch_id>/events",
        tag=_TAG,
        summary="Follow a batch as server-sent events",
        permission=Permission.READ,
        parameters=(path_id("batch_id", "batch"), _LAST_EVENT_ID),
        replies=_STREAM,
        problems=(ProblemType.NOT_FOUND, ProblemType.OVERLOADED),
    ),
}
