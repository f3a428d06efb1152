import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.embedded.errors import FolderUnusable
from ops.embedded.privileges import check_way

STRANGER = (4242, 4242)


@pytest.fixture
def private() -> Iterator[Path]:
    """A folder only its owner may enter, below one that everybody may."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield Path(path)


def test_a_way_through_open_folders_is_fine(private: Path) -> None:
    private.chmod(0o711)

    check_way(STRANGER, [private / "postgres"])


def test_the_folder_that_bars_the_way_is_named(private: Path) -> None:
    with pytest.raises(FolderUnusable, match=f"user 4242 may not enter {private};"):
        check_way(STRANGER, [private / "data" / "postgres"])


def test_the_owner_passes_where_others_may_not(private: Path) -> None:
    owner = private.stat()

    check_way((owner.st_uid, owner.st_gid), [private / "postgres"])
