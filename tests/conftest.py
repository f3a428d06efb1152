import os
import signal
from collections.abc import Iterator
from unittest import mock

import pytest
from hypothesis import settings

from tests.acceptance.drills import table

# The same examples every time: a failure seen once is a failure seen again.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# A shell has what it starts in the background ignore Ctrl-C, and so would every command that a
# test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--accept-snapshots",
        action="store_true",
        help="Make what the console's screens show now the golden files; look at them first.",
    )


@pytest.fixture(autouse=True)
def scrubbed_environment() -> Iterator[None]:
    """No setting of the person who runs the tests reaches the code, and none outlives a test."""
    with mock.patch.dict(os.environ):
        for name in list(os.environ):
            if name.startswith("TOCSIN_") and name != "TOCSIN_TEST_SERVERS":
                del os.environ[name]
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have to say about themselves, whichever process ran them."""
    properties = [
        said
        for report in terminalreporter.getreports("passed")
        for said in report.user_properties
    ]
    for name, value in properties:
        if name == "summary":
            terminalreporter.write_line(str(value))
    for line in table.as_text(table.findings(properties)):
        terminalreporter.write_line(line)
