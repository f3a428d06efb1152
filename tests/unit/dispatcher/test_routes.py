"""The file of routes: what it may say, and how its mistakes are named."""

from pathlib import Path

import pytest

from contracts.channels import Channel
from dispatcher import routes
from dispatcher.errors import RoutesInvalid
from dispatcher.providers import discovery
from dispatcher.providers.webhook import WebhookSettings

TWO = """
[providers.backup]
kind = "webhook"
rate = 50
[channels.sms]
providers = [{ name = "noop", weight = 9 }, { name = "backup", weight = 0 }]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "routes.toml"


@pytest.fixture(autouse=True)
def backup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_BACKUP_URL", "https://backup.example/send")


def load(path: Path, text: str, default: str = "noop") -> routes.Routes:
    path.write_text(text)
    return routes.load(path, default)


def test_the_bundled_file_sends_everything_through_the_one_provider() -> None:
    found = routes.load(routes.BUNDLED, "noop")

    assert found.health == routes.Routes().health
    assert found.legs("noop") == {c: (routes.Leg(name="noop"),) for c in Channel}


def test_a_channel_without_a_table_goes_through_the_default(path: Path) -> None:
    legs = load(path, TWO).legs("noop")

    assert [(leg.name, leg.weight) for leg in legs[Channel.SMS]] == [
        ("noop", 9),
        ("backup", 0),
    ]
    assert [leg.name for leg in legs[Channel.EMAIL]] == ["noop"]


def test_a_second_provider_of_a_kind_has_settings_and_a_limit_of_its_own(
    path: Path,
) -> None:
    found = load(path, TWO)
    kind = discovery.find(found.kind("backup"))
    settings = discovery.settings_of(kind, found.prefix("backup"))

    assert isinstance(settings, WebhookSettings)
    assert str(settings.url) == "https://backup.example/send"
    assert (found.rate("backup"), found.rate("noop")) == (50, 0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[channels.fax]\nproviders = [{ name = 'noop' }]", "'fax'"),
        ("[channels.sms]\nproviders = []", "channels.sms.providers: Expected"),
        ("[channels.sms]\nproviders = [{ weight = 1 }]", "`name`"),
        (
            "[channels.sms]\nproviders = [{ name = 'noop', weight = -1 }]",
            "channels.sms.providers[0].weight: Expected",
        ),
        ("[channels.sms]\nproviders = [{ name = 'noop', wieght = 1 }]", "`wieght`"),
        (
            "[channels.sms]\nproviders = [{ name = 'pigeon' }]",
            "channels.sms.providers[0]: no provider is called 'pigeon'; known: ",
        ),
        (
            "[channels.sms]\nproviders = [{ name = 'webhook' }]",
            "channels.sms.providers[0]: TOCSIN_WEBHOOK_URL: Field required",
        ),
        (
            "[providers.other]\nkind = 'webhook'\n[channels.sms]\nproviders = [{ name = 'other' }]",
            "channels.sms.providers[0]: TOCSIN_OTHER_URL: Field required",
        ),
        (
            "[channels.sms]\nproviders = [{ name = 'noop', weight = 0 }]",
            "channels.sms.providers: one of them needs a weight above 0",
        ),
        (
            "[channels.sms]\nproviders = [{ name = 'noop' }, { name = 'noop' }]",
            "channels.sms.providers: a provider is named twice",
        ),
        ("[health]\nfailure_share = 1.5", "health.failure_share: Expected"),
        ("[chanels.sms]", "there is no table 'chanels'"),
        ("channels = 3", "channels: Expected `object`"),
        (
            "[health]\nslow_secs = 1",
            "health: Object contains unknown field `slow_secs`",
        ),
        ("[providers.noop]\nrate = 'fast'", "providers.noop.rate: Expected"),
        ("[channels.sms", "at end of document"),
    ],
)
def test_a_mistake_is_named(path: Path, text: str, complaint: str) -> None:
    with pytest.raises(RoutesInvalid) as caught:
        load(path, text)

    assert str(caught.value).startswith(str(path))
    assert complaint in str(caught.value)


def test_a_provider_that_does_not_carry_the_channel_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = discovery.find("noop")
    monkeypatch.setattr(kind, "channels", frozenset({Channel.EMAIL}))
    with pytest.raises(
        RoutesInvalid, match=r"providers\[0\]: 'noop' does not carry sms"
    ):
        load(path, TWO)


def test_a_default_that_carries_nothing_of_a_channel_leaves_it_without_a_route(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery.find("noop"), "channels", frozenset({Channel.PUSH}))

    assert set(load(path, "").legs("noop")) == {Channel.PUSH}


def test_no_file_is_a_mistake(path: Path) -> None:
    with pytest.raises(RoutesInvalid, match=r"routes\.toml"):
        routes.load(path, "noop")


def test_a_default_that_nothing_needs_may_be_unset(path: Path) -> None:
    text = "\n".join(
        f"[channels.{channel}]\nproviders = [{{ name = 'noop' }}]"
        for channel in Channel
    )

    assert load(path, text, default="webhook").legs("webhook").keys() == set(Channel)


@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")
def test_a_channel_that_apprise_has_no_url_for_is_refused_when_it_is_routed_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_APPRISE_SMS_URL", "json://127.0.0.1/{recipient}")
    text = '[channels.{}]\nproviders = [{{ name = "apprise" }}]\n'

    assert load(path, text.format("sms")).legs("noop")[Channel.SMS]
    assert set(load(path, "").legs("apprise")) == {Channel.SMS}
    with pytest.raises(RoutesInvalid, match="'apprise' does not carry email"):
        load(path, text.format("email"))
