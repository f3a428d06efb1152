"""Run the drills and print their table as the documentation shows it."""

import sys
from pathlib import Path

import pytest

from tests.acceptance.drills.table import as_markdown, findings


class _Findings:
    def __init__(self) -> None:
        self.properties: list[tuple[str, object]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.properties += report.user_properties


def main() -> int:
    """Return pytest's exit code; the table has the drills that were passed."""
    plugin = _Findings()
    code = pytest.main(["-q", str(Path(__file__).parent), *sys.argv[1:]], [plugin])
    print(as_markdown(findings(plugin.properties)))  # noqa: T201 (that is the command)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
