"""Every metric of the gateway."""

import collections
from collections.abc import Callable, Iterable
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from contracts.channels import LANES, Lane
from contracts.oversight import Action, Effect
from contracts.problems import ProblemType
from gateway.receipts.readings import ReceiptOutcome
from gateway.receipts.sources import ReceiptForm
from gateway.routing import RouteName

_GROUP_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)


class LeftBecause(StrEnum):
    """Why a committed group was left to the scheduler."""

    BUS = "bus"  #: the bus did not confirm it
    BACKLOG = "backlog"  #: too much was waiting for the bus


class SpoolRefusal(StrEnum):
    """Why a submission was not spooled while the ledger was away."""

    FULL = "full"
    TOO_LARGE = "too_large"  #: for one message
    AWAY = "away"  #: the bus did not confirm it


class Recall(StrEnum):
    """What came of asking Redis for the answer of an idempotency key."""

    HIT = "hit"
    MISS = "miss"
    AWAY = "away"  #: Redis was away or too slow


class StatusClass(StrEnum):
    """The first digit of a status code."""

    INFORMATION = "1xx"
    SUCCESS = "2xx"
    REDIRECTION = "3xx"
    CLIENT_ERROR = "4xx"
    SERVER_ERROR = "5xx"


#: Beside the outcomes of receipts: what was not signed, stale, or no receipt at all.
_REFUSED = "refused"

_CLASS_OF = {
    1: StatusClass.INFORMATION,
    2: StatusClass.SUCCESS,
    3: StatusClass.REDIRECTION,
    4: StatusClass.CLIENT_ERROR,
    5: StatusClass.SERVER_ERROR,
}


class Metrics:
    """Counts what the gateway does; every label set exists from the start, at zero."""

    def __init__(self, registry: CollectorRegistry) -> None:
        requests = Counter(
            "tocsin_requests",
            "HTTP requests answered.",
            ["route", "status_class"],
            registry=registry,
        )
        self._requests = {
            (route, status_class): requests.labels(route, status_class)
            for route in RouteName
            for status_class in StatusClass
        }
        durations = Histogram(
            "tocsin_request_duration_seconds",
            "From the request's headers to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._durations = {route: durations.labels(route) for route in RouteName}
        refusals = Counter(
            "tocsin_refusals",
            "Requests answered with a problem.",
            ["problem"],
            registry=registry,
        )
        self._refusals = {
            problem: refusals.labels(problem.slug) for problem in ProblemType
        }
        accepted = Counter(
            "tocsin_notifications_accepted",
            "Notifications committed.",
            ["channel", "priority"],
            registry=registry,
        )
        self._accepted = {lane: accepted.labels(*lane) for lane in LANES}
        self._replays = Counter(
            "tocsin_idempotent_replays",
            "Requests answered with an earlier answer of their key.",
            registry=registry,
        )
        recalls = Counter(
            "tocsin_idempotency_recalls",
            "Idempotency keys looked up in Redis before the ledger.",
            ["outcome"],
            registry=registry,
        )
        self._recalls = {outcome: recalls.labels(outcome) for outcome in Recall}
        self._limits_local = Gauge(
            "tocsin_rate_limits_local",
            "1 while Redis is away and this gateway counts callers' requests by itself.",
            registry=registry,
        )
        self._limit_fallbacks = Counter(
            "tocsin_rate_limit_fallbacks",
            "Times Redis went away from the rate limits.",
            registry=registry,
        )
        self._group_sizes = Histogram(
            "tocsin_intake_group_size_notifications",
            "Notifications committed by one statement.",
            buckets=_GROUP_SIZES,
            registry=registry,
        )
        self._commit_seconds = Histogram(
            "tocsin_intake_commit_seconds",
            "Duration of one group's statement.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._commits_failed = Counter(
            "tocsin_intake_commit_failures",
            "Groups the ledger did not take.",
            registry=registry,
        )
        self._spooled = Counter(
            "tocsin_notifications_spooled",
            "Notifications accepted while the ledger was away.",
            registry=registry,
        )
        not_spooled = Counter(
            "tocsin_spool_refusals",
            "Submissions refused while the ledger was away.",
            ["because"],
            registry=registry,
        )
        self._not_spooled = {
            because: not_spooled.labels(because) for because in SpoolRefusal
        }
        self._ledger_away = Gauge(
            "tocsin_ledger_away",
            "1 while the ledger does not answer this gateway.",
            registry=registry,
        )
        self._intake_depth = Gauge(
            "tocsin_intake_depth_notifications",
            "Notifications that wait to be committed.",
            registry=registry,
        )
        self._publish_depth = Gauge(
            "tocsin_publish_depth_notifications",
            "Committed notifications that wait here for the bus.",
            registry=registry,
        )
        self._groups_published = Counter(
            "tocsin_outbox_groups_published",
            "Groups the bus has confirmed.",
            registry=registry,
        )
        left = Counter(
            "tocsin_outbox_groups_left",
            "Groups left to the scheduler.",
            ["because"],
            registry=registry,
        )
        self._groups_left = {because: left.labels(because) for because in LeftBecause}
        self._status_events_lost = Counter(
            "tocsin_status_events_lost",
            "Status events that could not be sent.",
            registry=registry,
        )
        receipts = Counter(
            "tocsin_receipts",
            "Receipts that providers sent, by what became of them.",
            ["form", "outcome"],
            registry=registry,
        )
        self._receipts = {
            (form, outcome): receipts.labels(form, outcome)
            for form in ReceiptForm
            for outcome in (*ReceiptOutcome, _REFUSED)
        }
        actions = Counter(
            "tocsin_operator_actions",
            "What operators did, by what came of it.",
            ["action", "effect"],
            registry=registry,
        )
        self._actions = {
            (action, effect): actions.labels(action, effect)
            for action in Action
            for effect in (Effect.DONE, Effect.FAILED)
        }
        self.loop_errors = Counter(
            "tocsin_gateway_loop_errors",
            "Steps of a loop that failed and were tried again.",
            ["loop"],
            registry=registry,
        )
        self.loop_errors.labels("audit")
        self.total_requests = 0
        self.total_accepted = 0
        self.total_spooled = 0

    def watch_depths(
        self, *, intake: Callable[[], int], publishing: Callable[[], int]
    ) -> None:
        """Read the depths of the two queues when metrics are asked for."""
        self._intake_depth.set_function(intake)
        self._publish_depth.set_function(publishing)

    def watch_ledger(self, is_away: Callable[[], bool]) -> None:
        """Ask whether the ledger is away when metrics are asked for."""
        self._ledger_away.set_function(lambda: float(is_away()))

    def spooled(self, notifications: int) -> None:
        """Count notifications that the spool keeps."""
        self.total_spooled += notifications
        self._spooled.inc(notifications)

    def not_spooled(self, because: SpoolRefusal) -> None:
        """Count one submission that the spool did not take."""
        self._not_spooled[because].inc()

    def request_finished(self, route: RouteName, status: int, seconds: float) -> None:
        """Count one answer."""
        self.total_requests += 1
        self._requests[route, _CLASS_OF[status // 100]].inc()
        self._durations[route].observe(seconds)

    def refused(self, problem: ProblemType) -> None:
        """Count one problem."""
        self._refusals[problem].inc()

    def recalled(self, outcome: Recall) -> None:
        """Count one key that was looked up in Redis."""
        self._recalls[outcome].inc()

    def limits_fell_back(self) -> None:
        """Note that rate limits are counted here alone."""
        self._limits_local.set(1)
        self._limit_fallbacks.inc()

    def limits_shared(self) -> None:
        """Note that rate limits are shared again."""
        self._limits_local.set(0)

    def replayed(self) -> None:
        """Count one answer given again."""
        self._replays.inc()

    def group_committed(self, lanes: Iterable[Lane], seconds: float) -> None:
        """Count one statement, and the lane of every notification it stored."""
        counted = collections.Counter(lanes)
        for lane, count in counted.items():
            self._accepted[lane].inc(count)
        size = counted.total()
        self.total_accepted += size
        self._group_sizes.observe(size)
        self._commit_seconds.observe(seconds)

    def commit_failed(self) -> None:
        """Count one group that the ledger did not take."""
        self._commits_failed.inc()

    def operator_acted(self, action: str, effect: Effect) -> None:
        """Count one entry of the audit that is settled."""
        self._actions[Action(action), effect].inc()

    def groups_published(self, count: int) -> None:
        """Count groups that the bus has confirmed."""
        self._groups_published.inc(count)

    def group_left(self, because: LeftBecause) -> None:
        """Count one group that the scheduler has to publish."""
        self._groups_left[because].inc()

    def status_events_lost(self, count: int) -> None:
        """Count announcements that could not be sent."""
        self._status_events_lost.inc(count)

    def receipt_taken(self, form: ReceiptForm, outcome: ReceiptOutcome) -> None:
        """Count one receipt."""
        self._receipts[form, outcome].inc()

    def receipt_refused(self, form: ReceiptForm) -> None:
        """Count one receipt that was refused."""
        self._receipts[form, _REFUSED].inc()
