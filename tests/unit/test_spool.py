from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from contracts import spool
from contracts.spool import SpooledNotification, SpooledSubmission

GOLDEN = Path(__file__).parent.parent / "contracts" / "submission.spooled.v1.json"


def submission(contents: list[str]) -> SpooledSubmission:
    """Return the golden submission with notifications of other contents."""
    golden = spool.decode(GOLDEN.read_bytes())
    [one] = golden.notifications
    notifications: list[SpooledNotification] = [
        msgspec.structs.replace(one, content=content) for content in contents
    ]
    return msgspec.structs.replace(golden, notifications=notifications)


@settings(deadline=None)
@given(st.lists(st.text(max_size=500), min_size=1, max_size=20))
def test_a_submission_is_read_as_it_was_written(contents: list[str]) -> None:
    written = submission(contents)

    assert spool.decode(spool.encode(written)) == written


def test_a_large_submission_is_compressed() -> None:
    large = submission(["the same words " * 50] * 1000)

    assert len(spool.encode(large)) < len(msgspec.json.encode(large)) / 20
    assert spool.decode(spool.encode(large)) == large


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"\x78\x01nonsense", b"text"])
def test_what_is_no_submission_is_told(payload: bytes) -> None:
    with pytest.raises(ValueError):
        spool.decode(payload)
