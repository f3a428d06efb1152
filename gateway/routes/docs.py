"""The documentation of the interface: the document, and a page to read and try it with.

The page is Swagger UI. Its files come with the package ``swagger-ui-py`` and are served
from here: nothing is loaded from anywhere else.
"""

import asyncio
import functools
import importlib.util
import json
from pathlib import Path

import yaml

import contracts
from gateway.paths import not_found
from gateway.routing import JSON, Answer, Call, Route, RouteName

PATH = "/docs"

_HERE = Path(__file__).parent

#: Files of the page, and what they are.
ASSETS = {
    "swagger-ui.css": b"text/css",
    "swagger-ui-bundle.js": b"text/javascript",
    "favicon-32x32.png": b"image/png",
    "start.js": b"text/javascript",
}

#: Swagger UI writes styles into its elements and draws its icons from data addresses.
_PAGE_MAY = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
_KEEP = (b"cache-control", b"public, max-age=3600")


class Docs:
    """Handlers of the documentation."""

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            Route(RouteName.DOCS, "GET", PATH, self.page, None),
            Route(
                RouteName.OPENAPI_JSON, "GET", f"{PATH}/openapi.json", self.json, None
            ),
            Route(
                RouteName.OPENAPI_YAML, "GET", f"{PATH}/openapi.yaml", self.yaml, None
            ),
            Route(
                RouteName.DOCS_ASSET, "GET", f"{PATH}/assets/<name>", self.asset, None
            ),
        ]

    async def page(self, _call: Call) -> Answer:
        """Show Swagger UI."""
        body = await asyncio.to_thread(_read, _HERE / "docs.html")
        return Answer(
            200,
            body,
            b"text/html; charset=utf-8",
            [(b"content-security-policy", _PAGE_MAY)],
        )

    async def json(self, _call: Call) -> Answer:
        """Show the document as JSON."""
        return Answer(200, await asyncio.to_thread(_read, document()), JSON)

    async def yaml(self, _call: Call) -> Answer:
        """Show the document as YAML."""
        return Answer(200, await asyncio.to_thread(_as_yaml), b"application/yaml")

    async def asset(self, _call: Call, name: str) -> Answer:
        """Serve one file of the page."""
        content_type = ASSETS.get(name)
        if content_type is None:
            raise not_found("file")
        folder = _HERE if name == "start.js" else _swagger_ui()
        body = await asyncio.to_thread(_read, folder / name)
        return Answer(200, body, content_type, [_KEEP])


def document() -> Path:
    """Return where the OpenAPI document is."""
    return Path(contracts.__file__).with_name("openapi.json")


@functools.cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


@functools.cache
def _as_yaml() -> bytes:
    text: str = yaml.safe_dump(
        json.loads(_read(document())), sort_keys=False, allow_unicode=True, width=88
    )
    return text.encode()


def _swagger_ui() -> Path:
    """Return the package's folder of files, without importing the package."""
    spec = importlib.util.find_spec("swagger_ui")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("static")
