"""How much waits on the bus."""

from collections.abc import Mapping

import nats.errors
from nats.js import JetStreamContext

from contracts import topology
from contracts.channels import LANES, Lane
from contracts.problems import ProblemType
from gateway.errors import Refusal


async def waiting(js: JetStreamContext) -> Mapping[Lane, int]:
    """Return what waits in each lane; ``dependency-unavailable`` when the bus does not say."""
    lanes = {topology.lane_consumer(lane).name: lane for lane in LANES}
    depths = dict.fromkeys(LANES, 0)
    try:
        for info in await js.consumers_info(topology.NOTIFY.name):
            if info.name in lanes:
                depths[lanes[info.name]] = info.num_pending or 0
    except (nats.errors.Error, TimeoutError, ConnectionError) as error:
        raise Refusal(
            ProblemType.DEPENDENCY_UNAVAILABLE,
            "the bus does not say how much is waiting",
            retry_after_seconds=1,
        ) from error
    return depths
