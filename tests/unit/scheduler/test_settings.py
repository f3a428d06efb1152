import pytest
from pydantic import ValidationError

from ops.runtime.service import describe
from scheduler.settings import SchedulerSettings


@pytest.mark.parametrize("margin", [0.0, 6.9])
def test_a_margin_that_the_outbox_may_outlast_is_refused_by_name(margin: float):
    with pytest.raises(ValidationError) as refused:
        SchedulerSettings(
            postgres_dsn="postgresql://tocsin@127.0.0.1/tocsin",
            nats_url="nats://127.0.0.1:4222",
            redis_url="redis://127.0.0.1:6379/0",
            scheduler_reconcile_margin_seconds=margin,
        )

    assert describe(refused.value).startswith(
        "TOCSIN_SCHEDULER_RECONCILE_MARGIN_SECONDS"
    )
