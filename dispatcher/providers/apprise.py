"""Reaches chats and over a hundred other services through the Apprise library.

Apprise blocks, so each send runs in a thread of a bounded pool. A send that takes too long
is given up, but its thread cannot be stopped: it ends with its socket a moment later, and
may have delivered after all. Apprise says that a service refused, and seldom why; what it
logs of the HTTP status decides between permanent, throttled and transient.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Annotated, Self
from urllib.parse import quote

import apprise
from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from dispatcher.providers import http
from dispatcher.providers.mail import is_html
from dispatcher.providers.port import (
    OutboundMessage,
    Outcome,
    Provider,
    ProviderSettings,
)

#: In a URL, these are replaced by whom a notification goes to, and by its id.
_RECIPIENT, _ID = "{recipient}", "{id}"
#: One target: what separates targets in URLs could add some.
_ONE_TARGET = re.compile(r"[A-Za-z0-9_.+@:#!=~$-]{1,4096}")
_STATUS = re.compile(r"error=(\d{3})\b")
_LOGIN_REFUSED = 401
_SAMPLES = {
    Channel.SMS: "+15555550100",
    Channel.EMAIL: "someone@example.com",
    Channel.PUSH: "token",
}
#: A thread outlives the send it was given up for by no more than this share of the timeout.
_SOCKET_FACTOR = 1.25
#: They name URLs and recipients, at one level or another.
_LOGGERS = ("apprise", "urllib3", "requests_oauthlib", "oauthlib")

_ASSET = apprise.AppriseAsset(
    app_id="tocsin",
    http_redirects=False,
    pem_autogen=False,
    pgp_autogen=False,
    service_timeout=0,  # the dispatcher's holds
    storage_mode=apprise.PersistentStoreMode.MEMORY,
)


class AppriseSettings(ProviderSettings):
    """A URL for each channel that Apprise serves, with ``{recipient}`` where it belongs."""

    model_config = SettingsConfigDict(env_prefix="TOCSIN_APPRISE_")

    sms_url: SecretStr | None = None
    """For example ``vonage://key:secret@15550100/{recipient}``."""
    email_url: SecretStr | None = None
    """For example ``mailgun://user@example.com/apikey/{recipient}``."""
    push_url: SecretStr | None = None
    """For example ``tgram://bottoken/{recipient}``; without it, all go to one place."""
    threads: Annotated[int, Field(ge=4, le=100)] = 16
    """Sends of one channel at a time."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0

    @field_validator("sms_url", "email_url", "push_url")
    @classmethod
    def url_is_known(
        cls, url: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        """Refuse a URL that Apprise cannot read."""
        if url is None:
            return None
        channel = Channel(str(info.field_name).removesuffix("_url"))
        sample = filled(url.get_secret_value(), _SAMPLES[channel], "id")
        with _silenced():
            if apprise.Apprise.instantiate(sample, asset=_ASSET) is None:
                raise ValueError("Apprise cannot read this URL")
        return url

    @model_validator(mode="after")
    def some_channel_is_served(self) -> Self:
        """Refuse to serve nothing."""
        if not self.urls:
            raise ValueError(
                "set TOCSIN_APPRISE_SMS_URL, TOCSIN_APPRISE_EMAIL_URL or "
                "TOCSIN_APPRISE_PUSH_URL"
            )
        return self

    def carried(self, channels: frozenset[Channel]) -> frozenset[Channel]:
        """Return the channels that have a URL."""
        return channels & self.urls.keys()

    @property
    def urls(self) -> Mapping[Channel, str]:
        """Return the channels that are served, and how."""
        urls = {
            Channel.SMS: self.sms_url,
            Channel.EMAIL: self.email_url,
            Channel.PUSH: self.push_url,
        }
        return {c: url.get_secret_value() for c, url in urls.items() if url is not None}


class AppriseProvider(Provider):
    """One Apprise URL for each channel."""

    Settings = AppriseSettings
    name = "apprise"
    channels = frozenset(Channel)

    def __init__(self, settings: AppriseSettings, threads: ThreadPoolExecutor) -> None:
        self._urls = settings.urls
        self._threads = threads
        self.timeout_seconds = settings.timeout_seconds
        self.concurrency = settings.threads

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: AppriseSettings) -> AsyncIterator["AppriseProvider"]:
        """Open the pool of threads; at the end, wait for those that still send."""
        at_most = settings.threads * len(settings.urls)
        threads = ThreadPoolExecutor(at_most, thread_name_prefix="apprise")
        with _silenced():
            try:
                yield cls(settings, threads)
            finally:
                await asyncio.to_thread(threads.shutdown, cancel_futures=True)

    async def send(self, message: OutboundMessage) -> Outcome:
        """Send one notification from a thread."""
        url = self._urls.get(message.channel)
        if url is None:
            return Outcome(kind=OutcomeClass.UNROUTABLE, code="no_url")
        if _RECIPIENT in url and not _ONE_TARGET.fullmatch(message.recipient):
            return Outcome(
                kind=OutcomeClass.PERMANENT,
                code="recipient_invalid",
                words="the recipient cannot be part of a URL",
            )
        return await asyncio.get_running_loop().run_in_executor(
            self._threads,
            partial(
                _notify,
                filled(url, message.recipient, str(message.notification_id)),
                message,
                self.timeout_seconds * _SOCKET_FACTOR,
            ),
        )


def filled(url: str, recipient: str, id_: str) -> str:
    """Return the URL that sends to one recipient."""
    return url.replace(_RECIPIENT, quote(recipient, safe="")).replace(_ID, id_)


def _notify(url: str, message: OutboundMessage, timeout_seconds: float) -> Outcome:
    service = apprise.Apprise.instantiate(url, asset=_ASSET)
    if service is None:
        return Outcome(kind=OutcomeClass.PERMANENT, code="recipient_invalid")
    service.request_rate_per_sec = 0  # pacing is the dispatcher's
    service.socket_connect_timeout = service.socket_read_timeout = timeout_seconds
    sender = apprise.Apprise(asset=_ASSET)
    sender.add(service)
    page = is_html(message.content)
    result = sender.notify(
        message.content,
        title=message.subject or "",
        body_format=apprise.NotifyFormat.HTML if page else apprise.NotifyFormat.TEXT,
    )
    if result:
        return Outcome(kind=OutcomeClass.DELIVERED, code="sent")
    return refusal(
        str(service.service_name), [entry.message for entry in result.logs()]
    )


def refusal(service: str, said: list[str]) -> Outcome:
    """Say what a failure means. Apprise's own words are not kept: they may name the URL.

    A login that is refused is for an operator to mend, and the notification can wait.
    """
    statuses = [int(found[1]) for words in said if (found := _STATUS.search(words))]
    status = statuses[-1] if statuses else None
    kind = OutcomeClass.TRANSIENT
    if status is not None and status != _LOGIN_REFUSED:
        kind = http.failure_kind(status)
    return Outcome(
        kind=kind, code=str(status or "failed"), words=f"refused by {service}"
    )


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep what the libraries log of URLs and recipients out of our logs."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    nowhere = logging.NullHandler()
    for logger in loggers:
        logger.setLevel(logging.WARNING)  # Apprise's results are made of its warnings
        logger.propagate = False
        logger.addHandler(nowhere)
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.propagate = propagate
            logger.removeHandler(nowhere)
