import pytest
from pydantic import ValidationError

from contracts.settings import MeshSettings
from ops.runtime.service import describe, instance_name

ENVIRONMENT = {
    "TOCSIN_POSTGRES_DSN": "postgresql://tocsin:hidden@127.0.0.1:5432/tocsin",
    "TOCSIN_NATS_URL": "nats://127.0.0.1:4222",
    "TOCSIN_REDIS_URL": "redis://127.0.0.1:6379/0",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def complaint() -> str:
    with pytest.raises(ValidationError) as caught:
        MeshSettings()
    return describe(caught.value)


def test_three_addresses_are_enough(environment: pytest.MonkeyPatch) -> None:
    settings = MeshSettings()

    assert [str(url) for url in settings.nats_url] == [ENVIRONMENT["TOCSIN_NATS_URL"]]
    assert settings.log_level == "info"


def test_servers_of_one_bus_are_written_with_commas(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("TOCSIN_NATS_URL", "nats://one:4222, nats://two:4222")

    servers = [str(url) for url in MeshSettings().nats_url]

    assert servers == ["nats://one:4222", "nats://two:4222"]


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_missing_address_is_named_by_its_variable(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.delenv(name)

    assert complaint() == f"{name}: Field required"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOCSIN_POSTGRES_DSN", "mysql://tocsin:hidden@127.0.0.1/tocsin"),
        ("TOCSIN_NATS_URL", "http://user:hidden@127.0.0.1:4222"),
        ("TOCSIN_NATS_URL", "nats://127.0.0.1:4222,http://user:hidden@127.0.0.1"),
        ("TOCSIN_POSTGRES_POOL_SIZE", "0"),
        ("TOCSIN_DRAIN_SECONDS", "-1"),
        ("TOCSIN_LOG_LEVEL", "chatty"),
        ("TOCSIN_INSTANCE", "two.tokens"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable_and_not_repeated(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)

    said = complaint()

    assert said.startswith(f"{name}: ")
    assert "hidden" not in said


def test_every_wrong_setting_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("TOCSIN_NATS_URL")
    environment.setenv("TOCSIN_LOG_LEVEL", "chatty")

    said = complaint()

    assert "TOCSIN_NATS_URL" in said
    assert "TOCSIN_LOG_LEVEL" in said


def test_settings_cannot_be_changed(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(MeshSettings(), "log_level", "debug")  # noqa: B010 (typed, it would not compile)


def test_a_process_has_a_name_that_fits_in_a_subject(
    environment: pytest.MonkeyPatch,
) -> None:
    name = instance_name(MeshSettings())

    environment.setenv("TOCSIN_INSTANCE", name)
    assert instance_name(MeshSettings()) == name
