from pathlib import Path

import msgspec
import pytest

from console.exports import save_letters
from console.model.letters import Selection
from console.operator import Letter, Unreachable
from console.operator.scripted import ScriptedOperator
from contracts.channels import Channel
from contracts.operations import LetterFilter
from tests.unit.console.people import letter
from tests.unit.console.world import NOON, moment

NOW = moment(NOON)


def read(path: Path) -> list[Letter]:
    lines = path.read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Letter) for line in lines]


async def test_all_that_match_are_written_whatever_the_pages(tmp_path: Path):
    operator = ScriptedOperator()
    buried = [letter() for _ in range(250)]
    operator.bury(*buried, letter(channel="email"))
    chosen = Selection(which=LetterFilter(channel=Channel.SMS), words="sms", count=None)

    path = await save_letters(operator, chosen, tmp_path, NOW)

    assert path == tmp_path / "dead-letters-20261127T104207Z.ndjson"
    written = read(path)
    assert {one.id for one in written} == {one.id for one in buried}
    assert len(written) == 250


async def test_marked_letters_are_written_as_they_are_known(tmp_path: Path):
    operator = ScriptedOperator()
    operator.away = True
    marked = (letter(), letter())
    chosen = Selection(which=LetterFilter(), words="2", count=2, letters=marked)

    path = await save_letters(operator, chosen, tmp_path, NOW)

    assert read(path) == list(marked)


async def test_a_file_that_is_there_is_not_written_over(tmp_path: Path):
    chosen = Selection(which=LetterFilter(), words="0", count=0, letters=())
    await save_letters(ScriptedOperator(), chosen, tmp_path, NOW)

    with pytest.raises(FileExistsError):
        await save_letters(ScriptedOperator(), chosen, tmp_path, NOW)


async def test_a_gateway_that_is_away_is_said(tmp_path: Path):
    operator = ScriptedOperator()
    operator.away = True
    chosen = Selection(which=LetterFilter(), words="all", count=None)

    with pytest.raises(Unreachable):
        await save_letters(operator, chosen, tmp_path, NOW)
