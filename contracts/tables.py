"""The ledger's tables, declared for Piccolo.

Declarations only: partitioning, checks and partial indexes are in the migrations, and
whatever moves many rows is set-based SQL in a service's ``store.sql``.
"""

from piccolo.columns import (
    JSONB,
    UUID,
    Array,
    BigInt,
    Boolean,
    Bytea,
    DoublePrecision,
    Integer,
    Text,
    Timestamptz,
)
from piccolo.engine.postgres import PostgresEngine
from piccolo.table import Table


class LedgerEngine(PostgresEngine):
    """Connects when first used; Piccolo's own asks for the server's version as it is made."""

    def __init__(self, dsn: str) -> None:
        super().__init__(config={"dsn": dsn}, extensions=())

    async def check_version(self) -> None:
        """Leave the server alone."""


class Notification(Table, tablename="notification"):
    """One notification. Partitioned by id, so by creation time.

    Either it is final, or ``queued_at`` or ``due_at`` is set (a check holds this):
    nothing that was accepted is without a next step.
    """

    id = UUID(primary_key=True, default=None)
    tenant = Text(default=None)
    channel = Text(default=None)
    priority = Text(default=None)
    status = Text(default=None)
    sequence = Integer(
        default=None,
        help_text="Status changes so far. A claim returns it as the fence: "
        "the outcome of that claim is accepted only while it is unchanged.",
    )
    attempts = Integer(default=0, help_text="Provider calls made.")
    max_attempts = Integer(default=None)
    recipient = Text(default=None)
    subject = Text(null=True, default=None)
    content = Text(default=None)
    correlation_id = Text(default=None)
    traceparent = Text(null=True, default=None)
    batch_id = UUID(null=True, default=None)
    template_id = UUID(null=True, default=None)
    idempotency_key = Text(null=True, default=None)
    metadata = JSONB(null=True, default=None)
    queued_at = Timestamptz(
        null=True,
        default=None,
        help_text="When it was last put on the bus; NULL when the bus does not have it.",
    )
    due_at = Timestamptz(
        null=True,
        default=None,
        help_text="When the scheduler puts it on the bus; NULL when it need not.",
    )
    lease_until = Timestamptz(null=True, default=None)
    lease_owner = Text(null=True, default=None)
    scheduled_at = Timestamptz(null=True, default=None)
    expires_at = Timestamptz(null=True, default=None)
    next_retry_at = Timestamptz(null=True, default=None)
    provider = Text(null=True, default=None)
    provider_message_id = Text(null=True, default=None)
    failure_class = Text(null=True, default=None)
    failure_reason = Text(null=True, default=None)
    created_at = Timestamptz(default=None)
    updated_at = Timestamptz(default=None)
    last_attempted_at = Timestamptz(null=True, default=None)
    delivered_at = Timestamptz(null=True, default=None)
    failed_at = Timestamptz(null=True, default=None)
    cancelled_at = Timestamptz(null=True, default=None)
    redacted_at = Timestamptz(
        null=True,
        default=None,
        help_text="When its recipient and content were taken out.",
    )
    lost_leases = Integer(
        default=0,
        help_text="Dispatchers that ended, or lost touch, while they were sending it.",
    )
    receipt = JSONB(
        null=True,
        default=None,
        help_text="The newest receipt by the provider's clock (``contracts.receipts``).",
    )
    receipt_ids = Array(
        base_column=UUID(default=None),
        null=True,
        default=None,
        help_text="Every receipt that is in the trace, so that none is there twice.",
    )


class NotificationEvent(Table, tablename="notification_event"):
    """One line of a notification's trace. Its time is written in its id (UUIDv7)."""

    notification_id = UUID(default=None)
    id = UUID(primary_key=True, default=None)
    sequence = Integer(
        null=True, default=None, help_text="NULL when the event changed no status."
    )
    event = Text(default=None)
    details = JSONB(null=True, default=None)


class Batch(Table, tablename="batch"):
    """One accepted batch. Its members have ids between its own and ``last_id``."""

    id = UUID(primary_key=True, default=None)
    tenant = Text(default=None)
    size = Integer(default=None)
    last_id = UUID(default=None)
    correlation_id = Text(default=None)
    created_at = Timestamptz(default=None)


class IdempotencyKey(Table, tablename="idempotency_key"):
    """The answer a key has had. Unique by tenant, endpoint and key."""

    id = UUID(primary_key=True, default=None)
    tenant = Text(default=None)
    endpoint = Text(default=None, help_text="Method and path.")
    key = Text(default=None)
    body_hash = Bytea(default=None, help_text="SHA-256 of the raw request body.")
    resource_id = UUID(default=None, help_text="The notification or batch it made.")
    response = Bytea(default=None, help_text="The body that was answered.")
    correlation_id = Text(default=None)
    created_at = Timestamptz(default=None)
    expires_at = Timestamptz(default=None)


class OutboxGroup(Table, tablename="outbox_group"):
    """Notifications whose publishing is not yet confirmed, one row for a whole group."""

    id = UUID(primary_key=True, default=None)
    notification_ids = Array(base_column=UUID(default=None), default=list)
    created_at = Timestamptz(default=None)


class DeadLetter(Table, tablename="dead_letter"):
    """A notification that was given up; committed together with its ``failed``."""

    id = UUID(primary_key=True, default=None)
    notification_id = UUID(default=None)
    sequence = Integer(
        default=None, help_text="The change that failed it; replays may fail again."
    )
    tenant = Text(default=None)
    channel = Text(default=None)
    priority = Text(default=None)
    attempts = Integer(default=None)
    failure_class = Text(default=None)
    reason = Text(default=None)
    created_at = Timestamptz(default=None)
    published_at = Timestamptz(
        null=True, default=None, help_text="When the DLQ stream confirmed it."
    )
    resolution = Text(
        null=True,
        default=None,
        help_text="``replayed`` or ``discarded``; NULL while it is open.",
    )
    resolved_at = Timestamptz(null=True, default=None)
    resolved_by = Text(null=True, default=None)
    resolved_why = Text(null=True, default=None)
    operation_id = UUID(null=True, default=None)


class ApiKey(Table, tablename="api_key"):
    """A key of the public API, stored as a hash."""

    id = UUID(primary_key=True, default=None)
    tenant = Text(default=None)
    name = Text(default=None)
    role = Text(default=None)
    secret_hash = Bytea(default=None, help_text="SHA-256 of the whole key.")
    created_at = Timestamptz(default=None)
    expires_at = Timestamptz(null=True, default=None)
    revoked_at = Timestamptz(null=True, default=None)
    last_used_at = Timestamptz(null=True, default=None)


class Template(Table, tablename="template"):
    """Words with gaps that a notification may be made from. Its name is its tenant's once."""

    id = UUID(primary_key=True, default=None)
    tenant = Text(default=None)
    name = Text(default=None)
    channel = Text(default=None)
    body = Text(default=None)
    subject = Text(null=True, default=None)
    created_at = Timestamptz(default=None)
    updated_at = Timestamptz(default=None)


class Operation(Table, tablename="operation"):
    """What an operator asked for: who, why, and how far it has come. It is never removed."""

    id = UUID(primary_key=True, default=None)
    tenant = Text(default=None)
    kind = Text(default=None)
    state = Text(default=None)
    who = Text(default=None)
    reason = Text(default=None)
    filter = JSONB(default=None)
    target = Text(
        null=True,
        default=None,
        help_text="Whom an erasure erases; NULL as soon as it has ended.",
    )
    rate_per_second = DoublePrecision(null=True, default=None)
    total = Integer(default=None, help_text="Counted when it began.")
    done = Integer(default=0)
    refused = Integer(default=0, help_text="Looked at and left as they were.")
    reached = UUID(default=None, help_text="The last one looked at.")
    until = UUID(default=None, help_text="The last one it may look at.")
    ready_at = Timestamptz(default=None, help_text="When it may go on.")
    created_at = Timestamptz(default=None)
    updated_at = Timestamptz(default=None)
    finished_at = Timestamptz(null=True, default=None)


class Walk(Table, tablename="walk"):
    """How far a job that goes through the ledger by id has come."""

    name = Text(primary_key=True, default=None)
    reached = UUID(default=None)
    updated_at = Timestamptz(default=None)


class Unredacted(Table, tablename="unredacted"):
    """A notification that the redaction has passed and could not redact yet."""

    id = UUID(primary_key=True, default=None)
    ready_at = Timestamptz(default=None, help_text="When it is looked at again.")


class JobRun(Table, tablename="job_run"):
    """What a job of the scheduler did; runs that follow each other closely share a row."""

    id = UUID(primary_key=True, default=None)
    job = Text(default=None)
    instance = Text(default=None)
    started_at = Timestamptz(default=None, help_text="When the first run began.")
    duration_seconds = DoublePrecision(
        default=None, help_text="Of all the runs together."
    )
    runs = Integer(default=None)
    outcome = Text(default=None)
    scanned = BigInt(default=None)
    repaired = BigInt(default=None)
    why = JSONB(default=None, help_text="What was repaired, counted by its reason.")
    error = Text(default=None, help_text="What the last failed run ran into.")
    idle = Boolean(
        default=None,
        help_text="It found nothing to do: the latest of its job, one row each.",
    )


class Audit(Table, tablename="audit"):
    """What an operator did, or tried to. It is never removed, and stays what it is."""

    id = UUID(primary_key=True, default=None)
    tenant = Text(default=None)
    action = Text(default=None)
    target = Text(default=None)
    who = Text(default=None)
    reason = Text(default=None)
    at = Timestamptz(default=None)
    effect = Text(
        default=None,
        help_text="``pending`` while a control is being set, then ``done`` or ``failed``.",
    )
    details = JSONB(default=None)
    control_key = Text(null=True, default=None)
    revision = BigInt(
        null=True,
        default=None,
        help_text="Of the control's value before: this one, if it is, comes after it.",
    )
    announced_at = Timestamptz(null=True, default=None)


TABLES: tuple[type[Table], ...] = (
    Notification,
    NotificationEvent,
    Batch,
    IdempotencyKey,
    OutboxGroup,
    DeadLetter,
    ApiKey,
    Template,
    Operation,
    Walk,
    Unredacted,
    JobRun,
    Audit,
)
