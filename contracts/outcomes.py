"""What an attempt can come to, as data that retries, breakers and dead letters act on."""

from enum import StrEnum


class OutcomeClass(StrEnum):
    """How one attempt ended."""

    DELIVERED = "delivered"  #: the provider accepted the notification
    TRANSIENT = "transient"  #: worth another attempt
    THROTTLED = (
        "throttled"  #: the provider asked us to slow down; worth another attempt
    )
    PERMANENT = "permanent"  #: the provider refused for good
    UNROUTABLE = "unroutable"  #: no provider takes this channel
    OURS = "ours"  #: our bug or our infrastructure; spends no attempt


class FailureClass(StrEnum):
    """Why a notification is not delivered (yet); stored beside ``retrying`` and ``failed``."""

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    PERMANENT = "permanent"
    UNROUTABLE = "unroutable"
    OURS = "ours"
    EXPIRED = "expired"  #: its ``expires_at`` passed before it could be sent
    POISON = "poison"  #: it ended its dispatcher time and again
