"""What a notification looks like as a mail."""

from email import message_from_string
from email.message import EmailMessage
from email.policy import SMTPUTF8

import pytest
from hypothesis import given, strategies as st

from contracts.channels import Channel
from contracts.ids import new_id
from dispatcher.providers.mail import (
    Mailbox,
    compose,
    is_html,
    mailbox,
    named_mailbox,
    text_of,
)
from dispatcher.providers.port import OutboundMessage

SENDER = named_mailbox("Tocsin <noreply@tocsin.example>")
HEADERS = {
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"),
    *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
}


def message(content: str = "Tea", subject: str | None = None) -> OutboundMessage:
    return OutboundMessage(
        notification_id=new_id(),
        channel=Channel.EMAIL,
        recipient="jo@example.com",
        content=content,
        subject=subject,
        attempt=1,
        correlation_id="corr",
        traceparent=None,
    )


def parsed(given: OutboundMessage, recipient: str | None = None) -> EmailMessage:
    mail = compose(given, SENDER, mailbox(recipient or given.recipient))
    read = message_from_string(mail.data.decode(), policy=SMTPUTF8)
    assert isinstance(read, EmailMessage)
    return read


lines = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(lines)
def test_a_subject_stays_one_header(subject: str) -> None:
    mail = parsed(message(subject=subject))

    assert set(mail.keys()) <= HEADERS
    assert mail["To"] == "jo@example.com"
    told = "".join(c if c.isprintable() else " " for c in subject).split()
    assert (mail["Subject"] or "").split() == told


@given(lines)
def test_a_text_arrives_as_it_is(content: str) -> None:
    mail = parsed(message(content))

    assert set(mail.keys()) <= HEADERS
    arrived = mail.get_content().replace("\r\n", "\n").removesuffix("\n")
    assert arrived == content.replace("\r\n", "\n").replace("\r", "\n").removesuffix(
        "\n"
    )


awkward = st.text(st.sampled_from(',;:<>()[]@"\\ \t\r\n\0'), max_size=1)
locals_ = st.text(st.sampled_from("ab.-_+'=!#$%&*/?^`{|}~é漢"), min_size=1, max_size=9)
domains = st.from_regex(r"[a-c]{1,3}(\.[a-dé-]{1,5}){0,2}", fullmatch=True)


@given(locals_, awkward, locals_, domains)
def test_what_is_taken_for_a_mailbox_is_one_address(
    start: str, odd: str, end: str, domain: str
) -> None:
    local = f"{start}{odd}{end}"
    try:
        box = mailbox(f"{local}@{domain}")
    except ValueError:
        return

    assert (box.local, box.domain) == (local, domain.encode("idna").decode())
    mail = parsed(message(), recipient=f"{local}@{domain}")
    assert [a.addr_spec for a in mail["To"].addresses] == [box.address]


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("jo@example.com", Mailbox("jo", "example.com")),
        ("Jo Doe <jo@example.com>", Mailbox("jo", "example.com", "Jo Doe")),
        ('"Doe, Jo" <jo@example.com>', Mailbox("jo", "example.com", "Doe, Jo")),
        ("Jö <jo@bücher.example>", Mailbox("jo", "xn--bcher-kva.example", "Jö")),
    ],
)
def test_a_sender_may_have_a_name(text: str, box: Mailbox) -> None:
    assert named_mailbox(text) == box
    mail = compose(message(), box, box)

    read = message_from_string(mail.data.decode(), policy=SMTPUTF8)
    [address] = read["From"].addresses
    assert (address.display_name, address.addr_spec) == (box.name, box.address)
    assert mail.data.isascii()


def test_attempts_carry_one_message_id() -> None:
    again = message()

    assert parsed(again)["Message-ID"] == parsed(again)["Message-ID"]
    assert parsed(again)["Message-ID"] != parsed(message())["Message-ID"]


@pytest.mark.parametrize(
    ("content", "page"),
    [
        ("<!DOCTYPE html><html><body>Tea</body></html>", True),
        ("\n  <html lang='en'><p>Tea", True),
        ("<HTML>\n", True),
        ("<p>Tea</p>", False),
        ("<htmlx>", False),
        ("Tea <html>", False),
        ("", False),
    ],
)
def test_html_is_what_begins_as_a_page(content: str, page: bool) -> None:
    assert is_html(content) is page


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<html><body><p>One</p><p>Two<br>Three</p>", "One\nTwo\nThree\n"),
        ("<html><head><title>No</title></head>Yes", "Yes\n"),
        ("<html><style>p {}</style><script>x</script>Yes &amp; no", "Yes & no\n"),
        ("<html><ul>\n<li>a\n</li>\n<li>b</li></ul>", "a\nb\n"),
        ("<html>a <b>b</b>\n c", "a b c\n"),
        ("<html></script>a</style>", "a\n"),
    ],
)
def test_a_page_has_its_text_beside_it(html: str, text: str) -> None:
    assert text_of(html) == text


def test_no_page_takes_long_to_read() -> None:
    for html in ("<" * 10_000, "<p" * 5_000, "&" * 10_000, "<!--" * 2_500):
        assert text_of("<html>" + html).endswith("\n")
