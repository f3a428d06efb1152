"""A program in a terminal of its own: its keys, and all that it ever drew."""

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

_PLACE = re.compile(r"\x1b\[[0-9;]*H")
_STYLE = re.compile(r"\x1b\[[0-9;?>=]*[A-Za-z]")


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, process: asyncio.subprocess.Process, leader: int) -> None:
        self.process = process
        self.leader = leader
        self.seen = b""

    def read(self) -> None:
        with contextlib.suppress(OSError):  # the end of a terminal that was closed
            self.seen += os.read(self.leader, 1 << 16)

    def shows(self, text: str) -> bool:
        return text.encode() in self.seen

    @property
    def lines(self) -> list[str]:
        """All lines that were ever drawn, as text: a place to go to begins one."""
        text = self.seen.decode(errors="replace")
        return _STYLE.sub("", _PLACE.sub("\n", text)).splitlines()

    def press(self, keys: str) -> None:
        os.write(self.leader, keys.encode())

    def hang_up(self) -> None:
        """Close the terminal as a lost connection does."""
        asyncio.get_running_loop().remove_reader(self.leader)
        os.close(self.leader)
        self.leader = -1
        self.process.send_signal(signal.SIGHUP)


@asynccontextmanager
async def terminal(
    command: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    *arguments: str,
    size: tuple[int, int] = (80, 24),
) -> AsyncIterator[Terminal]:
    """Run a command with a terminal of so many columns and lines; it is killed at the end."""
    columns, lines = size
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        cwd=folder,
        env=environment,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    screen = Terminal(process, leader)
    loop = asyncio.get_running_loop()
    loop.add_reader(leader, screen.read)
    try:
        yield screen
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if screen.leader >= 0:
            loop.remove_reader(leader)
            os.close(leader)
