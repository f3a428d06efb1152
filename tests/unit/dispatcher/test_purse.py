import math
import time
from typing import cast

from prometheus_client import CollectorRegistry

from contracts.channels import Channel
from dispatcher.metrics import Metrics
from dispatcher.pacing import Pacing
from dispatcher.purse import Purse
from dispatcher.routing import Route


def test_a_channel_nobody_may_send_for_is_not_throttled_and_is_looked_at_again() -> (
    None
):
    """A wait without an end would be no number in a heartbeat, and nobody could read that."""
    metrics = Metrics(CollectorRegistry())
    purse = Purse(Channel.SMS, cast("Pacing", None), cast("Route", None), metrics)

    purse._wait(math.inf, has_work=True)

    assert metrics.throttled_seconds()[Channel.SMS] == 0
    assert purse.next_at < time.monotonic() + 1


def test_a_wait_that_was_over_before_it_was_told_counts_for_nothing() -> None:
    """Redis may take longer to answer than one would have to wait."""
    metrics = Metrics(CollectorRegistry())
    purse = Purse(Channel.SMS, cast("Pacing", None), cast("Route", None), metrics)

    purse._wait(time.monotonic() - 0.1, has_work=True)

    assert metrics.throttled_seconds()[Channel.SMS] == 0
