import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SENTENCE = re.compile(r"^- \*\*(\d+\.\d+)\*\* ", re.MULTILINE)
ROW = re.compile(r"^\| (\d+\.\d+) \| (.*) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")

#: Sentences that say what is not built yet. Take one out when it has a test.
UNCOVERED: set[str] = set()


def sentences() -> list[str]:
    return SENTENCE.findall((ROOT / "docs/contract.md").read_text())


def rows() -> dict[str, str]:
    found = ROW.findall((ROOT / "docs/contract-coverage.md").read_text())
    assert len(found) == len(dict(found))
    return dict(found)


def test_every_sentence_of_the_contract_has_a_row_and_a_number_of_its_own() -> None:
    assert len(set(sentences())) == len(sentences())
    assert list(rows()) == sentences()


def test_every_sentence_is_kept_by_a_test_except_those_that_are_listed() -> None:
    assert {n for n, tests in rows().items() if not TEST.search(tests)} == UNCOVERED


def test_every_test_that_is_named_exists() -> None:
    for number, named in rows().items():
        for path, test in TEST.findall(named):
            text = (ROOT / path).read_text()
            assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), (
                f"{number}: {path}::{test}"
            )
