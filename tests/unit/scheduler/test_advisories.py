from uuid import UUID

from hypothesis import given, strategies as st

from contracts import subjects
from scheduler import advisories
from scheduler.advisories import AdvisoryKind, Exhausted, Terminated

ID = UUID("0199aa00-0000-7000-8000-000000000001")
TERMINATED = f"{subjects.MSG_TERMINATED}.NOTIFY.sms-high"
EXHAUSTED = f"{subjects.MAX_DELIVERIES}.NOTIFY.sms-high"


def test_a_termination_names_its_notification():
    payload = b'{"type":"io.nats.jetstream.advisory.v1.terminated","stream":"NOTIFY",'
    payload += f'"consumer_seq":1,"stream_seq":7,"reason":"{ID} permanent"}}'.encode()

    assert advisories.read(TERMINATED, payload) == Terminated(ID)


def test_exhaustion_names_its_message():
    payload = (
        b'{"stream":"NOTIFY","consumer":"sms-high","stream_seq":7,"deliveries":25}'
    )

    assert advisories.read(EXHAUSTED, payload) == Exhausted(7)


@given(
    subject=st.sampled_from([TERMINATED, EXHAUSTED, "anything"]),
    payload=st.one_of(
        st.binary(),
        st.builds(
            lambda stream, number, reason: (
                f'{{"stream":{stream},"stream_seq":{number},"reason":{reason}}}'.encode()
            ),
            st.sampled_from(['"NOTIFY"', '"OTHER"', "1", "null", '"\\ud800"']),
            st.one_of(st.integers(), st.floats(), st.just("{}")).map(str),
            st.one_of(st.text().map(ascii), st.just("[]"), st.just('"x y"')),
        ),
    ),
)
def test_no_payload_whatever_breaks_the_reader(subject: str, payload: bytes):
    assert advisories.kind_of(advisories.read(subject, payload)) in AdvisoryKind
