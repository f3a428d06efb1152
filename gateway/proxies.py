"""Who is calling, by address, when some of what stands between us is known."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from hypercorn.typing import HTTPScope, WebsocketScope

from gateway.settings import Network

_FORWARDED = b"x-forwarded-for"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """The proxies whose word is taken for whom they speak for."""

    def __init__(self, trusted: Iterable[Network]) -> None:
        self._trusted = tuple(trusted)

    def see_through(self, scope: HTTPScope | WebsocketScope) -> tuple[str, int] | None:
        """Return the address that sent a request to the first of our proxies.

        Read from the right, ``X-Forwarded-For`` names who was nearer and nearer to the
        client. The first that is not a proxy of ours is the client: what stands left of
        it is only what it claims. A word that is no address ends the search.
        """
        peer = scope["client"]
        if peer is None or not self._trusted:
            return peer
        nearest = _address(peer[0])
        if nearest is None or not self._is_trusted(nearest):
            return peer
        for word in reversed(_forwarded(scope["headers"])):
            address = _address(word)
            if address is None:
                break
            nearest = address
            if not self._is_trusted(address):
                break
        return str(nearest), peer[1]

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


@lru_cache(maxsize=4096)
def household_of(client: str) -> str:
    """Return what shares one limit: an IPv4 address, or an IPv6 network of 64 bits.

    Whoever has one IPv6 address has the other 2^64 of its network too.
    """
    address = _address(client)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return client


def _forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """Return every word of every such header, in order."""
    values = [value for name, value in headers if name == _FORWARDED]
    return b",".join(values).decode("latin-1").split(",") if values else []


@lru_cache(maxsize=4096)
def _address(word: str) -> Address | None:
    """Read an address, which may have a port; IPv4 in the clothes of IPv6 is IPv4."""
    word = word.strip()
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
