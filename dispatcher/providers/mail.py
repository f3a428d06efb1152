"""Makes a mail of a notification: text, or text and HTML when the content is HTML.

Nothing a notification holds can add a header or a recipient: what is no single mailbox is
refused, and a subject is made one line.
"""

import re
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser

import msgspec

from dispatcher.providers.port import OutboundMessage

#: Of a local part: no quotes, no comments, no list of several. Of a domain: labels only.
_LOCAL = re.compile(r"[^\s@,;:<>()\[\]\\\"\x00-\x1f\x7f]{1,64}")
_DOMAIN = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")
_NAMED = re.compile(r"(?P<name>[^<>\r\n]*)<(?P<address>[^<>]+)>")
_HTML = re.compile(r"\s*(?:<!doctype\s+html|<html)[\s>]", re.IGNORECASE)

_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt"),
        *("footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li"),
        *("main", "nav", "ol", "p", "pre", "section", "table", "tr", "ul"),
    }
)
_UNSEEN = frozenset({"head", "script", "style", "template"})


class Mailbox(msgspec.Struct, frozen=True):
    """One address to send from or to; the domain is in the form that DNS knows."""

    local: str
    domain: str
    name: str = ""

    @property
    def address(self) -> str:
        """Return the address alone."""
        return f"{self.local}@{self.domain}"

    @property
    def needs_utf8(self) -> bool:
        """Say whether only a server with SMTPUTF8 can carry it."""
        return not self.local.isascii()


class Mail(msgspec.Struct, frozen=True):
    """A mail as it goes over the wire, and its id."""

    data: bytes
    id: str


def mailbox(address: str) -> Mailbox:
    """Read the address of one mailbox, as in ``someone@example.com``.

    Raises ``ValueError``, which does not repeat the address.
    """
    local, _, domain = address.rpartition("@")
    try:
        domain = domain.encode("idna").decode()
    except UnicodeError:
        domain = ""
    if not (_LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain)):
        raise ValueError("this is not the address of one mailbox")
    return Mailbox(local, domain)


def named_mailbox(text: str) -> Mailbox:
    """Read an address with or without a name, as in ``Example <someone@example.com>``."""
    named = _NAMED.fullmatch(text.strip())
    if named is None:
        return mailbox(text.strip())
    return msgspec.structs.replace(
        mailbox(named["address"]), name=named["name"].strip(' "')
    )


def compose(message: OutboundMessage, sender: Mailbox, recipient: Mailbox) -> Mail:
    """Return the mail of a notification.

    Its Message-ID is made of the notification's id, so every attempt carries the same one
    and a mail store can drop what it has already.
    """
    id_ = f"{message.notification_id}@{sender.domain}"
    mail = EmailMessage(SMTP.clone(cte_type="7bit", utf8=recipient.needs_utf8))
    mail["From"] = _header(sender)
    mail["To"] = _header(recipient)
    if subject := _one_line(message.subject or ""):
        mail["Subject"] = subject
    mail["Date"] = datetime.now(UTC)
    mail["Message-ID"] = f"<{id_}>"
    mail["Auto-Submitted"] = "auto-generated"  # no holiday replies (RFC 3834)
    if is_html(message.content):
        mail.set_content(text_of(message.content))
        mail.add_alternative(message.content, subtype="html")
    else:
        mail.set_content(message.content)
    return Mail(mail.as_bytes(), id_)


def _header(box: Mailbox) -> str:
    if not box.name:
        return box.address
    quoted = box.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{box.address}>'


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def is_html(content: str) -> bool:
    """Say whether a content is a page of HTML: it begins as one."""
    return _HTML.match(content) is not None


def text_of(html: str) -> str:
    """Return the words of a page, a line for each block."""
    reader = _Words()
    reader.feed(html)
    reader.close()
    return reader.text


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._unseen = 0

    @property
    def text(self) -> str:
        lines = (" ".join(line.split()) for line in "".join(self._parts).split("\n"))
        return "\n".join(line for line in lines if line) + "\n"

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._parts.append(data.replace("\n", " "))

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._parts.append("\n")
