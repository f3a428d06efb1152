"""Takes what a provider echoed of a notification out of the provider's words.

Providers like to repeat the recipient, and now and then the message, in an error. Their
words go into the trace and the failure reason, where neither may be.
"""

import re

from dispatcher.providers.port import OutboundMessage

REDACTED = "[redacted]"

# Bounded repeats: an endless word must not cost quadratic time.
_ADDRESS = re.compile(r"[^\s@\"'<>]{1,64}(?:@|%40)[^\s@\"'<>]{1,255}")
_NUMBER = re.compile(r"[+(]*\d(?:[\s().-]{0,2}\d){6,}")
_WORD = re.compile(r"\w+")

#: Far more than is kept, so that what is redacted away does not leave too little.
_READ_AT_MOST_CHARACTERS = 2048

#: Shorter pieces of a message than this occur in anybody's sentences.
_PIECE_CHARACTERS = 12
#: A word of a message with a digit in it may be a one-time code, however short.
_CODE_CHARACTERS = 4


def redact(text: str, message: OutboundMessage) -> str:
    """Return the text without the recipient, the message, or anything like an address."""
    if len(text) > _READ_AT_MOST_CHARACTERS:
        # Not through the middle of a word: half an address would not be known as one.
        start = text[:_READ_AT_MOST_CHARACTERS]
        text = start.rpartition(" ")[0] or start
    for secret in _secrets(message):
        if secret.casefold() in text.casefold():
            text = re.sub(re.escape(secret), REDACTED, text, flags=re.IGNORECASE)
    text = _without_pieces(text, message.content)
    return _NUMBER.sub(REDACTED, _ADDRESS.sub(REDACTED, text))


def _secrets(message: OutboundMessage) -> list[str]:
    """List what must not appear literally, longest first so that no rest stays behind."""
    recipient = message.recipient
    secrets = {recipient, recipient.lstrip("+"), recipient.partition("@")[0]}
    for body in (message.content, message.subject or ""):
        secrets.add(body)
        secrets.update(
            word
            for word in _WORD.findall(body)
            if len(word) >= _CODE_CHARACTERS and any(c.isdigit() for c in word)
        )
    return sorted((s for s in secrets if len(s) > 1), key=len, reverse=True)


def _without_pieces(text: str, content: str) -> str:
    """Blank every run of the text that also stands in the message."""
    size = _PIECE_CHARACTERS
    pieces = {content[i : i + size] for i in range(len(content) - size + 1)}
    echoed = [False] * len(text)
    for start in range(len(text) - size + 1):
        if text[start : start + size] in pieces:
            echoed[start : start + size] = [True] * size
    words: list[str] = []
    for character, is_echo in zip(text, echoed, strict=True):
        if not is_echo:
            words.append(character)
        elif not words or words[-1] != REDACTED:
            words.append(REDACTED)
    return "".join(words)
