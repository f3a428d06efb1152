from collections import Counter
from pathlib import Path

import pytest

import console
from console import keys
from console.app import ConsoleApp
from console.keys import KEYS, Level
from console.model.views import JobHealth, LaneHealth, ProviderHealth
from console.screens.actions import ActionsScreen
from console.screens.dlq import DlqScreen
from console.screens.feed import FeedScreen
from console.screens.help import PARTS
from console.screens.job import JobScreen
from console.screens.lane import LaneScreen
from console.screens.lanes import LanesScreen
from console.screens.provider import ProviderScreen
from console.screens.providers import ProvidersScreen
from console.screens.schedule import ScheduleScreen
from console.screens.services import ServicesScreen
from console.screens.trace import TraceScreen

SCREENS = (
    LanesScreen,
    DlqScreen,
    TraceScreen,
    FeedScreen,
    ProvidersScreen,
    ServicesScreen,
    ScheduleScreen,
    LaneScreen,
    ProviderScreen,
    JobScreen,
    ActionsScreen,
)
SCOPES = {scope for key in KEYS for scope in key.scopes}


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.scope)
def test_no_key_has_two_meanings_on_a_screen(screen):
    scopes = (screen.scope, *PARTS.get(screen.scope, ()), "app")
    used = Counter(key.key for key in keys.in_scope(*scopes))

    assert [key for key, times in used.items() if times > 1] == []


def test_every_key_says_what_it_does():
    for key in KEYS:
        assert key.tooltip, key.id
        assert key.label, key.id
        assert not key.tooltip.endswith("."), key.id
        # the help of a terminal of 80 columns shows it whole
        assert len(key.tooltip) <= 56, key.id


def test_ids_are_unique_so_that_a_keymap_can_change_one():
    assert len({key.id for key in KEYS}) == len(KEYS)


def test_lower_case_reads_and_upper_case_changes():
    for key in KEYS:
        if len(key.key) == 1 and key.key.isalpha():
            assert key.key.isupper() == (key.level > Level.READ), key.id


def test_every_scope_is_a_screen_or_a_part_of_one():
    parts = {part for names in PARTS.values() for part in names}

    assert {screen.scope for screen in SCREENS} | parts | {"app"} == SCOPES


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.scope)
def test_every_key_of_a_screen_has_its_action(screen):
    for key in keys.in_scope(screen.scope):
        assert hasattr(screen, f"action_{key.action}"), key.id


def test_every_key_of_the_application_has_its_action():
    for key in keys.in_scope("app"):
        name = key.action.removeprefix("app.").partition("(")[0]
        assert hasattr(ConsoleApp, f"action_{name}"), key.id


def test_every_screen_that_is_offered_exists():
    offered = {
        key.action.partition("'")[2].rstrip("')")
        for key in KEYS
        if key.id.startswith("screen.")
    }

    assert offered == set(ConsoleApp.MODES)


def test_the_documentation_shows_this_table():
    document = Path(console.__file__).parents[1] / "docs" / "console.md"
    _, _, rest = document.read_text().partition("<!-- keys -->\n")
    table, _, _ = rest.partition("<!-- end of keys -->")

    assert table.strip() == keys.as_markdown()


@pytest.mark.parametrize("states", [LaneHealth, ProviderHealth, JobHealth])
def test_the_documentation_names_every_state(states):
    document = (Path(console.__file__).parents[1] / "docs" / "console.md").read_text()

    for state in states:
        assert state == "unknown" or f"| `{state}` |" in document
