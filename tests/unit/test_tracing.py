import pytest

from contracts.tracing import continue_trace

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_trace_goes_on_with_a_span_of_its_own_and_the_same_flags(flags: str) -> None:
    continued = continue_trace(f"00-{TRACE}-{SPAN}-{flags}")

    assert continued is not None
    version, trace, span, same = continued.split("-")
    assert (version, trace, same) == ("00", TRACE, flags)
    assert len(span) == 16
    assert span != SPAN


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    continued = continue_trace(f"cc-{TRACE}-{SPAN}-01-what-the-future-brings")

    assert continued is not None
    assert continued.startswith(f"00-{TRACE}-")


@pytest.mark.parametrize(
    "given",
    [
        "",
        TRACE,
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_what_is_not_a_trace_context_is_none(given: str) -> None:
    assert continue_trace(given) is None
