"""Keeps a webhook from reaching into private networks (SSRF)."""

import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address

from aiohttp import AddrInfoType

#: NAT64 (RFC 6052): the last four bytes are an IPv4 address.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):
    """A provider's name leads to an address that is not public."""

    def __init__(self) -> None:
        # One constant sentence: when every address of a name is refused, the connector
        # passes on the error itself, and not a combination of its own.
        super().__init__("the address is not public")


def is_public(address: str) -> bool:
    """Say whether an address may be called: global unicast, tunnels looked into."""
    outer = ipaddress.ip_address(address.partition("%")[0])
    return all(
        hop.is_global and not hop.is_multicast for hop in (outer, *_inside(outer))
    )


def _inside(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address carries a packet on to."""
    if isinstance(address, IPv4Address):
        return []
    carried = [address.ipv4_mapped, address.sixtofour]
    if address.teredo is not None:
        carried += address.teredo
    if address in _NAT64:
        carried.append(IPv4Address(address.packed[-4:]))
    return [hop for hop in carried if hop is not None]


def public_socket(info: AddrInfoType) -> socket.socket:
    """Make the socket for one resolved address, or raise ``AddressRefused``.

    It is asked with the very address that is connected to next, so a name that answers
    differently the second time (DNS rebinding) gains nothing.
    """
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise AddressRefused
    return socket.socket(family, kind, protocol)
