"""Dead letters as a file of lines of JSON, taken away before or instead of changing them."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import msgspec

from console.model.letters import Selection
from console.operator import Letter, Operator
from contracts.operations import LetterFilter

_PAGE = 100


async def each_letter(
    operator: Operator, which: LetterFilter
) -> AsyncIterator[list[Letter]]:
    """Yield every open dead letter that a filter picks, by pages, newest first."""
    cursor = None
    while True:
        page = await operator.letters(which, limit=_PAGE, cursor=cursor)
        yield page.items
        cursor = page.next_cursor
        if cursor is None:
            return


async def save_letters(
    operator: Operator, chosen: Selection, folder: Path, now: datetime
) -> Path:
    """Write what was chosen into a new file and return it.

    Raises GatewayError and OSError; what was written of a file that could not be finished is
    left for the operator to see.
    """
    path = folder / f"dead-letters-{now:%Y%m%dT%H%M%SZ}.ndjson"
    with path.open("xb") as file:
        if chosen.letters is not None:
            file.write(msgspec.json.Encoder().encode_lines(chosen.letters))
            return path
        async for letters in each_letter(operator, chosen.which):
            file.write(msgspec.json.Encoder().encode_lines(letters))
    return path
