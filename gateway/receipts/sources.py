"""Who may send receipts: providers by name, each with its form and its secrets."""

import re
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.signatures import signing_key


class ReceiptForm(StrEnum):
    """How a provider writes and signs its receipts."""

    TWILIO = "twilio"  #: status callbacks of messages
    WEBHOOK = "webhook"  #: Standard Webhooks, of the types in ``contracts.receipts``


#: As names of providers are in the dispatcher's routes.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class ReceiptSource(BaseModel):
    """One provider that may send receipts."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    name: str
    form: ReceiptForm
    secret: SecretStr
    previous_secret: SecretStr | None = None

    @property
    def secrets(self) -> list[str]:
        """Return every secret that a receipt may be signed with now."""
        given = [s for s in (self.secret, self.previous_secret) if s is not None]
        return [secret.get_secret_value() for secret in given]


class _Secrets(BaseSettings):
    """Read from ``TOCSIN_RECEIPTS_<NAME>_…``."""

    model_config = SettingsConfigDict(
        extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    secret: SecretStr
    previous_secret: SecretStr | None = None

    @field_validator("secret", "previous_secret")
    @classmethod
    def _is_usable(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            signing_key(secret.get_secret_value())
        return secret


def read_sources(words: Any) -> Any:
    """Read sources from names with commas between them, and their secrets beside them.

    A name is that of its form, or is followed by it: ``twilio,acme=webhook``. What is no
    text is left as it is. Raises ``ValueError`` naming what is wrong.
    """
    if not isinstance(words, str):
        return words
    sources = [_source(word.strip()) for word in words.split(",") if word.strip()]
    if len({source.name for source in sources}) < len(sources):
        raise ValueError("a provider is named twice")
    return tuple(sources)


def _source(word: str) -> ReceiptSource:
    name, _, form = word.partition("=")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a provider")
    if (form or name) not in set(ReceiptForm):
        known = " or ".join(ReceiptForm)
        raise ValueError(f"{word!r} has no form; write {name}=FORM, FORM being {known}")
    prefix = f"TOCSIN_RECEIPTS_{name.upper().replace('-', '_')}_"
    try:
        secrets = _Secrets(_env_prefix=prefix)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)
        words = [
            f"{prefix}{str(item['loc'][0]).upper()}: {item['msg']}" for item in wrong
        ]
        raise ValueError("; ".join(words)) from None  # which may hold the secret
    return ReceiptSource(
        name=name,
        form=ReceiptForm(form or name),
        secret=secrets.secret,
        previous_secret=secrets.previous_secret,
    )
