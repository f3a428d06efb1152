"""Settings of the gateway."""

import ipaddress
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, HttpUrl, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from contracts.keys import DEFAULT_TENANT, TENANT_PATTERN
from contracts.settings import MeshSettings
from gateway.receipts.sources import ReceiptForm, ReceiptSource, read_sources

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ORIGIN = re.compile(r"\*|https?://[^/\s,]+")


def _divide(value: Any) -> Any:
    """Take apart words with commas between them."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def _networks(value: Any) -> Any:
    words = _divide(value)
    for word in words:
        try:
            ipaddress.ip_network(word)
        except ValueError as error:
            raise ValueError(f"{error}; a network looks like 10.0.0.0/8") from error
    return words


#: Settings that are written as words with commas between them.
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_divide)]
Sources = Annotated[tuple[ReceiptSource, ...], NoDecode, BeforeValidator(read_sources)]


def is_loopback(host: str) -> bool:
    """Say whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class GatewaySettings(MeshSettings):
    """Read from ``TOCSIN_…`` once, at start."""

    gateway_host: str = "127.0.0.1"
    """Address to listen on."""
    gateway_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes a free one and logs it."""
    gateway_require_keys: Annotated[bool, Field(validate_default=True)] = False
    """Ask for an API key. May be false only while listening on loopback; everyone is then
    admin of the tenant ``default``."""
    gateway_trust_subjects: bool = False
    """Take the tenant in ``tocsin.<tenant>.notifications.…`` for granted and ask for no key
    there: right only where the bus' permissions say who may publish which."""
    gateway_key_cache_seconds: Annotated[float, Field(ge=0, le=60)] = 3.0
    """How long a key that was revoked may still be honoured."""
    gateway_key_grace_seconds: Annotated[float, Field(ge=0, le=24 * 3600)] = 3600.0
    """How long a key that was good when last looked up is honoured while the ledger is away."""
    gateway_commit_seconds: Annotated[float, Field(gt=0, le=4)] = 2.0
    """How long the ledger may take to commit a group; then the group is spooled."""
    gateway_house_tenant: Annotated[str, Field(pattern=f"^{TENANT_PATTERN}$")] = (
        DEFAULT_TENANT
    )
    """The tenant whose operators look after the whole mesh: lanes, breakers, limits,
    services. Other tenants' operators see and change only what is their own."""
    gateway_audit_seconds: Annotated[float, Field(ge=0.5, le=600)] = 10.0
    """After how long what an operator did is looked after by any gateway: whether it took
    effect is found out, and it is announced."""
    gateway_idempotency_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 24.0
    """How long an ``Idempotency-Key`` is remembered."""
    gateway_intake_capacity: Annotated[int, Field(ge=1000)] = 20_000
    """Notifications that may wait to be committed; past that, clients get 503."""
    gateway_group_at_most: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    """Notifications committed by one statement; a batch is never divided."""
    gateway_publish_backlog: Annotated[int, Field(ge=1000)] = 20_000
    """Committed notifications that may wait here for the bus; past that, and whenever the
    bus is away, they are left to the scheduler."""
    gateway_live_clients: Annotated[int, Field(ge=1)] = 20_000
    """WebSockets and event streams that may be open at once; past that, clients get 503."""
    gateway_live_queue_bytes: Annotated[int, Field(ge=256 << 10)] = 1 << 20
    """What may wait for a client of a WebSocket or an event stream; one that is further
    behind is disconnected."""
    gateway_live_subscriptions: Annotated[int, Field(ge=1)] = 10_000
    """Notifications that one WebSocket may follow; a batch counts its members."""
    gateway_live_ping_seconds: Annotated[float, Field(ge=0.05, le=300)] = 20.0
    """How often open WebSockets and event streams hear that the gateway lives, how long
    they may outlive their key, and how late they hear of news that the bus has lost."""
    gateway_rate_limit: Annotated[int, Field(ge=0, le=1_000_000_000)] = 6_000
    """Requests a minute for each key, or for each client address where keys are off; a
    batch counts as many as it has members. 0 means no limit."""
    gateway_trusted_proxies: Networks = ()
    """Networks whose ``X-Forwarded-For`` is believed, like ``10.0.0.0/8,192.168.1.7``."""
    gateway_cors_origins: Words = ()
    """Origins whose scripts may call the gateway, like ``https://app.example.com``; ``*``
    lets in all of them and needs keys."""
    gateway_header_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0
    """How long a client may take to send the head of a request."""
    gateway_body_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """How long a client may take to send a body."""
    gateway_answer_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """How long one answer may take in all, the body's arrival included; then it is 503."""
    gateway_send_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """How long a client may keep an answer from being sent by not reading it."""

    gateway_public_url: HttpUrl | None = None
    """The gateway's address as providers know it, like ``https://notify.example.com``: what
    stands before ``/api``. Twilio signs it, so proxies must not hide it."""
    gateway_receipts: Sources = ()
    """Providers that may send receipts to ``/api/v1/receipts/<name>``, like
    ``twilio,acme=webhook``; ``TOCSIN_RECEIPTS_<NAME>_SECRET`` is what they sign with, and
    ``…_PREVIOUS_SECRET`` what they may still sign with while it is changed."""

    @field_validator("gateway_require_keys")
    @classmethod
    def _refuse_an_open_door(cls, required: bool, info: ValidationInfo) -> bool:
        host = info.data.get("gateway_host", "")
        if not required and not is_loopback(host):
            raise ValueError(
                f"set it to true to listen on {host!r}: without keys the gateway "
                "listens on loopback only"
            )
        return required

    @field_validator("gateway_cors_origins")
    @classmethod
    def _check_origins(
        cls, origins: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin; one looks like https://app.example.com"
                )
        if "*" in origins and not info.data.get("gateway_require_keys"):
            raise ValueError(
                "'*' lets every web page call the gateway, which needs "
                "TOCSIN_GATEWAY_REQUIRE_KEYS=true"
            )
        return origins

    @field_validator("gateway_receipts")
    @classmethod
    def _know_what_twilio_signs(
        cls, sources: tuple[ReceiptSource, ...], info: ValidationInfo
    ) -> tuple[ReceiptSource, ...]:
        forms = {source.form for source in sources}
        if ReceiptForm.TWILIO in forms and info.data.get("gateway_public_url") is None:
            raise ValueError(
                "receipts of Twilio need TOCSIN_GATEWAY_PUBLIC_URL, which it signs"
            )
        return sources
