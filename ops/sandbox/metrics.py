"""Every metric of the sandbox."""

from prometheus_client import CollectorRegistry, Counter, generate_latest

from contracts.channels import Channel
from ops.sandbox.answers import ANSWERS, Answer

UNREADABLE = "unknown"  #: the channel label of a malformed send that names none


class Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        requests = Counter(
            "tocsin_sandbox_requests_total",
            "Sends received, by channel and HTTP status answered (none: not answered).",
            ["channel", "answer"],
            registry=self._registry,
        )
        self._requests = {
            (channel, answer.label): requests.labels(
                channel or UNREADABLE, answer.label
            )
            for channel in (*Channel, None)
            for answer in ANSWERS
        }

    def send_received(self, channel: Channel | None, answer: Answer) -> None:
        self._requests[channel, answer.label].inc()

    def render(self) -> bytes:
        return generate_latest(self._registry)
