import pytest
from nats.aio.client import Client

from ops.runtime.wire import WireClient, compose


def test_a_publish_without_headers() -> None:
    assert compose("a.b", b"hello") == b"PUB a.b  5\r\nhello\r\n"
    assert compose("a.b", b"", reply="r") == b"PUB a.b r 0\r\n\r\n"


def test_a_publish_with_headers_counts_bytes() -> None:
    published = compose("a", b"\xc3\xbc!", reply="r", headers={"X": "ü", "Y": "2"})

    head = "NATS/1.0\r\nX: ü\r\nY: 2\r\n\r\n".encode()
    assert published == b"HPUB a r %d %d\r\n%b\xc3\xbc!\r\n" % (
        len(head),
        len(head) + 3,
        head,
    )


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB b", "a\tb", "a\0"])
def test_a_subject_cannot_break_out_of_its_line(subject: str) -> None:
    with pytest.raises(ValueError, match="not a subject"):
        compose(subject, b"")


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\n", "\r", "\r\n"])
def test_a_header_cannot_break_out_of_its_line(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        compose("a", b"", headers={"X": value})
    with pytest.raises(ValueError, match="line break"):
        compose("a", b"", headers={value: "x"})


@pytest.mark.parametrize(
    "raw",
    [
        b"Nats-Msg-Id: 0190.2\r\nTocsin-Correlation-Id: a:b\r\n\r\n",
        b"A:b\r\nC:\td \r\nEmpty:\r\n\r\n",
        b"Twice: 1\r\nTwice: 2\r\n",
        b"no header\r\nwith space: x\r\nB: y\r\n",
        "Größe: 1\r\nName: Größe\r\n".encode(),
        b"Broken: \xff\xfe\r\n",
        b" Before: v\r\nAfter : v\r\nIn\tside: v\r\nIn\x0bside: v\r\nIn\x1cside: v\r\n",
        b"\tTab: v\x0b\r\nControl\x1c: v\r\nKept: v\x1c\r\n: nameless\r\n",
        "Space: \N{NO-BREAK SPACE}v\N{EM SPACE}\r\n".encode(),
        b"",
    ],
)
def test_headers_are_read_as_the_client_reads_them(raw: bytes) -> None:
    assert WireClient._parse_header_lines(raw) == Client._parse_header_lines(raw)


async def test_the_client_asks_for_what_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        WireClient, "_parse_header_lines", lambda _, raw: {"Raw": str(raw)}
    )
    read = await WireClient()._process_headers(b"NATS/1.0\r\nA: b\r\n\r\n")

    assert read == {"Raw": str(b"A: b\r\n\r\n")}
