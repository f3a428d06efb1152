"""Every subject on the bus, as functions; no other module spells one."""

from uuid import UUID

from contracts.channels import Channel, Lane, Priority
from contracts.lifecycle import Status
from contracts.receipts import ReceiptKind

NOTIFY_ALL = "notify.>"
STATUS_ALL = "status.>"
DLQ_ALL = "dlq.>"
SPOOL_ALL = "spool.>"
MESH_STATE_ALL = "mesh.state.>"
MESH_ACTION_ALL = "mesh.action.>"

#: Requests for notifications, answered by a gateway. The tenant is that of the key in the
#: request, or the one the subject names.
CREATE = "tocsin.notifications.create"
CREATE_BATCH = "tocsin.notifications.batch"

#: In the place of a key, for submissions without one.
_KEYLESS = "keyless"

MAX_DELIVERIES = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"
MSG_TERMINATED = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED"


def notify(lane: Lane) -> str:
    """Carry the notifications of one lane to the dispatchers."""
    return f"notify.{lane.channel}.{lane.priority}"


def lane_of(subject: str) -> Lane:
    """Return the lane of a ``notify`` subject; ValueError when it is none."""
    match subject.split("."):
        case ["notify", channel, priority]:
            return Lane(Channel(channel), Priority(priority))
    raise ValueError(f"not a lane's subject: {subject}")


def status(tenant: str, channel: Channel, new: Status, notification_id: UUID) -> str:
    """Announce that a notification has changed its status."""
    return f"status.{tenant}.{channel}.{new}.{notification_id}"


def receipt(
    tenant: str, channel: Channel, kind: ReceiptKind, notification_id: UUID
) -> str:
    """Announce what a provider told of a notification; its kind is where a status would be.

    So whoever may hear of a notification's statuses hears of its receipts, and a
    subscription to one status brings none.
    """
    return f"status.{tenant}.{channel}.{kind}.{notification_id}"


def status_of_notification(notification_id: UUID, tenant: str = "*") -> str:
    """Match every status event of one notification."""
    return f"status.{tenant}.*.*.{notification_id}"


def status_of_tenant(tenant: str) -> str:
    """Match every status event of one tenant."""
    return f"status.{tenant}.>"


def create(tenant: str, *, batch: bool = False) -> str:
    """Ask for notifications of one tenant; ``*`` for the tenant matches every one."""
    return f"tocsin.{tenant}.notifications.{'batch' if batch else 'create'}"


def tenant_of(subject: str) -> str | None:
    """Return the tenant that a request for notifications names, if it names one."""
    match subject.split("."):
        case ["tocsin", tenant, "notifications", "create" | "batch"]:
            return tenant
    return None


def status_of_kind(tenant: str, channel: Channel | None, new: Status | None) -> str:
    """Match a tenant's status events of one channel or status; None stands for any."""
    return f"status.{tenant}.{channel or '*'}.{new or '*'}.*"


def dead_letter(lane: Lane) -> str:
    """Carry the dead letters of one lane."""
    return f"dlq.{lane.channel}.{lane.priority}"


def spooled(id_: UUID, key_digest: str | None = None) -> str:
    """Keep a submission until the ledger is back, under its idempotency key if it has one."""
    return f"spool.{key_digest or _KEYLESS}.{id_}"


def spooled_with_key(key_digest: str) -> str:
    """Match the one submission that an idempotency key may have."""
    return f"spool.{key_digest}.*"


def spooled_with_id(id_: UUID) -> str:
    """Match a submission whatever its key. The bus compares it with every one it keeps."""
    return f"spool.*.{id_}"


def mesh_state(service: str, instance: str) -> str:
    """Carry the state of one running service, once a second."""
    return f"mesh.state.{service}.{instance}"


def mesh_action(action: str) -> str:
    """Carry what operators did, once it is done."""
    return f"mesh.action.{action}"


def bucket_value(bucket: str, key: str) -> str:
    """Carry the values of one key of a bucket; ``bucket`` is the name of its stream."""
    return f"$KV.{bucket.removeprefix('KV_')}.{key}"
