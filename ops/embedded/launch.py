"""Becomes the program it is given, as a child that does not outlive its supervisor.

Runs by path under `python -I -S` before the program proper, so that nothing has to run
between fork and exec in a process that may have threads:

    launch.py PARENT_PID ORPHAN_SIGNAL UID:GID|- PROGRAM ARGUMENT…

On Linux the kernel sends ORPHAN_SIGNAL when the parent dies, kill -9 included.
With UID:GID, root becomes that user first and keeps CAP_DAC_OVERRIDE where the system
allows it: Postgres refuses to run as root, yet must reach a data folder and a virtual
environment that may lie below root's own private folders.
"""

import ctypes
import os
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_PR_GET_SECUREBITS, _PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 27, 28, 1 << 2
_CAP_DAC_OVERRIDE, _CAP_SETPCAP = 1 << 1, 1 << 8
_CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def become(libc: Any, uid: int, gid: int) -> None:
    """Change to the user for good, keeping CAP_DAC_OVERRIDE across exec if allowed."""
    linux = sys.platform == "linux"
    if linux:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if linux:
        if _hold(libc, _CAP_DAC_OVERRIDE | _CAP_SETPCAP):
            # Postgres looks for its programs with access(2), which takes the capabilities
            # of an ordinary user away unless this is set; see capabilities(7).
            bits = libc.prctl(_PR_GET_SECUREBITS, 0, 0, 0, 0)
            libc.prctl(_PR_SET_SECUREBITS, bits | _NO_SETUID_FIXUP, 0, 0, 0)
        if _hold(libc, _CAP_DAC_OVERRIDE):
            number = _CAP_DAC_OVERRIDE.bit_length() - 1
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0)


def _hold(libc: Any, capabilities: int) -> bool:
    """Hold these capabilities and no other, or say that they may not all be held."""
    sets = (_Sets * 2)()
    sets[0].effective = sets[0].permitted = capabilities
    sets[0].inheritable = capabilities & _CAP_DAC_OVERRIDE
    header = _Header(_CAPABILITY_VERSION_3, 0)
    return bool(libc.capset(ctypes.byref(header), ctypes.byref(sets)) == 0)


def main(parent: int, orphan_signal: int, user: str, program: list[str]) -> None:
    libc: Any = ctypes.CDLL(None, use_errno=True)
    if user != "-":
        uid, gid = map(int, user.split(":"))
        try:
            become(libc, uid, gid)
        except OSError as error:
            sys.exit(
                f"{os.path.basename(program[0])} does not run as root, and here root"  # noqa: PTH119
                f" cannot become user {uid} ({error.strerror}):"
                " run tocsin as an ordinary user"
            )
    if sys.platform == "linux":
        # After the change of user, which clears it.
        libc.prctl(_PR_SET_PDEATHSIG, orphan_signal, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the supervisor is gone")
    try:
        os.execv(program[0], program)  # noqa: S606
    except OSError as error:
        sys.exit(f"user {os.getuid()} cannot run {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
