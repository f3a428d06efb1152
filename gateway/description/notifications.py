"""The operations on notifications and batches."""

from contracts.problems import ProblemType
from gateway.description import examples
from gateway.description.operations import Operation, Reply, path_id
from gateway.description.queries import CURSOR, FILTERS, LIMIT
from gateway.principals import Permission
from gateway.requests import BatchRequest, NotificationRequest
from gateway.routes import batches, notifications
from gateway.routing import RouteName
from gateway.views import BatchAccepted, BatchView, NotificationView, Page, Trace

_TAG = "Notifications"
_ID = path_id("notification_id", "notification")
_BATCH_ID = path_id("batch_id", "batch")

#: What can be wrong with a notification that is asked for.
FAULTS = (
    ProblemType.INVALID_CHANNEL,
    ProblemType.INVALID_PRIORITY,
    ProblemType.INVALID_RECIPIENT,
    ProblemType.INVALID_CONTENT,
    ProblemType.INVALID_SCHEDULE,
    ProblemType.TEMPLATE_RENDER_FAILED,
    ProblemType.NOT_FOUND,
)

OPERATIONS = {
    RouteName.CREATE_NOTIFICATION: Operation(
        method="POST",
        path=notifications.PATH,
        tag=_TAG,
        summary="Send a notification",
        description=(
            "Accepts one notification. The answer is a promise: it is given after the "
            "notification is stored. It is `pending` when `scheduled_at` is still to "
            "come and `queued` otherwise. Unknown fields are ignored, `null` is the same "
            "as absent."
        ),
        permission=Permission.SEND,
        body=NotificationRequest,
        examples={
            "sms": examples.SMS,
            "email": examples.EMAIL,
            "later": examples.LATER,
            "from_template": examples.FROM_TEMPLATE,
        },
        replies={
            202: Reply(
                description="Accepted.",
                body=NotificationView,
                example=examples.ACCEPTED,
                headers=("Location",),
                links={
                    RouteName.GET_NOTIFICATION: "$response.body#/id",
                    RouteName.GET_TRACE: "$response.body#/id",
                    RouteName.CANCEL_NOTIFICATION: "$response.body#/id",
                },
            )
        },
        problems=(*FAULTS, ProblemType.OVERLOADED),
        is_idempotent=True,
    ),
    RouteName.LIST_NOTIFICATIONS: Operation(
        method="GET",
        path=notifications.PATH,
        tag=_TAG,
        summary="List notifications, newest first",
        description=(
            "Filters are ANDed. A page may be short although more follow: only the last "
            "one has no `next_cursor`."
        ),
        permission=Permission.LIST,
        parameters=(*FILTERS, LIMIT, CURSOR),
        replies={
            200: Reply(
                description="A page.",
                body=Page,
                example=Page(items=[examples.DELIVERED]),
            )
        },
        problems=(
            ProblemType.INVALID_STATUS,
            ProblemType.INVALID_CHANNEL,
            ProblemType.INVALID_PRIORITY,
        ),
    ),
    RouteName.CANCEL_NOTIFICATION: Operation(
        method="PATCH",
        path=f"{notifications.PATH}/<notification_id>/cancel",
        tag=_TAG,
        summary="Call a notification back",
        description=(
            "From `pending`, `queued` and `retrying`. Once this has answered 200, no "
            "provider is called."
        ),
        permission=Permission.SEND,
        parameters=(_ID,),
        replies={
            200: Reply(
                description="It is cancelled.",
                body=NotificationView,
                example=examples.CANCELLED,
            )
        },
        problems=(
            ProblemType.NOT_FOUND,
            ProblemType.INVALID_TRANSITION,
            ProblemType.PAYLOAD_TOO_LARGE,
        ),
        is_idempotent=True,
    ),
    RouteName.GET_NOTIFICATION: Operation(
        method="GET",
        path=f"{notifications.PATH}/<notification_id>",
        tag=_TAG,
        summary="Show a notification",
        permission=Permission.READ,
        parameters=(_ID,),
        replies={
            200: Reply(
                description="How it stands.",
                body=NotificationView,
                example=examples.DELIVERED,
            )
        },
        problems=(ProblemType.NOT_FOUND,),
    ),
    RouteName.GET_TRACE: Operation(
        method="GET",
        path=f"{notifications.PATH}/<notification_id>/trace",
        tag=_TAG,
        summary="Show what happened to a notification",
        description=(
            "Every change with its time, oldest first. `details` never says the "
            "recipient or the content."
        ),
        permission=Permission.READ,
        parameters=(_ID,),
        replies={
            200: Reply(description="Its trace.", body=Trace, example=examples.TRACE)
        },
        problems=(ProblemType.NOT_FOUND,),
    ),
    RouteName.CREATE_BATCH: Operation(
        method="POST",
        path=batches.PATH,
        tag="Batches",
        summary="Send many notifications",
        description=(
            "Accepts 1 to 1,000 notifications, all or none. The pointers of a problem "
            "name the items that are wrong."
        ),
        permission=Permission.SEND,
        body=BatchRequest,
        examples={
            "two": {"notifications": [examples.SMS, examples.EMAIL]},
        },
        replies={
            202: Reply(
                description="All accepted.",
                body=BatchAccepted,
                example=examples.BATCH_ACCEPTED,
                headers=("Location",),
                links={RouteName.GET_BATCH: "$response.body#/id"},
            )
        },
        problems=(*FAULTS, ProblemType.INVALID_BATCH_SIZE, ProblemType.OVERLOADED),
        is_idempotent=True,
    ),
    RouteName.GET_BATCH: Operation(
        method="GET",
        path=f"{batches.PATH}/<batch_id>",
        tag="Batches",
        summary="Show a batch with its members",
        permission=Permission.READ,
        parameters=(_BATCH_ID,),
        replies={
            200: Reply(
                description="How it stands.", body=BatchView, example=examples.BATCH
            )
        },
        problems=(ProblemType.NOT_FOUND,),
    ),
}
