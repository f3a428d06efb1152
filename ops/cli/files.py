"""Sending a file of recipients from the command line."""

import asyncio
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import click
import msgspec

from contracts.lifecycle import FINAL, Status
from ops import client, recipients, sending
from ops.cli.gateways import (
    Failed,
    Patience,
    Stopped,
    Unanswered,
    Where,
    explained,
)
from ops.cli.progress import bar
from ops.client import Gateway, Unreachable
from ops.recipients import Common, Examined, FileUnusable
from ops.results import final_counts
from ops.sending import Interrupted, Sent

_FAULTS_SHOWN = 20
_RESUME = (
    "run the same command again to go on: what was accepted is not sent a second time"
)


@dataclass
class Tally:
    """What was accepted so far."""

    total: int
    accepted: int = 0
    replayed: int = 0
    batches: list[Sent] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    latest: float = field(default_factory=time.monotonic)

    def add(self, sent: Sent) -> None:
        """Count a batch."""
        self.latest = time.monotonic()
        self.batches.append(sent)
        self.accepted += sent.batch.size
        if sent.replayed:
            self.replayed += sent.batch.size

    def words(self) -> str:
        """Tell it in one sentence."""
        earlier = f" ({self.replayed:,} of them earlier)" if self.replayed else ""
        seconds = self.latest - self.began
        count = len(self.batches)
        return (
            f"{self.accepted:,} of {self.total:,} accepted{earlier}"
            f" in {count:,} batch{'es' if count != 1 else ''}, {seconds:.1f} s"
        )


async def send(
    where: Where,
    patience: Patience,
    path: Path,
    common: Common,
    *,
    parallel: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Check the file, send it, wait for the results if asked to, and print them."""
    examined = _examine(path, common)
    tally = Tally(examined.rows)
    stopping = asyncio.Event()
    counts: Counter[Status] | None = None
    if dry_run:
        click.echo(
            f"{path}: {examined.rows:,} recipients in {examined.batches:,} batches;"
            " nothing was sent"
        )
        return
    _stop_on_signals(stopping)
    with explained():
        async with client.open_gateway(where.url, where.api_key) as gateway:
            await gateway.reach()
            await _send(
                gateway, patience, path, common, examined, tally, stopping, parallel
            )
            if patience.result_seconds is not None:
                counts = await _wait(gateway, patience.result_seconds, tally, stopping)
    _print(tally, counts, as_json=as_json)
    if stopping.is_set():
        raise Stopped("stopped while waiting for results; all is accepted")
    if counts is not None and counts[Status.DELIVERED] < tally.total:
        raise Failed("not everything was delivered")


def _examine(path: Path, common: Common) -> Examined:
    try:
        examined = recipients.examine(path, common)
    except FileUnusable as error:
        raise Failed(str(error)) from error
    if examined.ignored_columns:
        ignored = ", ".join(examined.ignored_columns)
        click.echo(f"columns that mean nothing here: {ignored}", err=True)
    for fault in examined.faults[:_FAULTS_SHOWN]:
        click.echo(f"line {fault.line}, {fault.field}: {fault.detail}", err=True)
    if examined.faults:
        more = len(examined.faults) - _FAULTS_SHOWN
        if more > 0:
            click.echo(f"and {more:,} more", err=True)
        lines = len({fault.line for fault in examined.faults})
        raise Failed(
            f"{lines:,} line{'s' if lines != 1 else ''} of {path} cannot be sent;"
            " nothing was sent"
        )
    if not examined.rows:
        raise Failed(f"{path} names no recipient; nothing was sent")
    return examined


async def _send(
    gateway: Gateway,
    patience: Patience,
    path: Path,
    common: Common,
    examined: Examined,
    tally: Tally,
    stopping: asyncio.Event,
    parallel: int,
) -> None:
    with bar("sending", examined.rows) as progress:

        def sent(batch: Sent) -> None:
            tally.add(batch)
            progress.advance(batch.batch.size)

        try:
            await sending.send(
                gateway,
                recipients.batches(path, common, examined.job),
                parallel=parallel,
                patience_seconds=patience.request_seconds,
                stopping=stopping,
                sent=sent,
                waiting=lambda error, _: progress.waits(f"waiting: {error}"),
            )
        except Interrupted as error:
            kind = Unanswered if isinstance(error.cause, Unreachable) else Failed
            raise kind(f"{error}. {tally.words()}; {_RESUME}") from error
    if stopping.is_set():
        raise Stopped(f"stopped. {tally.words()}; {_RESUME}")


async def _wait(
    gateway: Gateway, at_most_seconds: float, tally: Tally, stopping: asyncio.Event
) -> Counter[Status]:
    with bar("waiting for results", tally.total) as progress:
        return await final_counts(
            gateway,
            [sent.id for sent in tally.batches],
            at_most_seconds=at_most_seconds,
            stopping=stopping,
            progress=progress.reach,
            waiting=lambda error, _: progress.waits(f"waiting: {error}"),
        )


def _stop_on_signals(stopping: asyncio.Event) -> None:
    """Let the first Ctrl-C finish what is in flight, and a second one end everything."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def stop() -> None:
        if stopping.is_set():
            task.cancel()
            return
        stopping.set()
        click.echo(
            "stopping after the batches in flight; Ctrl-C again ends at once", err=True
        )

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def _print(tally: Tally, counts: Counter[Status] | None, *, as_json: bool) -> None:
    if as_json:
        batches = [
            {
                "id": sent.id,
                "lines": [sent.batch.first_line, sent.batch.last_line],
                "size": sent.batch.size,
                "replayed": sent.replayed,
            }
            for sent in sorted(tally.batches, key=lambda sent: sent.batch.first_line)
        ]
        document = {
            "accepted": tally.accepted,
            "replayed": tally.replayed,
            "batches": batches,
            **({} if counts is None else {"counts": dict(counts)}),
        }
        click.echo(msgspec.json.encode(document))
        return
    click.echo(tally.words())
    if counts is not None:
        ordered = sorted(
            counts.items(), key=lambda item: (item[0] not in FINAL, item[0])
        )
        click.echo(", ".join(f"{count:,} {status}" for status, count in ordered))
