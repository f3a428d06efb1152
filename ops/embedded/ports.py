"""Loopback ports for the children of the embedded stack."""

import random
import socket

HOST = "127.0.0.1"

# Below the range the kernel takes source ports from (32768+ on Linux, 49152+ on macOS):
# no outgoing connection can sit on a child's port while that child is being restarted.
_FIRST, _LAST = 20_000, 32_000


def is_free(port: int, host: str = HOST) -> bool:
    """Say whether a listener could bind the port right now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError:
            return False
    return True


def choose(count: int) -> list[int]:
    """Return that many different ports, each free at the time of asking."""
    rng = random.SystemRandom()
    chosen: list[int] = []
    for port in rng.sample(range(_FIRST, _LAST), _LAST - _FIRST):
        if len(chosen) == count:
            break
        if is_free(port):
            chosen.append(port)
    return chosen
