"""A mail server that remembers what it was sent and fails as it is told."""

import asyncio
import ssl
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTPUTF8
from pathlib import Path
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.integration.providers.far_sides import GARBAGE, FarSide, Mood, Parcel

USERNAME, PASSWORD = "tocsin", "the password of the mail server"
REFUSALS = {
    Mood.TRANSIENT: "451 4.3.0 come back later, we {}",
    Mood.THROTTLED: "450 4.7.1 too many, we {}",
    Mood.PERMANENT: "550 5.1.1 we {}",
}


class MailServer(FarSide):
    """Speaks SMTP, with or without TLS and a login."""

    def __init__(
        self,
        certificate: Path | None = None,
        *,
        implicit_tls: bool = False,
        smtputf8: bool = True,
        size_at_most: int = 1_000_000,
    ) -> None:
        super().__init__()
        self.envelopes: list[Envelope] = []
        self.mails: list[EmailMessage] = []
        self.logins: list[bool] = []
        self.opened = 0  #: connections ever made
        self.answer_seconds = 0.0  #: until a mail is answered
        self.answers: dict[str, str] = {}  #: to a command, instead of the usual one
        self.password = PASSWORD
        self._lines: set[_Line] = set()
        self._server: asyncio.Server | None = None
        self._implicit_tls = implicit_tls
        self._smtputf8 = smtputf8
        self._size_at_most = size_at_most
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)

    @property
    def connections(self) -> int:
        return sum(not line.wire.is_closing() for line in self._lines)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        implicit = self._context if self._implicit_tls else None
        self._server = await loop.create_server(
            lambda: _Line(self), "127.0.0.1", self.port, ssl=implicit
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._released.set()
        if self._server is not None:
            self._server.close()
            for line in self._lines:
                line.abort()
            await self._server.wait_closed()
            self._server = None

    def smtp_arguments(self) -> dict[str, Any]:
        starttls = self._context if not self._implicit_tls else None
        return {
            "hostname": "mail.example",
            "data_size_limit": self._size_at_most,
            "enable_SMTPUTF8": self._smtputf8,
            "tls_context": starttls,
            "require_starttls": starttls is not None,
            "auth_required": starttls is not None,
            "auth_require_tls": starttls is not None,
            "authenticator": self.log_in,
        }

    def log_in(
        self,
        _server: SMTP,
        _session: Session,
        _envelope: Envelope,
        _way: str,
        data: Any,
    ) -> AuthResult:
        right = LoginPassword(USERNAME.encode(), self.password.encode())
        self.logins.append(data == right)
        return AuthResult(success=data == right, handled=False)

    async def handle_MAIL(  # noqa: N802
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.answers.get("MAIL", "250 2.1.0 go on")

    async def handle_RCPT(  # noqa: N802
        self,
        server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        if self.mood is Mood.GARBAGE:
            line = cast("_Line", server)
            line.say(GARBAGE)
        if self.mood is Mood.PERMANENT:
            return REFUSALS[self.mood].format(f"know no {address}")
        envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 2.1.5 go on")

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.heard += 1
        await asyncio.sleep(self.answer_seconds)
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=SMTPUTF8)
        assert isinstance(mail, EmailMessage)
        [recipient] = envelope.rcpt_tos
        parcel = Parcel(recipient, text_of(mail), mail["Message-ID"])
        match self.mood:
            case Mood.SILENT:
                await self._released.wait()
            case Mood.RESET:
                cast("_Line", server).abort()
            case Mood.ACCEPT:
                self.envelopes.append(envelope)
                self.mails.append(mail)
                self.parcels.append(parcel)
                return self.answers.get("DATA", "250 2.0.0 queued as 4cXyZ1")
        words = f"cannot send '{parcel.content}' to {recipient}"
        return REFUSALS.get(self.mood, "451 {}").format(words.replace("\n", " "))


class _Line(SMTP):
    """One connection, which its server can count and break."""

    def __init__(self, mail_server: MailServer) -> None:
        super().__init__(
            mail_server,
            loop=asyncio.get_running_loop(),
            **mail_server.smtp_arguments(),
        )
        self._mail_server = mail_server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self not in self._mail_server._lines:  # after STARTTLS it is made again
            self.wire = cast("asyncio.Transport", transport)
            self._mail_server._lines.add(self)
            self._mail_server.opened += 1
        super().connection_made(transport)

    def say(self, words: bytes) -> None:
        cast("asyncio.Transport", self.transport).write(words)

    def abort(self) -> None:
        self.wire.abort()


def text_of(mail: EmailMessage) -> str:
    """Return the text of a mail, without the line end that every mail has."""
    body = mail.get_body(("plain",))
    assert isinstance(body, EmailMessage)
    return str(body.get_content()).replace("\r\n", "\n").removesuffix("\n")
