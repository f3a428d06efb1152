"""Loopback ports for the children of the embedded stack."""

import atexit
import contextlib
import random
import socket
from collections import deque
from collections.abc import Collection

import psutil

HOST = "127.0.0.1"

# Below the range the kernel takes source ports from (32768+ on Linux, 49152+ on macOS):
# no outgoing connection can sit on a child's port while that child is being restarted.
_FIRST, _LAST = 20_000, 32_000

#: UDP sockets on the ports chosen here, held while this process lives: whoever else chooses
#: ports this way leaves them alone, also while the child that listens there is restarted.
_reserved: deque[socket.socket] = deque()
_RESERVED_AT_MOST = 100


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


def choose(count: int, *, besides: Collection[int] = ()) -> list[int]:
    """Return that many different ports, each free now and reserved against other choosers.

    The last hundred stay reserved for as long as this process lives.
    """
    rng = random.SystemRandom()
    chosen: list[int] = []
    for port in rng.sample(range(_FIRST, _LAST), _LAST - _FIRST):
        if len(chosen) == count:
            break
        if port not in besides and is_free(port) and _reserve(port):
            chosen.append(port)
    return chosen


def _reserve(port: int) -> bool:
    """Take the port's UDP twin, which no TCP listener minds; False when somebody has it."""
    reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        reservation.bind((HOST, port))
    except OSError:
        reservation.close()
        return False
    _reserved.append(reservation)
    if len(_reserved) > _RESERVED_AT_MOST:
        _reserved.popleft().close()
    return True


@atexit.register
def _give_back() -> None:
    while _reserved:
        _reserved.popleft().close()


def holder(port: int) -> str:
    """Name who listens on the port, as " by NAME (pid N)", or "" when that is hidden."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr[1:] == (port,) and connection.pid:
                name = psutil.Process(connection.pid).name()
                return f" by {name} (pid {connection.pid})"
    return ""
