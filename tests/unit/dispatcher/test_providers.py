"""Providers are found by name, and a mistake in their settings is named before they open."""

import json
import re
import sys
from pathlib import Path

import pytest

from dispatcher.carriers import concurrency
from dispatcher.errors import (
    ProviderMisconfigured,
    ProviderUnavailable,
    ProviderUnknown,
)
from dispatcher.providers import discovery
from dispatcher.providers.noop import NoopProvider, NoopSettings
from dispatcher.providers.port import ProviderSettings
from dispatcher.providers.webhook import WebhookSettings

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "providers.md").read_text()
ACCOUNT = f"AC{'0a' * 16}"

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")

#: Enough for each provider to open.
WHOLE: dict[str, dict[str, str]] = {
    "webhook": {"TOCSIN_WEBHOOK_URL": "https://provider.example/send"},
    "smtp": {
        "TOCSIN_SMTP_HOST": "mail.example",
        "TOCSIN_SMTP_SENDER": "noreply@example.com",
    },
    "twilio": {
        "TOCSIN_TWILIO_ACCOUNT_SID": ACCOUNT,
        "TOCSIN_TWILIO_SECRET": "hush",
        "TOCSIN_TWILIO_SENDER": "+15005550006",
    },
    "apprise": {"TOCSIN_APPRISE_PUSH_URL": "json://127.0.0.1/{recipient}"},
    "noop": {},
}


def read(
    name: str, monkeypatch: pytest.MonkeyPatch, **changes: str | None
) -> ProviderSettings:
    """Read a provider's settings with some variables changed, or taken away."""
    for variable, text in WHOLE[name].items():
        monkeypatch.setenv(variable, text)
    for key, change in changes.items():
        variable = f"TOCSIN_{name}_{key}".upper()
        if change is None:
            monkeypatch.delenv(variable)
        else:
            monkeypatch.setenv(variable, change)
    return discovery.settings_of(discovery.find(name))


@pytest.mark.parametrize("name", WHOLE)
def test_a_provider_opens_with_little(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(name, monkeypatch).timeout_seconds > 0


@pytest.mark.parametrize(
    ("name", "changes", "complaint"),
    [
        ("webhook", {"url": None}, "TOCSIN_WEBHOOK_URL: Field required"),
        ("webhook", {"url": ""}, "TOCSIN_WEBHOOK_URL: Field required"),
        ("webhook", {"url": "ftp://provider.example/"}, "TOCSIN_WEBHOOK_URL"),
        ("webhook", {"url": "http://127.0.0.1:1/"}, "TOCSIN_WEBHOOK_ALLOW_PRIVATE"),
        ("webhook", {"url": "http://[::1]/"}, "TOCSIN_WEBHOOK_ALLOW_PRIVATE"),
        ("webhook", {"url": "http://10.0.0.1/"}, "TOCSIN_WEBHOOK_ALLOW_PRIVATE"),
        ("webhook", {"url": "http://localhost/"}, "TOCSIN_WEBHOOK_ALLOW_PRIVATE"),
        ("webhook", {"secret": "whsec_!"}, "TOCSIN_WEBHOOK_SECRET: what follows"),
        ("webhook", {"previous_secret": "old"}, "needs TOCSIN_WEBHOOK_SECRET"),
        ("webhook", {"timeout_seconds": "0"}, "TOCSIN_WEBHOOK_TIMEOUT_SECONDS"),
        ("smtp", {"sender": "nobody"}, "TOCSIN_SMTP_SENDER: this is not the address"),
        ("smtp", {"sender": "jörg@example.com"}, "TOCSIN_SMTP_SENDER: the part before"),
        ("smtp", {"username": "u"}, "TOCSIN_SMTP_USERNAME and TOCSIN_SMTP_PASSWORD"),
        ("smtp", {"password": "hush"}, "TOCSIN_SMTP_USERNAME and TOCSIN_SMTP_PASSWORD"),
        (
            "smtp",
            {"username": "u", "password": "hush", "security": "none"},
            "TOCSIN_SMTP_PASSWORD in the clear",
        ),
        ("smtp", {"security": "ssl"}, "TOCSIN_SMTP_SECURITY"),
        ("smtp", {"ca_file": "/nowhere.pem"}, "TOCSIN_SMTP_CA_FILE: no certificates"),
        ("smtp", {"connections": "3"}, "TOCSIN_SMTP_CONNECTIONS"),
        ("twilio", {"account_sid": "AC12"}, "TOCSIN_TWILIO_ACCOUNT_SID"),
        ("twilio", {"secret": None}, "TOCSIN_TWILIO_SECRET: Field required"),
        ("twilio", {"sender": "a\nb"}, "TOCSIN_TWILIO_SENDER"),
        (
            "twilio",
            {"base_url": "http://api.example"},
            "TOCSIN_TWILIO_BASE_URL: credentials go over https only",
        ),
        ("apprise", {"push_url": None}, "set TOCSIN_APPRISE_SMS_URL"),
        (
            "apprise",
            {"push_url": "hush://hush"},
            "TOCSIN_APPRISE_PUSH_URL: Apprise cannot read this URL",
        ),
    ],
)
def test_a_mistake_is_named_and_no_secret_is(
    name: str,
    changes: dict[str, str | None],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ProviderMisconfigured) as refused:
        read(name, monkeypatch, **changes)

    assert complaint in str(refused.value)
    assert "hush" not in f"{refused.value} {refused.value.__cause__}"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("webhook", {"url": "http://127.0.0.1:8025/", "allow_private": "true"}),
        ("webhook", {"secret": "new", "previous_secret": "old"}),
        ("smtp", {"sender": "Example & Co. <noreply@example.com>"}),
        (
            "smtp",
            {
                "host": "127.0.0.1",
                "security": "none",
                "username": "u",
                "password": "p",
            },
        ),
        ("twilio", {"base_url": "http://127.0.0.1:8080"}),
        ("apprise", {"push_url": "tgram://123456789:ABCdefghij/{recipient}"}),
        ("apprise", {"sms_url": "json://127.0.0.1/{recipient}/{id}"}),
    ],
)
def test_what_is_meant_is_taken(
    name: str, changes: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(name, monkeypatch, **changes)


def test_a_file_that_is_no_service_account_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "account.json"
    account = {"client_email": "a@b.example", "project_id": "p", "private_key": "hush"}
    path.write_text(json.dumps(account))
    monkeypatch.setenv("TOCSIN_FCM_CREDENTIALS_FILE", str(path))
    with pytest.raises(ProviderMisconfigured) as refused:
        discovery.settings_of(discovery.find("fcm"))

    assert str(refused.value) == (
        "TOCSIN_FCM_CREDENTIALS_FILE: its private_key is not an RSA key in PEM"
    )


@pytest.mark.parametrize(
    ("name", "variable", "secret"),
    [
        ("webhook", "TOCSIN_WEBHOOK_SECRET", "whsec_aHVzaA=="),
        ("smtp", "TOCSIN_SMTP_PASSWORD", "very secret"),
        ("twilio", "TOCSIN_TWILIO_SECRET", "very secret"),
        ("apprise", "TOCSIN_APPRISE_PUSH_URL", "json://user:secret@127.0.0.1"),
    ],
)
def test_secrets_are_not_shown(
    name: str, variable: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_SMTP_USERNAME", "user")
    key = variable.removeprefix(f"TOCSIN_{name}_".upper()).lower()
    settings = read(name, monkeypatch, **{key: secret})

    assert secret not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_providers_are_found_by_name() -> None:
    assert discovery.find("webhook").Settings is WebhookSettings
    assert discovery.find("noop").Settings is NoopSettings
    with pytest.raises(ProviderUnknown, match=r"known: .*apprise, .*webhook"):
        discovery.find("pigeon")


@pytest.mark.parametrize(
    ("name", "module"),
    [("smtp", "aiosmtplib"), ("fcm", "jwt"), ("apprise", "apprise")],
)
def test_a_library_that_is_missing_is_named_with_its_remedy(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for using in (name, "access_tokens"):
        monkeypatch.delitem(sys.modules, f"dispatcher.providers.{using}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ProviderUnavailable) as refused:
        discovery.find(name)

    assert str(refused.value) == (
        f"the provider '{name}' needs the module {module}: pip install 'tocsin[{name}]'"
    )


def test_bundled_providers_are_entry_points_too() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    section = text.partition('[project.entry-points."tocsin.providers"]\n')[2]
    declared = dict(re.findall(r'(?m)^(\w+) = "(.+)"$', section.partition("\n\n")[0]))

    assert declared == discovery.BUNDLED


@pytest.mark.parametrize("name", discovery.BUNDLED)
def test_every_setting_is_explained(name: str) -> None:
    kind = discovery.find(name).Settings
    prefix = kind.model_config["env_prefix"]
    section = PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]

    assert set(re.findall(rf"\b{prefix}[A-Z_]+\b", section)) == {
        f"{prefix}{field}".upper() for field in kind.model_fields
    }


@pytest.mark.parametrize(
    ("at_most", "carries", "expected"),
    [
        (200, [None], 200),
        (200, [10], 10),
        (8, [10], 8),
        (200, [1], 4),
        (200, [10, 16], 26),
        (20, [10, 16], 20),
        (200, [10, None], 200),
    ],
)
def test_a_channel_has_no_more_in_flight_than_its_providers_bear_together(
    at_most: int, carries: list[int | None], expected: int
) -> None:
    providers = [NoopProvider(NoopSettings()) for _ in carries]
    for provider, carried in zip(providers, carries, strict=True):
        provider.concurrency = carried

    assert concurrency(at_most, providers) == expected


def test_a_second_provider_of_a_kind_has_its_own_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = discovery.find("smtp")
    monkeypatch.setenv("TOCSIN_BACKUP_HOST", "backup.example")
    monkeypatch.setenv("TOCSIN_BACKUP_SENDER", "noreply@example.com")
    assert "backup.example" in repr(discovery.settings_of(kind, "TOCSIN_BACKUP_"))

    monkeypatch.setenv("TOCSIN_BACKUP_USERNAME", "user")
    with pytest.raises(ProviderMisconfigured) as refused:
        discovery.settings_of(kind, "TOCSIN_BACKUP_")

    assert str(refused.value) == (
        "TOCSIN_BACKUP_USERNAME and TOCSIN_BACKUP_PASSWORD go together"
    )
