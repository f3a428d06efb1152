"""The SMTP provider against a real mail server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from dispatcher.providers.smtp import SmtpProvider, SmtpSettings
from tests.integration.providers.conformance import (
    ProviderConformance,
    attempt,
    delivers,
)
from tests.integration.providers.far_sides import Mood
from tests.integration.providers.mail_server import PASSWORD, USERNAME, MailServer
from tests.waiting import until

SENDER = "Tocsin <noreply@tocsin.example>"


@asynccontextmanager
async def running(*args: Any, **kwargs: Any) -> AsyncIterator[MailServer]:
    server = MailServer(*args, **kwargs)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class TestConformance(ProviderConformance):
    """Over STARTTLS, with a login."""

    name = "smtp"
    channel = Channel.EMAIL
    required = frozenset({"TOCSIN_SMTP_HOST", "TOCSIN_SMTP_SENDER"})
    secrets = (PASSWORD,)
    tells_to_wait = False

    @pytest.fixture(autouse=True)
    def trusted(self, certificate: Path) -> None:
        self.certificate = certificate

    def run_far_side(self) -> Any:
        return running(self.certificate)

    def environment(self, far_side: MailServer) -> dict[str, str]:
        return {
            "TOCSIN_SMTP_HOST": "127.0.0.1",
            "TOCSIN_SMTP_PORT": str(far_side.port),
            "TOCSIN_SMTP_CA_FILE": str(self.certificate),
            "TOCSIN_SMTP_USERNAME": USERNAME,
            "TOCSIN_SMTP_PASSWORD": PASSWORD,
            "TOCSIN_SMTP_SENDER": SENDER,
            "TOCSIN_SMTP_HELO_NAME": "dispatcher.example",
        }


message = TestConformance().message


@pytest_asyncio.fixture
async def server() -> AsyncIterator[MailServer]:
    """A mail server without TLS and without a login."""
    async with running() as server:
        yield server


@asynccontextmanager
async def provider_for(server: MailServer, **given: Any) -> AsyncIterator[SmtpProvider]:
    facts = {
        "host": "127.0.0.1",
        "port": server.port,
        "security": "none",
        "sender": SENDER,
        "helo_name": "dispatcher.example",
        **given,
    }
    async with SmtpProvider.open(SmtpSettings(**facts)) as provider:
        yield provider


async def test_a_mail_has_the_headers_people_and_machines_look_for(
    server: MailServer,
) -> None:
    sent = message(subject="Tea — now")
    async with provider_for(server) as provider:
        outcome = await attempt(provider, sent)

    [mail] = server.mails
    assert mail["From"] == SENDER
    assert mail["To"] == sent.recipient
    assert mail["Subject"] == "Tea — now"
    assert mail["Date"].datetime.tzinfo is not None
    assert mail["Message-ID"] == f"<{sent.notification_id}@tocsin.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "text/plain"
    [envelope] = server.envelopes
    assert envelope.mail_from == "noreply@tocsin.example"
    assert outcome.message_id == f"{sent.notification_id}@tocsin.example"
    assert (outcome.code, outcome.words) == ("250 2.0.0", "queued as 4cXyZ1")


async def test_a_page_of_html_goes_with_its_text(server: MailServer) -> None:
    page = "<!DOCTYPE html><html><body><p>Grüße &amp; Tee</p></body></html>"
    async with provider_for(server) as provider:
        assert await delivers(provider, message(content=page))

    [mail] = server.mails
    assert mail.get_content_type() == "multipart/alternative"
    text, html = mail.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == (
        "text/plain",
        "text/html",
    )
    assert text.get_content().strip() == "Grüße & Tee"
    assert html.get_content().strip() == page


async def test_no_subject_adds_a_header(server: MailServer) -> None:
    sent = message(subject="Tea\r\nBcc: everybody@example.com\n\nMore")
    async with provider_for(server) as provider:
        assert await delivers(provider, sent)

    [mail] = server.mails
    assert mail["Subject"] == "Tea Bcc: everybody@example.com More"
    assert mail["Bcc"] is None
    assert server.envelopes[0].rcpt_tos == [sent.recipient]


@pytest.mark.parametrize(
    "recipient",
    [
        "jo@example.com,eve@example.com",
        "jo@example.com>\r\nRCPT TO:<eve@example.com",
        "Jo<eve@example.com>",
        "jo@[192.168.0.1].com",
        "jo@exa mple.com",
        "jo@example..com",
        '"jo eve"@example.com',
        "jo@.example.com",
        f"jo@{'x' * 64}.com",
    ],
)
async def test_a_recipient_that_is_no_single_mailbox_is_refused(
    server: MailServer, recipient: str
) -> None:
    async with provider_for(server) as provider:
        outcome = await attempt(provider, message(recipient=recipient))

    assert (outcome.kind, outcome.code) == (
        OutcomeClass.PERMANENT,
        "recipient_invalid",
    )
    assert server.opened == 0


@pytest.mark.parametrize(
    ("command", "answer", "kind", "code", "words"),
    [
        ("MAIL", "451 4.3.2 paused", "transient", "451 4.3.2", "paused"),
        ("MAIL", "550 5.7.1 not you", "permanent", "550 5.7.1", "not you"),
        ("MAIL", "530 5.7.0 log in first", "transient", "530 5.7.0", "log in first"),
        ("RCPT", "450 4.2.1 mailbox busy", "transient", "450 4.2.1", "mailbox busy"),
        ("RCPT", "452 4.2.2 mailbox full", "transient", "452 4.2.2", "mailbox full"),
        ("RCPT", "550 5.1.1 who", "permanent", "550 5.1.1", "who"),
        ("RCPT", "550 nobody", "permanent", "550", "nobody"),
        ("DATA", "421 4.3.2 going down", "transient", "421 4.3.2", "going down"),
        ("DATA", "552 5.3.4 too big", "permanent", "552 5.3.4", "too big"),
        ("DATA", "554 5.7.1 is spam", "permanent", "554 5.7.1", "is spam"),
    ],
)
async def test_an_answer_has_its_class_and_keeps_its_codes(
    server: MailServer, command: str, answer: str, kind: str, code: str, words: str
) -> None:
    server.answers[command] = answer
    async with provider_for(server) as provider:
        outcome = await attempt(provider, message())

        assert (outcome.kind, outcome.code, outcome.words) == (kind, code, words)
        server.answers.clear()
        assert await delivers(provider, message())


async def test_connections_are_used_again_after_refusals_too(
    server: MailServer,
) -> None:
    async with provider_for(server) as provider:
        for mood in (Mood.ACCEPT, Mood.PERMANENT, Mood.TRANSIENT, Mood.ACCEPT):
            server.mood = mood
            await attempt(provider, message())

    assert len(server.mails) == 2
    assert server.opened == 1


async def test_more_mails_than_connections_share_them(server: MailServer) -> None:
    async with provider_for(server, connections=4) as provider:
        outcomes = await asyncio.gather(
            *(attempt(provider, message(n)) for n in range(40))
        )

    assert {outcome.kind for outcome in outcomes} == {OutcomeClass.DELIVERED}
    assert server.opened == 4


async def test_a_server_that_wants_a_new_connection_gets_one(
    server: MailServer,
) -> None:
    async with provider_for(server) as provider:
        assert await delivers(provider, message())
        server.answers["MAIL"] = "421 4.7.0 enough of this connection"
        outcome = await attempt(provider, message())

    assert (outcome.kind, outcome.code) == (OutcomeClass.TRANSIENT, "421 4.7.0")
    assert server.opened == 2


async def test_a_domain_in_any_script_is_written_as_dns_knows_it(
    server: MailServer,
) -> None:
    async with provider_for(server) as provider:
        assert await delivers(provider, message(recipient="jo@bücher.example"))

    assert server.envelopes[0].rcpt_tos == ["jo@xn--bcher-kva.example"]


async def test_a_local_part_in_any_script_goes_where_the_server_can() -> None:
    sent = message(recipient="jörg@example.com")
    async with running() as able, provider_for(able) as provider:
        assert await delivers(provider, sent)
    assert able.envelopes[0].rcpt_tos == [sent.recipient]
    assert able.envelopes[0].smtp_utf8

    async with running(smtputf8=False) as unable, provider_for(unable) as provider:
        outcome = await attempt(provider, sent)
    assert (outcome.kind, outcome.code) == (
        OutcomeClass.PERMANENT,
        "smtputf8_unsupported",
    )


async def test_a_mail_that_is_too_large_is_refused_before_it_is_sent() -> None:
    async with running(size_at_most=1000) as server, provider_for(server) as provider:
        outcome = await attempt(provider, message(content="x" * 2000))

    assert outcome.kind is OutcomeClass.PERMANENT
    assert server.heard == 0


async def test_tls_from_the_first_byte(certificate: Path) -> None:
    login = {"username": USERNAME, "password": PASSWORD}
    async with (
        running(certificate, implicit_tls=True) as server,
        provider_for(server, security="tls", ca_file=certificate, **login) as provider,
    ):
        assert await delivers(provider, message())

    assert server.logins == [True]


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_certificate_that_nobody_vouches_for_is_not_talked_to(
    certificate: Path, security: str
) -> None:
    login = {"username": USERNAME, "password": PASSWORD}
    async with (
        running(certificate, implicit_tls=security == "tls") as server,
        provider_for(server, security=security, **login) as provider,
    ):
        outcome = await attempt(provider, message())

    assert (outcome.kind, outcome.code) == (OutcomeClass.TRANSIENT, "tls")
    assert outcome.words == "CERTIFICATE_VERIFY_FAILED"
    assert server.logins == []


async def test_a_server_without_starttls_gets_neither_password_nor_mail(
    server: MailServer,
) -> None:
    login = {"username": USERNAME, "password": PASSWORD}
    async with provider_for(server, security="starttls", **login) as provider:
        outcome = await attempt(provider, message())

    assert (outcome.kind, outcome.code) == (OutcomeClass.TRANSIENT, "network")
    assert "STARTTLS" in (outcome.words or "")
    assert (server.logins, server.heard) == ([], 0)


async def test_a_wrong_password_is_ours_to_mend_and_fails_no_mail_for_good(
    certificate: Path,
) -> None:
    async with (
        running(certificate) as server,
        provider_for(
            server,
            security="starttls",
            ca_file=certificate,
            username=USERNAME,
            password="wrong",
        ) as provider,
    ):
        outcome = await attempt(provider, message())
        assert (outcome.kind, outcome.code) == (OutcomeClass.TRANSIENT, "535 5.7.8")
        assert server.heard == 0
        await until(lambda: server.connections == 0)

        server.password = "wrong"
        assert await delivers(provider, message())
