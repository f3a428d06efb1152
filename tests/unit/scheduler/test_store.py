import re
from pathlib import Path

import scheduler
from scheduler.store import STATEMENTS


def test_every_statement_is_used():
    folder = Path(scheduler.__file__).parent
    used = {
        name
        for path in folder.glob("*.py")
        for name in re.findall(r"STATEMENTS\.(\w+)", path.read_text())
    }

    assert used == STATEMENTS.names()
