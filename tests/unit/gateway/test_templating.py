"""What a template may say, how its gaps are filled, and how little a hostile one can do."""

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given, strategies as st

from contracts.limits import TEMPLATE_AT_MOST_BYTES, TEMPLATE_VARIABLES_AT_MOST_BYTES
from gateway.templating import MissingVariable, TemplateFault, Wording

#: On a busy machine; what is measured takes a tenth of it.
QUICK_SECONDS = 0.5


def filled(source: str, **variables: Any) -> str:
    return Wording(source).fill(variables, 10_000)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain { words } % #", "plain { words } % #"),
        ("Hello {{ Name }}!", "Hello Ada!"),
        ("Hello {{.Name}}!", "Hello Ada!"),
        ("Hello {{ .Name }}!", "Hello Ada!"),
        ("Hello {{- .Name -}} !", "HelloAda!"),
        ("{{ user.address.city }}", "Turin"),
        ("{{.user.address.city}}", "Turin"),
        ("{{ user.items }}", "3"),
        ("{{ Name|upper }}{{ Name | lower }}", "ADAada"),
        ("{{ padded|trim }}", "x"),
        ("{{ absent|default('you') }}", "you"),
        ("{{ nothing|default(Name) }}", "Ada"),
        ("{% if vip %}a{% else %}b{% endif %}", "a"),
        ("{% if absent %}a{% elif vip and not absent.too %}b{% endif %}", "b"),
        ("{% if Name == 'Ada' %}a{% endif %}{% if Name != 'Ada' %}b{% endif %}", "a"),
        (
            "{% if absent is defined %}a{% endif %}{% if vip is defined %}b{% endif %}",
            "b",
        ),
        ("{# a remark #}x\n", "x\n"),
        ("{{ nothing or Name }}", "Ada"),
        ("{{ self }}{{ loop }}{{ range }}", "123"),
        ("<{{ html }}>", "<<b>&>"),
    ],
)
def test_gaps_are_filled(source: str, text: str) -> None:
    assert text == filled(
        source,
        Name="Ada",
        user={"address": {"city": "Turin"}, "items": 3},
        padded=" x ",
        nothing=None,
        vip=True,
        self=1,
        loop=2,
        range=3,
        html="<b>&",
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (1_000_000, "1000000"),
        (-0.5, "-0.5"),
        (1.0, "1.0"),
        (1e22, "1e22"),
        (10**30, "1" + "0" * 30),
        (True, "true"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ("{{ Name }}", "{{ Name }}"),
    ],
)
def test_values_print_as_in_json(value: Any, text: str) -> None:
    assert filled("{{ value }}", value=value) == text


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("{{ absent }}", "absent"),
        ("{{.user.name}}", "user.name"),
        ("{{ user.name.first }}", "user.name.first"),
        ("{{ word.upper }}", "word.upper"),
        ("{{ user.__class__ }}", "user.__class__"),
        ("{{ nothing }}", "nothing"),
        ("{{ absent|upper }}", "absent"),
        ("{{ user.keys }}", "user.keys"),
    ],
)
def test_a_missing_variable_is_named(source: str, path: str) -> None:
    with pytest.raises(MissingVariable) as caught:
        filled(source, user={}, word="x", nothing=None)

    assert str(caught.value) == path


REFUSED = [
    "{{",
    "{{ }}",
    "{{ x }",
    "{% if x %}",
    "{% endif %}",
    "{{ x() }}",
    "{{ x.y() }}",
    "{{ x.y().z }}",
    "{{ x['a'] }}",
    "{{ x[0] }}",
    "{{ x.0 }}",
    "{{ ''.__class__ }}",
    "{{ ().__class__ }}",
    "{{ 1 * 2 }}",
    "{{ 'x' * 1000000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ x ~ y }}",
    "{{ [1] }}",
    "{{ x if y }}",
    "{{ x < 1 }}",
    "{{ x == y }}",
    "{{ x|attr('y') }}",
    "{{ x|map('upper') }}",
    "{{ x|default }}",
    "{{ x|upper(1) }}",
    "{{ x|default(*y) }}",
    "{{ x is sameas(y) }}",
    "{% for a in b %}{% endfor %}",
    "{% set a = 1 %}",
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% block x %}{% endblock %}",
    "{% macro a() %}{% endmacro %}",
    "{% filter upper %}x{% endfilter %}",
    "{% with %}{% endwith %}",
    "{% import 'os' as os %}",
    '{{ "\\x00" }}',
    '{{ "\\ud800" }}',
    '{{ x|default("\\udfff") }}',
    '{% if x == "\\x00" %}{% endif %}',
    "{{ 0x1ffffffffffffffff }}",
    "{% if x == 1e999 %}{% endif %}",
]

LARGEST = TEMPLATE_AT_MOST_BYTES
HOSTILE = [
    "{{" + "(" * 5_000 + "x" + ")" * 5_000 + "}}",
    "{{ " + "not " * 4_000 + "x }}",
    "{{" + "-" * 16_000 + "x}}",
    "{{x}}" * 3_000,
    "{% if a %}" * 1_600,
    "{% if a %}{% endif %}" * 700,
    "{{ x" + "|upper" * 2_600 + " }}",
    "{{ x" + ".y" * 8_000 + " }}",
    "{{ " + " and ".join(["x"] * 2_000) + " }}",
    "{#" * 8_000,
    "{{ '" + "\\" * 15_999,
    "{% raw %}" * 1_800,
    "{{ " + "1" * 5_000 + " }}",
    "{{ 0x" + "f" * 4_500 + " }}",
    "{% if x == 0x" + "f" * 4_500 + " %}{% endif %}",
]


@pytest.mark.parametrize("source", REFUSED + HOSTILE, ids=lambda source: source[:20])
def test_what_a_template_may_not_say_is_refused(source: str) -> None:
    started = time.process_time()
    with pytest.raises(TemplateFault) as caught:
        Wording(source)

    assert str(caught.value)
    assert time.process_time() - started < QUICK_SECONDS


@pytest.mark.parametrize(
    "source",
    [
        "{% if x|upper == 'a' %}{% endif %}" * 50,
        "{% if x == 'a' %}{% endif %}" * 120,
        "{{ x|upper|lower|upper }}" * 16,
        "{{ x }}" * 200,
    ],
    ids=lambda source: source[:20],
)
def test_the_largest_variables_cost_an_event_loop_little(source: str) -> None:
    wording = Wording(source)
    variables = {"x": "ß" * (TEMPLATE_VARIABLES_AT_MOST_BYTES // 2)}
    started = time.process_time()
    text = wording.fill(variables, 10_000)

    assert time.process_time() - started < QUICK_SECONDS / 4
    assert len(text) <= 10_000 + 2 * TEMPLATE_VARIABLES_AT_MOST_BYTES


def test_filling_stops_soon_after_there_is_enough() -> None:
    text = Wording("{{ x }}" * 200).fill({"x": "y" * 100}, 500)

    assert text == "y" * 600


pieces = st.sampled_from(
    ["{{", "}}", "{%", "%}", " if ", "x", ".", "|upper", "endif", "'", "(", "for", "\n"]
) | st.text(max_size=3)


@given(st.lists(pieces, max_size=12).map("".join))
def test_any_text_is_a_template_or_a_fault(source: str) -> None:
    try:
        wording = Wording(source)
    except TemplateFault:
        return
    with contextlib.suppress(MissingVariable):
        wording.fill({"x": "value"}, 1_000)


@given(st.text().filter(lambda text: "{" not in text and "\r" not in text))
def test_text_without_gaps_is_left_as_it_is(source: str) -> None:
    assert filled(source) == source


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(values)
def test_a_value_is_printed_or_missing_and_never_run(value: Any) -> None:
    try:
        text = filled("{{ value }}", value=value)
    except MissingVariable:
        assert value is None
    else:
        assert text == value or not isinstance(value, str)
