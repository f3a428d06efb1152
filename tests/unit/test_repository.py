"""The repository's own files: what a newcomer, an installer and a packager rely on."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = (
    *("contracts", "gateway", "dispatcher", "scheduler", "console"),
    *("migrations", "ops"),
)
PACKAGES = (*SHIPPED, "tests")
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "ops").rglob("*.md")]
)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def files() -> Iterator[Path]:
    """Yield the project's own files, without caches and what is built."""
    for top in sorted(ROOT.iterdir()):
        if top.is_file():
            yield top
    for name in (*PACKAGES, "docs", "requirements", ".ci", ".github"):
        for path in sorted((ROOT / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def by_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def heading_anchors(document: Path) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.+)$", document.read_text())
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
        for heading in headings
    }


def test_the_requirement_files_are_those_that_lock_makes() -> None:
    assert [by_name(path) for path in REQUIREMENTS] == [
        "requirements/build.txt",
        "requirements/dev.txt",
        "requirements/runtime.txt",
    ]
    assert not (ROOT / "uv.lock").exists()


@pytest.mark.parametrize("path", REQUIREMENTS, ids=by_name)
def test_every_requirement_is_pinned_and_hashed(path: Path) -> None:
    text = re.sub(r"(?m)^\s*#.*\n?", "", path.read_text())
    requirements = text.replace("\\\n", " ").splitlines()

    assert requirements
    for requirement in requirements:
        assert re.fullmatch(
            r"[a-z0-9-]+==[\w.]+( ; [^\\]+?)?(\s+--hash=sha256:[0-9a-f]{64})+",
            requirement.strip(),
        ), requirement


@pytest.mark.parametrize("path", REQUIREMENTS, ids=by_name)
def test_a_requirement_file_does_not_say_where_packages_come_from(path: Path) -> None:
    for line in path.read_text().splitlines():
        assert not re.search(r"://|-index|find-links|trusted-host| @ |(^|\s)/", line)


def test_every_pin_of_the_image_is_the_one_that_is_tested() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / name).read_text()
        return dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", text))

    dev = pins("dev.txt")
    for name in ("runtime.txt", "build.txt"):
        assert pins(name).items() <= dev.items()


def test_every_dependency_is_locked() -> None:
    project = PYPROJECT["project"]
    groups = PYPROJECT["dependency-groups"].values()
    wanted = [
        *project["dependencies"],
        *(
            entry
            for extra in project["optional-dependencies"].values()
            for entry in extra
        ),
        *(entry for group in groups for entry in group if isinstance(entry, str)),
    ]
    locked = (ROOT / "requirements" / "dev.txt").read_text()
    for requirement in wanted:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        assert re.search(rf"(?m)^{name}==", locked), f"run make lock: {requirement}"


def test_no_file_names_a_package_registry() -> None:
    hosts = [
        "".join(parts)
        for parts in (
            ("py", "pi.org"),
            ("python", "hosted.org"),
            ("npm", "js.org"),
            ("crates", ".io"),
            ("golang", ".org"),
            ("maven", ".org"),
            ("debian", ".org"),
            ("docker", ".io"),
        )
    ]
    for path in files():
        text = path.read_bytes().decode(errors="replace")
        named = [host for host in hosts if host in text]
        assert not named, f"{by_name(path)} names {named}"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_in_one_sentence_what_lives_there(package: str) -> None:
    module = ast.parse((ROOT / package / "__init__.py").read_text())
    docstring = ast.get_docstring(module)

    assert docstring
    assert docstring.endswith(".")
    assert docstring.count(". ") == 0
    assert f"[`{package}/`]({package})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("package", SHIPPED)
def test_every_data_file_a_module_may_read_is_packaged(package: str) -> None:
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["*"]
    for path in (ROOT / package).rglob("*"):
        # folders of ops without modules hold what operators deploy
        deployed = package == "ops" and not [*path.parent.glob("*.py")]
        if path.is_file() and path.suffix not in {".py", ".pyc", ".md"}:
            assert deployed or any(path.match(pattern) for pattern in patterns), path


def test_the_readme_is_short_and_begins_with_a_start_and_a_notification() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    beginning = "\n".join(lines[:60])

    assert len(lines) < 150
    assert "$ make up" in beginning
    assert "curl -i" in beginning


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_link_in_a_document_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = document.parent / name if name else document
        assert linked.exists(), target
        if anchor:
            assert anchor in heading_anchors(linked), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_test_a_document_names_exists(document: Path) -> None:
    for name, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)", document.read_text()):
        assert re.search(rf"def {test}\(", (ROOT / name).read_text()), test


def test_every_decision_is_in_the_index() -> None:
    decisions = {path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")}
    index = (ROOT / "docs" / "adr" / "README.md").read_text()

    assert decisions == set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", index))


def test_make_help_knows_every_target_people_are_told_about() -> None:
    explained = set(
        re.findall(r"(?m)^([a-z]+):.*## \S", (ROOT / "Makefile").read_text())
    )

    assert explained >= {
        *("help", "install", "up", "test", "check", "fmt", "bench", "console", "lock")
    }
    for document in DOCUMENTS:
        told = set(re.findall(r"(?:\$ |`)make ([a-z]+)", document.read_text()))
        assert told <= explained, document


@pytest.mark.parametrize("name", ["invariants.md", "guarantees.md"])
def test_every_test_that_a_promise_names_is_there(name: str) -> None:
    cited = re.findall(
        r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / name).read_text()
    )

    assert cited
    for path, test in cited:
        assert re.search(rf"(?m)^(async )?def {test}\(", (ROOT / path).read_text()), (
            test
        )
