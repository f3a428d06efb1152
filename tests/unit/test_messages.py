"""The golden files are decoded for ever: they gain new fields and otherwise never change."""

import json
import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from contracts import controls
from contracts.breakers import BreakerState
from contracts.channels import Channel, Priority
from contracts.controls import AnyControl, Control
from contracts.lifecycle import Status
from contracts.mesh import ServiceState
from contracts.messages import (
    AnyMessage,
    Message,
    StatusChanged,
    decode,
    encode,
    queueing_id,
)
from contracts.outcomes import FailureClass
from contracts.spool import SpooledSubmission

GOLDEN = Path(__file__).parent.parent / "contracts"
#: What is read where it is known which of them it is.
STATES = (ServiceState, BreakerState, SpooledSubmission)
STRUCTS: dict[str, type[msgspec.Struct]] = {
    str(struct.__struct_config__.tag): struct
    for struct in (*typing.get_args(AnyMessage), *typing.get_args(AnyControl), *STATES)
}


def golden(tag: str) -> bytes:
    return (GOLDEN / f"{tag}.json").read_bytes()


def read(tag: str, payload: bytes) -> Any:
    """Decode as a reader does: messages and controls by their tag, states as states."""
    if STRUCTS[tag] in STATES:
        return msgspec.json.decode(payload, type=STRUCTS[tag])
    if issubclass(STRUCTS[tag], Control):
        return controls.decode(payload)
    return decode(payload)


def changed(tag: str, **fields: Any) -> bytes:
    return json.dumps({**json.loads(golden(tag)), **fields}).encode()


def test_every_tag_has_a_golden_file_and_every_golden_file_a_tag() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(STRUCTS)


def test_every_tag_ends_in_its_version() -> None:
    for tag in STRUCTS:
        assert tag.rpartition(".v")[2].isdigit()


@pytest.mark.parametrize("tag", STRUCTS)
def test_a_golden_file_is_read(tag: str) -> None:
    assert type(read(tag, golden(tag))) is STRUCTS[tag]


@pytest.mark.parametrize("tag", STRUCTS)
def test_what_was_read_is_written_as_the_golden_file(tag: str) -> None:
    written = msgspec.json.encode(read(tag, golden(tag)))

    assert msgspec.json.format(written, indent=2) + b"\n" == golden(tag)


@pytest.mark.parametrize("tag", STRUCTS)
def test_a_golden_file_shows_every_field(tag: str) -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(STRUCTS[tag])}

    assert set(json.loads(golden(tag))) == fields | {"type"}


@pytest.mark.parametrize("tag", STRUCTS)
def test_a_field_from_the_future_is_ignored(tag: str) -> None:
    assert read(tag, changed(tag, colour="red")) == read(tag, golden(tag))


@pytest.mark.parametrize("tag", STRUCTS)
def test_an_unknown_tag_is_refused(tag: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(tag, changed(tag, type=tag.replace(".v1", ".v999")))


@pytest.mark.parametrize(
    "tag", [tag for tag in STRUCTS if "at" in json.loads(golden(tag))]
)
def test_a_time_without_a_zone_is_refused(tag: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="timezone"):
        read(tag, changed(tag, at="2026-11-27T12:00:00"))


@pytest.mark.parametrize("tag", STRUCTS)
def test_a_message_cannot_be_changed(tag: str) -> None:
    message = read(tag, golden(tag))

    with pytest.raises(AttributeError):
        setattr(message, STRUCTS[tag].__struct_fields__[0], None)


@given(
    st.builds(
        StatusChanged,
        notification_id=st.uuids(),
        tenant=st.text(min_size=1),
        channel=st.sampled_from(Channel),
        priority=st.sampled_from(Priority),
        status=st.sampled_from(Status),
        attempts=st.integers(0, 10),
        sequence=st.integers(1, 10_000),
        at=st.datetimes(
            min_value=datetime(1970, 1, 1),  # noqa: DTZ001 (hypothesis adds the zone)
            timezones=st.just(UTC),
        ),
        correlation_id=st.text(max_size=128),
        batch_id=st.none() | st.uuids(),
        failure_class=st.none() | st.sampled_from(FailureClass),
        provider=st.none() | st.text(),
    )
)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert decode(encode(message)) == message


def test_each_queueing_has_an_id_of_its_own() -> None:
    message = read("status.changed.v1", golden("status.changed.v1"))
    ids = {queueing_id(message.notification_id, sequence) for sequence in range(1, 9)}

    assert len(ids) == 8


def test_no_message_says_whom_it_is_for_or_what() -> None:
    """So that the bus has nothing to erase, once the spool is empty."""
    for kind in Message.__subclasses__():
        assert not {"recipient", "subject", "content", "metadata"} & {
            *kind.__struct_fields__
        }
