"""A provider installed by a stranger, and a notification whose sending ends the process."""

from pathlib import Path

PROVIDER = """
import asyncio, os, signal
from contextlib import asynccontextmanager

from contracts.channels import Channel
from contracts.outcomes import OutcomeClass
from dispatcher.providers.port import Outcome, Provider, ProviderSettings


class FragileSettings(ProviderSettings):
    model_config = {"env_prefix": "TOCSIN_FRAGILE_"}
    book: str


class Fragile(Provider):
    Settings = FragileSettings
    name = "fragile"
    channels = frozenset(Channel)

    def __init__(self, settings):
        self.timeout_seconds = settings.timeout_seconds
        self._book = settings.book

    @classmethod
    @asynccontextmanager
    async def open(cls, settings):
        yield cls(settings)

    async def send(self, message):
        with open(self._book, "a") as book:
            book.write(f"{message.notification_id} {os.getpid()}\\n")
        if message.content == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(0.05)
        return Outcome(kind=OutcomeClass.DELIVERED)
"""
POISON = {
    "channel": "sms",
    "recipient": "+15555550001",
    "content": "poison",
    "max_attempts": 10,
}
SOUND = {"channel": "sms", "recipient": "+15555550001", "content": "sound"}


def install(folder: Path) -> dict[str, str]:
    """Install the provider as a distribution of its own, and name it in the environment."""
    (folder / "fragile_post.py").write_text(PROVIDER)
    information = folder / "fragile_post-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: fragile-post\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[tocsin.providers]\nfragile = fragile_post:Fragile\n"
    )
    return {
        "PYTHONPATH": str(folder),
        "TOCSIN_DISPATCHER_PROVIDER": "fragile",
        "TOCSIN_FRAGILE_BOOK": str(folder / "book.txt"),
    }
