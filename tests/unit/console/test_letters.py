import pytest

from console.model.letters import LetterTree, RowKind, TooManyMarked
from console.operator import Group, Letter
from contracts.channels import Channel
from contracts.operations import IDS_AT_MOST, LetterFilter
from contracts.outcomes import FailureClass
from tests.unit.console.people import letter
from tests.unit.console.world import NOON, moment

NUMBERS = "sms / permanent / not a number"
SILENT = "email / transient / no answer"


def group(**changes) -> Group:
    values = {
        "channel": "sms",
        "class_": "permanent",
        "reason": "not a number",
        "count": 97,
        "first": moment(NOON - 60),
        "last": moment(NOON),
        **changes,
    }
    return Group(**values)


def silent(**changes) -> Group:
    return group(channel="email", class_="transient", reason="no answer", **changes)


@pytest.fixture
def tree() -> LetterTree:
    tree = LetterTree()
    tree.fill(LetterFilter(), [group(), silent(count=15)])
    return tree


def row_of(tree: LetterTree, key: str):
    return next(row for row in tree.rows() if row.key == key)


def put(tree: LetterTree, count: int, *, more: bool = False) -> list[Letter]:
    letters = [letter(reason="not a number") for _ in range(count)]
    tree.put(NUMBERS, letters, letters[-1].id if more else None)
    return letters


class TestRows:
    def test_groups_come_first_with_their_counts_and_times(self, tree):
        rows = tree.rows()

        assert [(row.key, row.count) for row in rows] == [(NUMBERS, 97), (SILENT, 15)]
        assert (rows[0].first, rows[0].last) == (NOON - 60, NOON)
        assert tree.total == 112

    def test_a_group_that_is_opened_wants_its_letters_once(self, tree):
        assert tree.toggle(NUMBERS)
        assert tree.rows()[1].kind is RowKind.MORE
        letters = put(tree, 2)

        assert [row.key for row in tree.rows()[1:3]] == [str(one.id) for one in letters]
        assert not tree.toggle(NUMBERS)
        assert not tree.toggle(NUMBERS)

    def test_what_is_not_loaded_has_a_row_of_its_own(self, tree):
        tree.toggle(NUMBERS)
        letters = put(tree, 60, more=True)

        more = tree.rows()[61]
        assert (more.kind, more.count) == (RowKind.MORE, 37)
        assert tree.page_of(NUMBERS)[1] == letters[-1].id

        put(tree, 37)
        assert RowKind.MORE not in {row.kind for row in tree.rows()}

    def test_a_letter_that_comes_twice_is_one_row(self, tree):
        tree.toggle(NUMBERS)
        letters = put(tree, 2, more=True)
        tree.put(NUMBERS, letters[1:], None)

        assert len(tree.rows()) == 4

    def test_a_page_of_a_group_that_has_gone_is_dropped(self, tree):
        tree.fill(LetterFilter(), [silent()])
        put(tree, 2)

        assert [row.key for row in tree.rows()] == [SILENT]

    def test_looking_again_keeps_open_what_was_open_and_wants_it_anew(self, tree):
        tree.toggle(NUMBERS)
        put(tree, 2)
        tree.fill(LetterFilter(), [silent(), group(count=98)])

        assert tree.wanting() == [NUMBERS]
        assert [row.opened for row in tree.rows()[:2]] == [False, True]


class TestSelection:
    def test_on_a_group_it_is_the_group_by_its_cause(self, tree):
        chosen = tree.selection(tree.rows()[0])

        assert chosen.which == LetterFilter(
            channel=Channel.SMS, class_=FailureClass.PERMANENT, reason="not a number"
        )
        assert chosen.count == 97
        assert not chosen.single

    def test_on_a_group_of_a_filter_it_is_both(self, tree):
        which = LetterFilter(failed_after=moment(NOON - 3600))
        tree.fill(which, [group()])

        chosen = tree.selection(tree.rows()[0])

        assert chosen.which.failed_after == moment(NOON - 3600)
        assert chosen.which.reason == "not a number"

    def test_on_a_letter_it_is_that_one(self, tree):
        tree.toggle(NUMBERS)
        [one] = put(tree, 1)

        chosen = tree.selection(row_of(tree, str(one.id)))

        assert chosen.which == LetterFilter(ids=[one.id])
        assert chosen.single
        assert chosen.words == str(one.notification_id)

    def test_on_what_is_not_loaded_it_is_nothing(self, tree):
        tree.toggle(NUMBERS)

        assert tree.selection(tree.rows()[1]) is None
        assert tree.selection(None) is None

    def test_marks_beat_the_cursor(self, tree):
        tree.toggle(NUMBERS)
        letters = put(tree, 3)
        for one in letters[:2]:
            tree.mark(row_of(tree, str(one.id)))

        chosen = tree.selection(tree.rows()[0])

        assert set(chosen.which.ids) == {one.id for one in letters[:2]}
        assert set(chosen.letters) == set(letters[:2])
        assert tree.marked == 2

    def test_marking_twice_takes_the_mark(self, tree):
        tree.toggle(NUMBERS)
        [one] = put(tree, 1)
        for _ in range(2):
            tree.mark(row_of(tree, str(one.id)))

        assert tree.marked == 0

    def test_marking_a_group_marks_what_is_loaded_of_it(self, tree):
        tree.toggle(NUMBERS)
        put(tree, 3)
        tree.mark(tree.rows()[0])
        assert tree.marked == 3

        tree.mark(tree.rows()[0])
        assert tree.marked == 0

    def test_everything_is_the_filter_itself_loaded_or_not(self, tree):
        which = LetterFilter(channel=Channel.SMS)
        tree.fill(which, [group()])
        tree.mark_everything()

        chosen = tree.selection(None)

        assert (chosen.which, chosen.count) == (which, 97)
        assert tree.marked == 97

    def test_looking_again_takes_all_marks(self, tree):
        tree.mark_everything()
        tree.fill(LetterFilter(), [group()])

        assert tree.marked == 0

    def test_more_than_one_request_may_name_is_refused(self, tree):
        tree.toggle(NUMBERS)
        put(tree, IDS_AT_MOST + 1)
        tree.mark(tree.rows()[0])

        with pytest.raises(TooManyMarked):
            tree.selection(None)
