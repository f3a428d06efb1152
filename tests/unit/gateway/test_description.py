import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import contracts
from contracts import subjects
from contracts.channels import Channel, Lane, Priority
from contracts.ids import new_id
from contracts.lifecycle import Status
from contracts.oversight import Action
from contracts.problems import ProblemType
from contracts.receipts import ReceiptKind
from gateway.description import asyncapi, examples, openapi
from gateway.description.__main__ import documents, text
from gateway.description.tables import OPERATIONS
from gateway.requests import decode_batch, decode_single
from gateway.routes.docs import document as openapi_file
from gateway.templating import Wording
from gateway.validation import Template, check

OPENAPI = openapi.document(OPERATIONS)
ASYNCAPI = asyncapi.document()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def found(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_the_documents_that_are_checked_in_are_those_the_code_makes(path: Path) -> None:
    assert path.read_text() == text(documents()[path]), "run: make describe"


def test_the_document_that_is_served_is_the_one_that_is_checked_in() -> None:
    assert openapi_file() in documents()
    assert openapi_file().parent == Path(contracts.__file__).parent


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_every_reference_leads_somewhere(document: Any) -> None:
    for reference in references(document):
        assert found(document, reference) is not None


def test_operations_have_names_of_their_own_and_links_lead_to_one() -> None:
    made = [item for path in OPENAPI["paths"].values() for item in path.values()]
    ids = [operation["operationId"] for operation in made]
    linked = {
        link["operationId"]
        for operation in made
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    }

    assert len(set(ids)) == len(ids)
    assert linked <= set(ids)


def test_every_word_of_a_path_is_a_parameter() -> None:
    for path, item in OPENAPI["paths"].items():
        for operation in item.values():
            words = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert words == set(re.findall(r"{(\w+)}", path)), path


def test_every_problem_shows_an_example_of_itself() -> None:
    for operation in OPERATIONS.values():
        made = OPENAPI["paths"][re.sub(r"<(\w+)>", r"{\1}", operation.path)]
        responses = made[operation.method.lower()]["responses"]
        for problem in openapi.problems_of(operation):
            content = responses[str(problem.status)]["content"]
            example = content["application/problem+json"]["examples"][problem.slug]
            assert example["value"]["type"] == problem.uri
            assert example["value"]["status"] == problem.status


def test_examples_of_requests_are_accepted() -> None:
    kept = examples.TEMPLATE
    assert kept.subject is not None
    template = Template(
        kept.id, kept.channel, Wording(kept.body), Wording(kept.subject)
    )
    templates = {kept.id: template}
    for body in bodies("/api/v1/notifications"):
        check(decode_single(body), templates=templates)
    for body in bodies("/api/v1/notifications/batch"):
        for member in decode_batch(body):
            check(member, templates=templates)


def bodies(path: str) -> list[bytes]:
    content = OPENAPI["paths"][path]["post"]["requestBody"]["content"]
    shown = content["application/json"]["examples"].values()
    return [json.dumps(example["value"]).encode() for example in shown]


def test_the_addresses_on_the_bus_match_the_subjects_that_are_used() -> None:
    lane = Lane(Channel.SMS, Priority.HIGH)
    used = [
        subjects.status("acme", Channel.SMS, Status.FAILED, new_id()),
        subjects.receipt("acme", Channel.SMS, ReceiptKind.BOUNCED, new_id()),
        subjects.dead_letter(lane),
        subjects.mesh_state("gateway", "one"),
        subjects.mesh_action(Action.LANE_PAUSED),
        subjects.CREATE,
        subjects.CREATE_BATCH,
        subjects.create("acme"),
        subjects.create("acme", batch=True),
    ]
    patterns = [
        re.sub(r"\\{\w+\\}", r"[^.]+", re.escape(channel["address"]))
        for channel in ASYNCAPI["channels"].values()
    ]

    assert len(used) == len(patterns)
    for subject, pattern in zip(used, patterns, strict=True):
        assert re.fullmatch(pattern, subject)


def test_every_problem_there_is_belongs_to_an_operation() -> None:
    described = {
        problem
        for operation in OPERATIONS.values()
        for problem in openapi.problems_of(operation)
    }
    #: Answered where no operation is: another method, or no route at all.
    elsewhere = {ProblemType.METHOD_NOT_ALLOWED}

    assert described | elsewhere == set(ProblemType)
