"""The provider of ``docs/writing-a-provider.md``, installed as a stranger's would be."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from aiohttp import web

from contracts.channels import Channel
from dispatcher.providers import discovery
from tests.integration.providers.conformance import ProviderConformance
from tests.integration.providers.far_sides import (
    RETRY_AFTER_SECONDS,
    FarSide,
    HttpFarSide,
    Mood,
    Parcel,
)

PAGE = (Path(__file__).parents[3] / "docs" / "writing-a-provider.md").read_text()
EXAMPLE = re.findall(r"(?ms)^```python\n(.+?)^```", PAGE)[0]
ENTRY_POINT = re.findall(r"(?m)^(pigeon = )\"(.+)\"", PAGE)[0]
TOKEN = "a-token-for-pigeons-only"
STATUSES = {Mood.TRANSIENT: 503, Mood.THROTTLED: 429, Mood.PERMANENT: 404}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with the example as its module, and the entry point of the page."""
    (tmp_path / "pigeon_post.py").write_text(EXAMPLE)
    information = tmp_path / "pigeon_post-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: pigeon-post\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        f"[tocsin.providers]\n{''.join(ENTRY_POINT)}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("pigeon_post", None)


class PigeonPost(HttpFarSide):
    async def read(self, request: web.BaseRequest) -> Parcel:
        assert request.path == "/letters"
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        letter = json.loads(await request.read())
        return Parcel(letter["to"], letter["text"], letter["key"])

    def accept(self, parcel: Parcel) -> web.Response:
        return web.Response(status=201, text=f"letter-{len(self.parcels)}")

    def refuse(self, mood: Mood, words: str) -> web.Response:
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return web.Response(status=STATUSES.get(mood, 500), text=words, headers=headers)


class TestConformance(ProviderConformance):
    name = "pigeon"
    channel = Channel.SMS
    required = frozenset({"TOCSIN_PIGEON_URL", "TOCSIN_PIGEON_TOKEN"})
    secrets = (TOKEN,)

    def run_far_side(self) -> AbstractAsyncContextManager[FarSide]:
        return PigeonPost.running()

    def environment(self, far_side: PigeonPost) -> dict[str, str]:
        return {"TOCSIN_PIGEON_URL": far_side.url, "TOCSIN_PIGEON_TOKEN": TOKEN}


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.splitlines()) <= 40


def test_it_is_known_by_its_name() -> None:
    assert "pigeon" in discovery.known()
    assert discovery.find("pigeon").Settings.__name__ == "PigeonSettings"
