"""Emails from the bus to a real mail server."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from contracts.channels import Channel
from contracts.settings import MeshSettings
from dispatcher.settings import DispatcherSettings
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.dispatcher.endpoint import running_endpoint
from tests.integration.dispatcher.running import (
    bus_is_empty,
    details_of,
    dispatcher_settings,
    have_status,
    row_of,
    running_dispatcher,
)
from tests.integration.factories import seed_notifications
from tests.integration.providers.far_sides import Mood
from tests.integration.providers.mail_server import MailServer
from tests.waiting import until


@pytest_asyncio.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer.running() as server:
        yield server


@pytest_asyncio.fixture
async def ours(settings: MeshSettings, server: MailServer) -> DispatcherSettings:
    os.environ |= {
        "TOCSIN_SMTP_HOST": "127.0.0.1",
        "TOCSIN_SMTP_PORT": str(server.port),
        "TOCSIN_SMTP_SECURITY": "none",
        "TOCSIN_SMTP_SENDER": "noreply@tocsin.example",
        "TOCSIN_SMTP_CONNECTIONS": "4",
    }
    return dispatcher_settings(
        settings, "http://127.0.0.1:9/", dispatcher_provider="smtp"
    )


async def test_emails_are_delivered_over_no_more_connections_than_allowed(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, server: MailServer
) -> None:
    ids = await seed_notifications(ledger, bus, 60, channel=Channel.EMAIL)
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, ids, "delivered"), timeout_seconds=15)
        await until(lambda: bus_is_empty(bus))

    assert sorted(mail["Message-ID"] for mail in server.mails) == sorted(
        f"<{id_}@tocsin.example>" for id_ in ids
    )
    assert server.opened <= 4
    row = await row_of(ledger, ids[0])
    assert (row["provider"], row["provider_message_id"]) == (
        "smtp",
        f"{ids[0]}@tocsin.example",
    )


async def test_on_a_mixed_route_no_mail_waits_for_a_connection_until_it_is_late(
    ledger: Ledger,
    bus: Bus,
    ours: DispatcherSettings,
    server: MailServer,
    tmp_path: Path,
) -> None:
    server.answer_seconds = 0.3
    os.environ["TOCSIN_SMTP_TIMEOUT_SECONDS"] = "3"
    routes = tmp_path / "routes.toml"
    routes.write_text(
        "[channels.email]\nproviders ="
        " [{ name = 'smtp', weight = 9 }, { name = 'webhook' }]\n"
    )
    mixed = ours.model_copy(update={"dispatcher_routes": routes})
    ids = await seed_notifications(ledger, bus, 100, channel=Channel.EMAIL)
    async with running_endpoint() as endpoint:
        os.environ["TOCSIN_WEBHOOK_URL"] = endpoint.url
        async with running_dispatcher(mixed):
            await until(
                lambda: have_status(ledger, ids, "delivered"), timeout_seconds=30
            )

    rows = await ledger.fetch("SELECT DISTINCT attempts FROM notification")
    assert {row["attempts"] for row in rows} == {1}
    assert len(server.mails) >= 4
    assert len(endpoint.received) == 100 - len(server.mails)


async def test_a_refusal_is_kept_without_whom_it_was_for(
    ledger: Ledger, bus: Bus, ours: DispatcherSettings, server: MailServer
) -> None:
    server.mood = Mood.PERMANENT
    [id_] = await seed_notifications(ledger, bus, 1, channel=Channel.EMAIL)
    async with running_dispatcher(ours):
        await until(lambda: have_status(ledger, [id_], "failed"))

    [details] = await details_of(ledger, id_, "failed")
    assert (details["outcome"], details["code"]) == ("permanent", "550 5.1.1")
    row = await row_of(ledger, id_)
    assert row["failure_reason"] == "550 5.1.1: we know no [redacted]"
