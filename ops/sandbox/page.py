"""The inbox page, made once: the template with the simulator recipients filled in."""

import base64
import hashlib
from importlib import resources

from ops.sandbox.answers import SIMULATORS, Answer, Simulator


def _describe(answer: Answer) -> str:
    status = str(answer.status)
    if answer.retry_after_seconds is not None:
        status += f", Retry-After {answer.retry_after_seconds}"
    if answer.delay_seconds:
        status += f" after {answer.delay_seconds:g} s"
    return status


def _make_row(name: str, simulator: Simulator) -> str:
    answer = _describe(simulator.first)
    if simulator.later != simulator.first:
        answer += f", then {_describe(simulator.later)}"
    return (
        f'<tr><th scope="row"><code>{name}</code></th>'
        f"<td><code>{simulator.number}</code></td><td>{answer}</td></tr>"
    )


def _hash_element(html: str, tag: str) -> str:
    content = html.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _make_page() -> str:
    template = resources.files("ops.sandbox").joinpath("page.html").read_text("utf-8")
    rows = "\n".join(_make_row(name, entry) for name, entry in SIMULATORS.items())
    return template.replace("<!-- simulators -->", rows)


_HTML = _make_page()

BODY = _HTML.encode()
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-cache",
    # The page's own style and script, by their hashes, and nothing else.
    "Content-Security-Policy": (
        "default-src 'none'; connect-src 'self'; img-src data:; "
        f"style-src {_hash_element(_HTML, 'style')}; "
        f"script-src {_hash_element(_HTML, 'script')}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
