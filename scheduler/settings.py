"""Settings of the scheduler, read from ``TOCSIN_…``."""

from typing import Annotated

from pydantic import Field, model_validator

from contracts.settings import MeshSettings

_Seconds = Annotated[float, Field(gt=0)]


class SchedulerSettings(MeshSettings):
    """How often the scheduler looks, and how long it lets others finish first."""

    scheduler_metrics_host: str = "127.0.0.1"
    scheduler_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9103
    """Where ``/healthz`` and ``/metrics`` listen; 0 takes any free port."""

    scheduler_release_page: Annotated[int, Field(ge=1, le=1000)] = 500
    """Notifications released by one statement and published as one group."""
    scheduler_release_poll_seconds: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Longest sleep between looks; a due time that is known ends it sooner."""

    scheduler_outbox_late_seconds: _Seconds = 5.0
    """A group unconfirmed for longer than this is published again."""

    scheduler_reconcile_seconds: _Seconds = 15.0
    """Pause between two comparisons of the ledger with the bus."""
    scheduler_reconcile_margin_seconds: _Seconds = 10.0
    """How much older than all the bus still has a queueing must be to count as lost."""

    scheduler_dead_letter_late_seconds: _Seconds = 10.0
    """A dead letter whose advisory did not come within this is published without it."""

    scheduler_partition_weeks: Annotated[int, Field(ge=2, le=104)] = 6
    """Weekly partitions kept ready, this week's included."""

    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    """Whole weeks older than this are dropped, with their batches and dead letters."""
    redact_after_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    """Recipient and content leave notifications older than this, if it is set; the rest stays."""

    @model_validator(mode="after")
    def _margin_outlasts_the_outbox(self) -> "SchedulerSettings":
        if (
            self.scheduler_reconcile_margin_seconds
            < self.scheduler_outbox_late_seconds + 2
        ):
            raise ValueError(
                "TOCSIN_SCHEDULER_RECONCILE_MARGIN_SECONDS must exceed "
                "TOCSIN_SCHEDULER_OUTBOX_LATE_SECONDS by 2 or more: a group that is still "
                "being published would pass for lost"
            )
        return self
