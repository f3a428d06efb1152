import asyncio
import os
from pathlib import Path

from ops.runtime.modules import importable, python


async def test_a_folder_of_that_name_is_not_taken_for_ours(tmp_path: Path) -> None:
    decoy = tmp_path / "migrations"
    decoy.mkdir()
    (decoy / "__main__.py").write_text("print('the wrong one')")

    process = await asyncio.create_subprocess_exec(
        *python("migrations"),
        cwd=tmp_path,
        env=importable({"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()

    assert out == b""
    assert b"TOCSIN_POSTGRES_DSN is not set" in err
