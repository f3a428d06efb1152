"""Who is calling, by address."""

import ipaddress
from typing import Any, cast

import pytest
from hypercorn.typing import HTTPScope

from gateway.proxies import Proxies, household_of

PROXIES = Proxies(
    [
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("2001:db8:1::/48"),
    ]
)


def scope(peer: str, *forwarded: bytes) -> HTTPScope:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", value) for value in forwarded)]
    given: dict[str, Any] = {"type": "http", "client": (peer, 4711), "headers": headers}
    return cast("HTTPScope", given)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # nobody vouches for what a stranger says
        ("192.0.2.1", [b"203.0.113.9"], "192.0.2.1"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", [b"203.0.113.9"], "203.0.113.9"),
        # the rightmost that is not ours, however much stands before it
        ("10.1.2.3", [b"198.51.100.7, 203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", [b"198.51.100.7, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        ("10.1.2.3", [b"198.51.100.7", b"203.0.113.9", b"10.9.9.9"], "203.0.113.9"),
        ("10.1.2.3", [b"10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        # a word that is no address ends the search at the last proxy
        ("10.1.2.3", [b"203.0.113.9, unknown, 10.9.9.9"], "10.9.9.9"),
        ("10.1.2.3", [b"\xff\x00"], "10.1.2.3"),
        ("10.1.2.3", [b""], "10.1.2.3"),
        # with ports, and in other clothes
        ("10.1.2.3", [b"203.0.113.9:8443"], "203.0.113.9"),
        ("10.1.2.3", [b"[2001:db8:2::9]:8443"], "2001:db8:2::9"),
        ("2001:db8:1::1", [b"2001:db8:2::9"], "2001:db8:2::9"),
        ("::ffff:10.1.2.3", [b"::ffff:203.0.113.9"], "203.0.113.9"),
    ],
)
def test_the_client_is_the_first_that_is_not_a_proxy_of_ours(
    peer: str, forwarded: list[bytes], client: str
) -> None:
    assert PROXIES.see_through(scope(peer, *forwarded)) == (client, 4711)


def test_without_proxies_no_word_is_taken() -> None:
    given = scope("10.1.2.3", b"203.0.113.9")

    assert Proxies([]).see_through(given) == ("10.1.2.3", 4711)


@pytest.mark.parametrize(
    ("client", "household"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:2:3:4:5:6:7", "2001:db8:2:3::/64"),
        ("2001:db8:2:3::1", "2001:db8:2:3::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_network_has_one_limit(client: str, household: str) -> None:
    assert household_of(client) == household
