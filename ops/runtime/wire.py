"""Writes many publishes to the bus at once, and reads messages for less.

The client spends 10 to 15 µs on each publish, most of it on headers and on a buffer a
message. Here a message costs about 3 µs and a whole group is one buffer. Methods of the
client that are not public are used for it (nats-py 2.16, which the project pins).
"""

import re
from collections.abc import Iterable, Mapping

import nats.errors
from nats.aio.client import Client

_SPACE = re.compile(r"\s")
_ASCII_SPACE = " \t\n\r\v\f"


class WireClient(Client):
    """The client, which reads the headers of a message in half the time."""

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """Return what lines of ``Name: Value`` say; the last of a name counts."""
        found = {}
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            name = name.strip(_ASCII_SPACE)
            if colon and name.isascii() and not _SPACE.search(name):
                found[name] = value.strip(_ASCII_SPACE)
        return found


def compose(
    subject: str,
    payload: bytes,
    *,
    reply: str = "",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Return one publish as it goes over the wire.

    ValueError when a subject or a header would break out of its line.
    """
    if not subject.isprintable() or " " in subject or not subject:
        raise ValueError(f"not a subject: {subject!r}")
    if not headers:
        return f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n"
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not lines.count("\n") == lines.count("\r") == len(headers):
        raise ValueError("a header has a line break")
    head = f"NATS/1.0\r\n{lines}\r\n".encode()
    size = len(head)
    return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (
        subject.encode(),
        reply.encode(),
        size,
        size + len(payload),
        head,
        payload,
    )


async def send(nc: Client, publishes: Iterable[bytes]) -> None:
    """Hand composed publishes to the client, in order.

    Raises what ``Client.publish`` raises when it is not connected; nothing is then kept.
    """
    if nc.is_closed:
        raise nats.errors.ConnectionClosedError
    if nc.is_draining_pubs:
        raise nats.errors.ConnectionDrainingError
    if not nc.is_connected:
        raise nats.errors.OutboundBufferLimitError
    await nc._send_command(b"".join(publishes))  # noqa: SLF001 (see above)
    await nc._flush_pending()  # noqa: SLF001 (see above)
