"""Processes that are not our children any more: whether they live, and their end."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable

import psutil

_POLL_SECONDS = 0.02


def lives(process: psutil.Process) -> bool:
    """Say whether it can still do anything; a zombie that nobody reaps cannot."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def survivors(
    processes: Iterable[psutil.Process], patience_seconds: float
) -> list[psutil.Process]:
    """Wait for the end of all and return those that live when patience is over."""
    deadline = time.monotonic() + patience_seconds
    while left := [process for process in processes if lives(process)]:
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL_SECONDS)
    return left


def kill(processes: list[psutil.Process], patience_seconds: float = 5.0) -> None:
    """Kill all and wait until none lives."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    survivors(processes, patience_seconds)


def freeze(leader: int) -> list[psutil.Process]:
    """Stop a process and all it started, and return them: Postgres works in its children."""
    stopped: list[psutil.Process] = []
    # One that it had not started yet when they were counted would go on answering.
    while new := [one for one in _family(leader) if one not in stopped]:
        for process in new:
            with contextlib.suppress(psutil.Error):
                process.suspend()
        stopped += new
    return stopped


def thaw(leader: int) -> None:
    """Let a process and all it started go on."""
    for process in reversed(_family(leader)):
        with contextlib.suppress(psutil.Error):
            process.resume()


def _family(leader: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(leader)
        return [first, *first.children(recursive=True)]
    except psutil.Error:
        return []


def kill_group(leader: int) -> None:
    """Kill what is left of the process group that a child led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
