import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from contracts.limits import BATCH_AT_MOST_BYTES, BATCH_AT_MOST_ITEMS
from ops import recipients
from ops.recipients import Batch, Common, Examined, Fault, FileUnusable, examine

SMS = Common(channel="sms", content="hello")


def write(folder: Path, text: str | bytes, name: str = "r.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def numbers(count: int, header: str = "recipient") -> str:
    return "\n".join([header, *(f"+1555{n:07}" for n in range(count))])


def read(path: Path, common: Common = SMS) -> tuple[Examined, list[Batch]]:
    examined = examine(path, common)
    return examined, list(recipients.batches(path, common, examined.job))


def items(batches: list[Batch]) -> list[dict[str, Any]]:
    return [i for batch in batches for i in json.loads(batch.body)["notifications"]]


def faults(path: Path, common: Common = SMS) -> list[Fault]:
    return examine(path, common).faults


@pytest.mark.parametrize("header", ["recipient", "to", "TO", " Recipient ", "\ufeffto"])
def test_the_column_of_recipients_has_two_names(tmp_path: Path, header: str) -> None:
    _, batches = read(write(tmp_path, f"{header}\n+15555550001\n"))

    assert items(batches) == [
        {
            "channel": "sms",
            "recipient": "+15555550001",
            "content": "hello",
            "priority": "normal",
        }
    ]


def test_a_line_may_say_everything_for_itself(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "to,channel,content,subject,priority,metadata\n"
        'a@example.com,EMAIL,"Hello, ""you""\nthere",Hi,High,"{""order"": 4711}"\n'
        "+15555550001,,,,,\n",
    )
    common = Common(
        channel="sms",
        content="hello",
        priority="low",
        metadata={"run": 1},
        scheduled_at="2031-01-01T09:00:00Z",
    )
    _, batches = read(path, common)

    assert items(batches) == [
        {
            "channel": "email",
            "recipient": "a@example.com",
            "content": 'Hello, "you"\nthere',
            "priority": "high",
            "subject": "Hi",
            "metadata": {"order": 4711},
            "scheduled_at": "2031-01-01T09:00:00Z",
        },
        {
            "channel": "sms",
            "recipient": "+15555550001",
            "content": "hello",
            "priority": "low",
            "metadata": {"run": 1},
            "scheduled_at": "2031-01-01T09:00:00Z",
        },
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_spreadsheets_write_csv_in_several_ways(
    tmp_path: Path, delimiter: str, ending: str
) -> None:
    rows = [["name", "to", "content"], ["Ann", "+15555550001", "hello"]]
    path = write(tmp_path, ending.join(delimiter.join(row) for row in rows))
    examined, batches = read(path, Common(channel="sms"))

    assert [item["recipient"] for item in items(batches)] == ["+15555550001"]
    assert examined.ignored_columns == ["name"]


def test_every_fault_has_its_line_and_field(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "to,channel,content,priority,metadata,subject\n"  # line 1
        "12345,,,,,\n"
        '+15555550001,,"two\nlines",,,\n'  # lines 3 and 4
        "\n"
        "+15555550001,fax,,,,\n"  # line 6
        "+15555550001,,,urgent,[1],\n"
        f"+15555550001,,{'x' * 161},,,\n"
        "+15555550001,,a,b\n"
        "+15555550001,,a\0b,,,\n"
        '+15555550001,,,,,"a\nb"\n',
    )

    assert [(fault.line, fault.field) for fault in faults(path)] == [
        (2, "recipient"),
        (6, "channel"),
        (7, "priority"),
        (7, "metadata"),
        (8, "content"),
        (9, "line"),
        (10, "content"),
        (11, "subject"),
    ]


def test_a_missing_option_is_a_fault_of_every_line_that_needs_it(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, "to,content\n+15555550001,hello\n+15555550001,\n")

    assert [f.field for f in faults(path, Common())] == ["channel", "channel"]
    assert [tuple(f) for f in faults(path, Common(channel="sms"))] == [
        (3, "content", "content is empty")
    ]


def test_faults_tell_no_recipient_and_no_content(tmp_path: Path) -> None:
    path = write(tmp_path, f"to,content\nsecret-number,{'secret' * 40}\n")

    assert "secret" not in str(faults(path))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no column 'recipient'"),
        ("number\n+15555550001", "has no column 'recipient'"),
        ("to,recipient\na,b", "two columns for the same field"),
        (b"to\n\xff\xfe", "is not UTF-8"),
        ('to\n"unfinished', "is not CSV"),
    ],
)
def test_what_is_no_file_of_recipients_is_refused(
    tmp_path: Path, text: str | bytes, why: str
) -> None:
    with pytest.raises(FileUnusable, match=why):
        examine(write(tmp_path, text), SMS)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="No such file"):
        examine(tmp_path / "none.csv", SMS)


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [(0, []), (1, [1]), (1000, [1000]), (1001, [1000, 1]), (2500, [1000, 1000, 500])],
)
def test_a_file_is_cut_into_thousands(
    tmp_path: Path, rows: int, sizes: list[int]
) -> None:
    examined, batches = read(write(tmp_path, numbers(rows)))

    assert [batch.size for batch in batches] == sizes
    assert (examined.rows, examined.batches) == (rows, len(sizes))
    lines = [(batch.first_line, batch.last_line) for batch in batches]
    assert lines == [
        (n * 1000 + 2, min(n * 1000 + 1001, rows + 1)) for n in range(len(sizes))
    ]


def test_a_batch_is_never_longer_than_a_body_may_be(tmp_path: Path) -> None:
    rows = [f"a{n}@example.com,{'x' * 9_999}" for n in range(1000)]
    _, batches = read(
        write(tmp_path, "\n".join(["to,content", *rows])), Common(channel="email")
    )

    assert len(batches) == 2
    assert [item["recipient"] for item in items(batches)] == [
        f"a{n}@example.com" for n in range(1000)
    ]
    for batch in batches:
        assert len(batch.body) <= BATCH_AT_MOST_BYTES


def test_the_same_file_and_options_give_the_same_keys_and_bodies(
    tmp_path: Path,
) -> None:
    _, first = read(write(tmp_path, numbers(1500)))
    _, again = read(write(tmp_path, numbers(1500), name="copy.csv"))

    assert first == again
    assert len({batch.key for batch in first}) == 2
    assert all(len(batch.key) <= 255 for batch in first)


@pytest.mark.parametrize(
    "common",
    [
        Common(channel="sms", content="hello!"),
        Common(channel="sms", content="hello", priority="high"),
        Common(channel="sms", content="hello", label="second"),
        Common(channel="sms", content="hello", metadata={"a": 1}),
        Common(channel="sms", content="hello", scheduled_at="2031-01-01T09:00:00Z"),
    ],
)
def test_other_options_give_other_keys(tmp_path: Path, common: Common) -> None:
    path = write(tmp_path, numbers(3))

    assert read(path, common)[1][0].key != read(path)[1][0].key


def test_another_file_gives_other_keys(tmp_path: Path) -> None:
    _, three = read(write(tmp_path, numbers(3)))
    _, trailing = read(write(tmp_path, numbers(3) + "\n"))

    assert three[0].key != trailing[0].key


def test_a_file_that_changes_while_it_is_sent_stops_the_sending(tmp_path: Path) -> None:
    path = write(tmp_path, numbers(1500))
    job = examine(path, SMS).job
    sending = recipients.batches(path, SMS, job)
    next(sending)
    write(tmp_path, numbers(1600))

    with pytest.raises(FileUnusable, match="has changed"):
        list(sending)


cells = st.text(
    alphabet=st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=20
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(cells.filter(str.strip), max_size=40))
def test_whatever_a_cell_holds_arrives_as_it_is(
    tmp_path: Path, contents: list[str]
) -> None:
    quoted = [
        f'+15555550001,"{text.replace(chr(34), chr(34) * 2)}"' for text in contents
    ]
    path = write(tmp_path, "\n".join(["to,content", *quoted]))
    _, batches = read(path, Common(channel="sms"))

    assert [item["content"] for item in items(batches)] == contents


def test_the_largest_batch_is_the_contract_s() -> None:
    assert (BATCH_AT_MOST_ITEMS, BATCH_AT_MOST_BYTES) == (1000, 8 * 1024 * 1024)
