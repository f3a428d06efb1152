"""What a notification may be: whom it may go to, and how much it may carry.

Each check returns what is wrong, as a rule a person can follow, or None. Pure.
"""

import re

from contracts.channels import Channel

BATCH_AT_MOST_ITEMS = 1000
BATCH_AT_MOST_BYTES = 8 << 20
METADATA_AT_MOST_BYTES = 4096
RECIPIENT_AT_MOST_BYTES = {Channel.SMS: 16, Channel.EMAIL: 320, Channel.PUSH: 4096}
CONTENT_AT_MOST_BYTES = {Channel.SMS: 160, Channel.EMAIL: 10_000, Channel.PUSH: 500}
#: The longest line of a mail (RFC 5322 §2.1.1).
SUBJECT_AT_MOST_BYTES = 998
TEMPLATE_NAME_AT_MOST_CHARACTERS = 255
TEMPLATE_AT_MOST_BYTES = 16 << 10
TEMPLATE_VARIABLES_AT_MOST_BYTES = 64 << 10

_PHONE_NUMBER = re.compile(r"\+[1-9][0-9]{1,14}")
_SPACE = re.compile(r"\s")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: No ledger keeps a NUL, and half a surrogate pair is nothing in UTF-8.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

_RECIPIENT_RULES = {
    Channel.SMS: "an SMS goes to a number like +15555550001",
    Channel.EMAIL: "an email goes to an address like someone@example.com",
    Channel.PUSH: "a push notification goes to a device token",
}


def recipient_fault(channel: Channel, recipient: str) -> str | None:
    """Check an address against its channel."""
    match channel:
        case Channel.SMS:
            right = _PHONE_NUMBER.fullmatch(recipient) is not None
        case Channel.EMAIL:
            right = is_email_address(recipient)
        case Channel.PUSH:
            right = bool(recipient)
    if not right:
        return _RECIPIENT_RULES[channel]
    if _longer_than(recipient, RECIPIENT_AT_MOST_BYTES[channel]):
        return f"a recipient has at most {RECIPIENT_AT_MOST_BYTES[channel]} bytes"
    return None


def content_fault(channel: Channel, content: str) -> str | None:
    """Check the words of a notification against its channel."""
    if not content:
        return "content is empty"
    at_most = CONTENT_AT_MOST_BYTES[channel]
    if _longer_than(content, at_most):
        return f"the content of {channel} has at most {at_most} bytes in UTF-8"
    if not is_storable(content):
        return "content has a NUL character or half a surrogate pair"
    return None


def subject_fault(subject: str) -> str | None:
    """Check a subject: a line break in it would add headers to a mail."""
    if _CONTROL.search(subject) or _longer_than(subject, SUBJECT_AT_MOST_BYTES):
        return f"subject is one line of at most {SUBJECT_AT_MOST_BYTES} bytes"
    if not is_storable(subject):
        return "subject has half a surrogate pair"
    return None


def metadata_fault(encoded: bytes) -> str | None:
    """Check the size of metadata, encoded as it is stored."""
    if len(encoded) > METADATA_AT_MOST_BYTES:
        return f"metadata has at most {METADATA_AT_MOST_BYTES} bytes as JSON"
    return None


def template_name_fault(name: str) -> str | None:
    """Check the name of a template, trimmed."""
    if not name:
        return "name is empty"
    if len(name) > TEMPLATE_NAME_AT_MOST_CHARACTERS or _CONTROL.search(name):
        return (
            f"name is one line of at most {TEMPLATE_NAME_AT_MOST_CHARACTERS} characters"
        )
    return None


def template_fault(source: str) -> str | None:
    """Check the size of a template's body or subject."""
    if _longer_than(source, TEMPLATE_AT_MOST_BYTES):
        return f"a template has at most {TEMPLATE_AT_MOST_BYTES} bytes in UTF-8"
    return None


def is_storable(text: str) -> bool:
    """Say whether a text is one that the ledger can keep."""
    if text.isascii():
        return "\0" not in text
    return _UNSTORABLE.search(text) is None


def is_email_address(text: str) -> bool:
    r"""Match ``[^@\s]+@[^@\s]+\.[^@\s]+``, in time that grows with the length alone."""
    local, _, domain = text.partition("@")
    dot = domain.find(".", 1)
    return (
        bool(local)
        and 1 <= dot < len(domain) - 1
        and "@" not in domain
        and _SPACE.search(text) is None
    )


def _longer_than(text: str, at_most_bytes: int) -> bool:
    """Compare a length in UTF-8 bytes, without encoding what is plainly short or long."""
    length = len(text)
    if length > at_most_bytes:
        return True
    return (
        not text.isascii()
        and len(text.encode("utf-8", "surrogatepass")) > at_most_bytes
    )
