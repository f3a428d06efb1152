"""The table of incident drills."""

import msgspec

from tests.acceptance.drills.table import (
    PROPERTY,
    Finding,
    as_markdown,
    as_text,
    findings,
)

PAUSED = Finding(
    number=4,
    fault="a lane paused",
    visible="Lanes",
    seconds=0.21,
    pressed=("P", "y"),
    typed=0,
)
GONE = Finding(
    number=6,
    fault="a dispatcher gone",
    visible="Lanes",
    seconds=2.1,
    pressed=("6",),
    typed=0,
)


def test_drills_come_in_their_order_whichever_ended_first():
    properties = [
        (PROPERTY, msgspec.json.encode(GONE).decode()),
        ("summary", "something else"),
        (PROPERTY, msgspec.json.encode(PAUSED).decode()),
    ]

    assert findings(properties) == [PAUSED, GONE]


def test_a_run_without_drills_has_no_table():
    assert as_text([]) == []


def test_the_documentation_shows_keys_and_their_number():
    assert "| a lane paused | Lanes | 0.2 | 2: `P` `y` | 0 |" in as_markdown([PAUSED])
