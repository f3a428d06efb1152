"""Routes as data: what is served where, and who may ask.

A handler knows neither Quart nor ASGI: it takes a ``Call`` and returns an ``Answer``, so
the same one serves every door of the gateway.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from gateway.errors import Refusal
from gateway.principals import EVERYONE, Permission, Principal

if TYPE_CHECKING:
    from gateway.allowances import Allowance  # which counts in metrics, by route

JSON = b"application/json"
PROBLEM_JSON = b"application/problem+json"


class RouteName(StrEnum):
    """Names of routes, for metrics and logs."""

    CREATE_NOTIFICATION = "create_notification"
    GET_NOTIFICATION = "get_notification"
    GET_TRACE = "get_trace"
    CREATE_BATCH = "create_batch"
    GET_BATCH = "get_batch"
    FOLLOW_NOTIFICATIONS = "follow_notifications"
    GET_EVENTS = "get_events"
    GET_BATCH_EVENTS = "get_batch_events"
    LIST_NOTIFICATIONS = "list_notifications"
    CANCEL_NOTIFICATION = "cancel_notification"
    CREATE_TEMPLATE = "create_template"
    LIST_TEMPLATES = "list_templates"
    GET_TEMPLATE = "get_template"
    REPLACE_TEMPLATE = "replace_template"
    DELETE_TEMPLATE = "delete_template"
    GET_SUMMARY = "get_summary"
    LIST_DEAD_LETTERS = "list_dead_letters"
    GROUP_DEAD_LETTERS = "group_dead_letters"
    REPLAY_DEAD_LETTERS = "replay_dead_letters"
    DISCARD_DEAD_LETTERS = "discard_dead_letters"
    LIST_OPERATIONS = "list_operations"
    GET_OPERATION = "get_operation"
    STOP_OPERATION = "stop_operation"
    ERASE_RECIPIENT = "erase_recipient"
    GET_ERASURE = "get_erasure"
    STOP_ERASURE = "stop_erasure"
    TAKE_RECEIPT = "take_receipt"
    LIST_LANES = "list_lanes"
    PAUSE_CHANNEL = "pause_channel"
    RESUME_CHANNEL = "resume_channel"
    PAUSE_LANE = "pause_lane"
    RESUME_LANE = "resume_lane"
    LIST_BREAKERS = "list_breakers"
    ORDER_BREAKER = "order_breaker"
    LIST_LIMITS = "list_limits"
    LIMIT_CHANNEL = "limit_channel"
    CLEAR_CHANNEL_LIMIT = "clear_channel_limit"
    LIMIT_PROVIDER = "limit_provider"
    CLEAR_PROVIDER_LIMIT = "clear_provider_limit"
    LIST_SERVICES = "list_services"
    GET_SCHEDULE = "get_schedule"
    LIST_AUDIT = "list_audit"
    FIND_NOTIFICATIONS = "find_notifications"
    LIVE = "live"
    READY = "ready"
    METRICS = "metrics"
    DOCS = "docs"
    DOCS_ASSET = "docs_asset"
    OPENAPI_JSON = "openapi_json"
    OPENAPI_YAML = "openapi_yaml"
    UNMATCHED = "unmatched"  #: no route, or not with this method


@dataclass(slots=True)
class Call:
    """One request as handlers see it."""

    method: str
    path: str  #: as sent, still quoted
    headers: dict[bytes, bytes]  #: names in lower case
    read: Callable[[int], Awaitable[bytes]]  #: the body, of at most so many bytes
    correlation_id: str
    client: str = ""  #: the address it comes from, if it has one
    principal: Principal = EVERYONE
    vouched: Principal | None = None
    """Who is calling, where the way the call came vouches for it; no key is then asked."""
    query: bytes = b""  #: what follows the question mark, still quoted
    #: What the caller may still do; None is anything.
    allowance: "Allowance | None" = None
    paid: int = 0  #: of the allowance, for this call

    async def spend(self, cost: int) -> None:
        """Pay for some work; ``rate-limited`` when it is too much, and then all of it is free."""
        if self.allowance is None:
            return
        try:
            await self.allowance.spend(cost)
        except Refusal:
            self.take_back()
            raise
        self.paid += cost

    def take_back(self) -> None:
        """Have paid nothing."""
        if self.allowance is not None:
            self.allowance.give_back(self.paid)
        self.paid = 0


@dataclass(slots=True)
class Answer:
    """One response as handlers give it."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    correlation_id: str | None = None  #: the resource's, when it has one of its own
    stream: AsyncGenerator[bytes, None] | None = None
    """What follows the body for as long as there is something to say."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    name: RouteName
    method: str
    path: str  #: words in angle brackets are passed to the handler
    handler: Callable[..., Awaitable[Answer]]
    permission: Permission | None  #: None asks for no key
