"""The command behind the pictures of docs/console.md, on a mesh that is in trouble for less long."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.acceptance.pictures.__main__ import PICTURES, draw
from tests.acceptance.pictures.album import NAMES

DOCUMENT = PICTURES.parent / "console.md"


@pytest.mark.timeout(240)
async def test_the_command_still_writes_every_picture(tmp_path: Path):
    await draw(tmp_path, seconds=4)

    assert {path.stem for path in tmp_path.iterdir()} == set(NAMES)
    for path in tmp_path.iterdir():
        svg = path.read_text()
        ET.fromstring(svg)
        assert "NATS" in svg, path.name
        assert "http" not in svg.replace("http://www.w3.org/", ""), path.name


def test_the_document_shows_every_picture_there_is():
    shown = re.findall(r"!\[[^]]+\]\(pictures/([\w-]+)\.svg\)", DOCUMENT.read_text())

    assert sorted(shown) == sorted(NAMES)
    assert {path.name for path in PICTURES.iterdir()} == {f"{n}.svg" for n in NAMES}
