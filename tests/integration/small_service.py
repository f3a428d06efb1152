"""A service small enough to start at once: ready on its port, and misbehaving when asked.

small_service.py NAME PORT DIARY [--deaf] [--crash-while FILE] [--slow-to-stop SECONDS]
"""

import argparse
import signal
import socket
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("port", type=int)
parser.add_argument("diary", type=Path)
parser.add_argument("--deaf", action="store_true")
parser.add_argument("--crash-while", type=Path)
parser.add_argument("--slow-to-stop", type=float, default=0)
given = parser.parse_args()


def note(what: str) -> None:
    with given.diary.open("a") as diary:
        diary.write(f"{given.name} {what}\n")


def stop(*_: object) -> None:
    time.sleep(given.slow_to_stop)
    note("stopped")
    sys.exit(0)


signal.signal(signal.SIGTERM, signal.SIG_IGN if given.deaf else stop)
signal.signal(signal.SIGINT, signal.SIG_IGN)
if given.crash_while and given.crash_while.exists():
    sys.exit(f"{given.name} found {given.crash_while.name} and gives up")
note("started")
with socket.socket() as door:
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind(("127.0.0.1", given.port))
    door.listen()
    while True:
        visitor, _ = door.accept()
        with visitor:
            visitor.recv(4096)
            visitor.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
