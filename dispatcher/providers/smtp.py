"""Hands emails to an SMTP server."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

import aiosmtplib
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from dispatcher.providers.http import is_loopback
from dispatcher.providers.mail import Mail, Mailbox, compose, mailbox, named_mailbox
from dispatcher.providers.port import (
    OutboundMessage,
    Outcome,
    Provider,
    ProviderSettings,
)
from dispatcher.providers.smtp_connections import Connections, Stale

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})\s+")
_GOING_AWAY = 421
#: Refusals of us and not of the mail: no login, a wrong one, or one that is too weak.
_ABOUT_US = frozenset({530, 534, 535, 538})


class SmtpSettings(ProviderSettings):
    """The server, and whose mail it is."""

    model_config = SettingsConfigDict(env_prefix="TOCSIN_SMTP_")

    host: str
    """Name or address of the server."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """587 with ``starttls``, 465 with ``tls``, 25 with ``none``."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """``none`` only where the way to the server is safe by itself; never with a password."""
    ca_file: Path | None = None
    """Certificates to trust beside the system's, as PEM: for a server with one of its own."""
    username: str | None = None
    password: SecretStr | None = None
    sender: str
    """From whom: ``noreply@example.com`` or ``Example <noreply@example.com>``."""
    connections: Annotated[int, Field(ge=4, le=200)] = 10
    """Connections to the server, and so mails in flight, at most."""
    helo_name: str | None = None
    """What we call ourselves; this host's name when absent."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 15.0

    @field_validator("sender")
    @classmethod
    def sender_is_a_mailbox(cls, sender: str) -> str:
        """Refuse what no mail can come from."""
        if named_mailbox(sender).needs_utf8:
            raise ValueError("the part before the @ has to be ASCII")
        return sender

    @field_validator("ca_file")
    @classmethod
    def certificates_are_readable(cls, ca_file: Path | None) -> Path | None:
        """Read the certificates once, so that a mistake in them stops the start."""
        if ca_file is not None:
            try:
                ssl.create_default_context(cafile=str(ca_file))
            except OSError as error:
                raise ValueError(
                    f"no certificates can be read from it: {error}"
                ) from error
        return ca_file

    @model_validator(mode="after")
    def login_is_whole_and_safe(self) -> Self:
        """Refuse half a login, and one that anybody on the way could read."""
        if (self.username is None) != (self.password is None):
            raise ValueError(
                "TOCSIN_SMTP_USERNAME and TOCSIN_SMTP_PASSWORD go together"
            )
        if self.password and self.security == "none" and not is_loopback(self.host):
            raise ValueError(
                "TOCSIN_SMTP_SECURITY=none would send TOCSIN_SMTP_PASSWORD in the clear"
            )
        return self


class SmtpProvider(Provider):
    """One server for all emails, over a few connections that are used again and again."""

    Settings = SmtpSettings
    name = "smtp"
    channels = frozenset({Channel.EMAIL})

    def __init__(self, settings: SmtpSettings, connections: Connections) -> None:
        self._sender = named_mailbox(settings.sender)
        self._connections = connections
        self.timeout_seconds = settings.timeout_seconds
        self.concurrency = settings.connections

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: SmtpSettings) -> AsyncIterator["SmtpProvider"]:
        """Open no connection yet: the first mail makes the first one."""
        context = None
        if settings.security != "none":
            context = await asyncio.to_thread(ssl.create_default_context)
            if settings.ca_file is not None:
                context.load_verify_locations(cafile=str(settings.ca_file))
        # Asked once: the name server may take its time.
        helo_name = settings.helo_name or await asyncio.to_thread(socket.getfqdn)
        connections = Connections(
            partial(_connect, settings, context, helo_name), settings.connections
        )
        try:
            yield cls(settings, connections)
        finally:
            await connections.close()

    async def send(self, message: OutboundMessage) -> Outcome:
        """Hand one mail over and say what the server made of it."""
        try:
            recipient = mailbox(message.recipient)
        except ValueError as error:
            return Outcome(
                kind=OutcomeClass.PERMANENT, code="recipient_invalid", words=str(error)
            )
        mail = compose(message, self._sender, recipient)
        try:
            return await self._connections.use(
                lambda client: self._transact(client, recipient, mail)
            )
        except Stale as stale:
            return connection_failed(stale.because)
        except (aiosmtplib.SMTPException, OSError) as error:
            return connection_failed(error)

    async def _transact(
        self, client: aiosmtplib.SMTP, recipient: Mailbox, mail: Mail
    ) -> Outcome:
        """Hand over one mail; raises only what ends the connection."""
        options = []
        if client.supports_extension("size"):
            options.append(f"SIZE={len(mail.data)}")
        if recipient.needs_utf8:
            if not client.supports_extension("smtputf8"):
                return Outcome(
                    kind=OutcomeClass.PERMANENT,
                    code="smtputf8_unsupported",
                    words="the server takes no address that is not ASCII",
                )
            options.append("SMTPUTF8")
        try:
            await _begin(client, self._sender, options, recipient.needs_utf8)
            await client.rcpt(
                recipient.address, encoding="utf-8" if recipient.needs_utf8 else "ascii"
            )
            answer = await client.data(mail.data)
        except aiosmtplib.SMTPResponseException as refusal:
            outcome = outcome_of(refusal.code, refusal.message)
            if refusal.code < 400:  # not SMTP: what else comes would be misread
                client.close()
            elif client.is_connected:
                await _reset(client)
            return outcome
        code, words = _read(answer.code, answer.message)
        return Outcome(
            kind=OutcomeClass.DELIVERED, code=code, words=words, message_id=mail.id
        )


async def _connect(
    settings: SmtpSettings, context: ssl.SSLContext | None, helo_name: str | None
) -> aiosmtplib.SMTP:
    password = settings.password
    client = aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port or _PORTS[settings.security],
        use_tls=settings.security == "tls",
        start_tls=settings.security == "starttls",
        tls_context=context,
        username=settings.username,
        password=password.get_secret_value() if password else None,
        local_hostname=helo_name,
        timeout=settings.timeout_seconds,
    )
    await client.connect()
    try:
        if client.last_ehlo_response is None:
            await client.ehlo()
    except BaseException:
        client.close()
        raise
    return client


async def _begin(
    client: aiosmtplib.SMTP, sender: Mailbox, options: list[str], utf8: bool
) -> None:
    """Begin a mail; raises ``Stale`` when the server had gone, or goes now."""
    try:
        await client.mail(
            sender.address, options=options, encoding="utf-8" if utf8 else "ascii"
        )
    except aiosmtplib.SMTPServerDisconnected as error:
        raise Stale(error) from error
    except aiosmtplib.SMTPResponseException as refusal:
        if refusal.code == _GOING_AWAY:
            raise Stale(refusal) from refusal
        raise


async def _reset(client: aiosmtplib.SMTP) -> None:
    """Have the server forget a refused mail, or leave it."""
    try:
        await client.rset()
    except (aiosmtplib.SMTPException, OSError):
        client.close()


def outcome_of(status: int, words: str) -> Outcome:
    """Say what a refusal means.

    Only a refusal of the mail itself is permanent. One of our login is for an operator to
    mend, and the mail can wait for that.
    """
    code, rest = _read(status, words)
    for_good = 500 <= status < 600 and status not in _ABOUT_US
    kind = OutcomeClass.PERMANENT if for_good else OutcomeClass.TRANSIENT
    return Outcome(kind=kind, code=code, words=rest)


def _read(status: int, words: str) -> tuple[str, str | None]:
    """Return an answer's codes, the enhanced one (RFC 3463) beside the plain one, and its words."""
    if not 200 <= status < 600:
        return "garbled", words or None
    enhanced = _ENHANCED.match(words)
    if enhanced is None:
        return str(status), words or None
    rest = words[enhanced.end() :].replace(f"\n{enhanced[1]} ", " ")
    return f"{status} {enhanced[1]}", rest or None


def connection_failed(error: Exception) -> Outcome:
    """Say why no mail could be handed over. Always transient: it is not the mail's fault."""
    kind = OutcomeClass.TRANSIENT
    if isinstance(error, aiosmtplib.SMTPResponseException):
        refused = outcome_of(error.code, error.message)
        return Outcome(kind=kind, code=refused.code, words=refused.words)
    if isinstance(error, TimeoutError):
        return Outcome(kind=kind, code="timeout")
    for cause in (error, error.__cause__):
        if isinstance(cause, ssl.SSLError):
            return Outcome(kind=kind, code="tls", words=cause.reason)
    if isinstance(error, aiosmtplib.SMTPException):
        return Outcome(kind=kind, code="network", words=error.message)
    return Outcome(kind=kind, code="network", words=type(error).__name__)
