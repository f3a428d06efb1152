import json

from gateway.description.openapi import document
from gateway.description.tables import OPERATIONS
from gateway.routes.docs import ASSETS
from tests.integration.gateway.gateways import RunningGateway, problem_of


async def test_every_route_is_described_and_nothing_else(
    gateway: RunningGateway,
) -> None:
    served = {
        (str(route.name), route.method, route.path, route.permission)
        for route in gateway.app.routes
    }

    assert served == {
        (str(name), each.method, each.path, each.permission)
        for name, each in OPERATIONS.items()
    }


async def test_the_url_map_has_no_route_that_is_not_described(
    gateway: RunningGateway,
) -> None:
    rules = {rule.endpoint for rule in gateway.app.quart.url_map.iter_rules()}

    assert rules == {str(name) for name in OPERATIONS}


async def test_the_document_is_served_as_json_and_as_yaml(
    gateway: RunningGateway,
) -> None:
    as_json = await gateway.get("/docs/openapi.json")
    as_yaml = await gateway.get("/docs/openapi.yaml")

    assert as_json.headers["Content-Type"] == "application/json"
    assert await as_json.json() == json.loads(json.dumps(document(OPERATIONS)))
    assert as_yaml.headers["Content-Type"] == "application/yaml"
    assert (await as_yaml.text()).startswith("openapi: 3.1.0\n")


async def test_the_page_loads_nothing_from_elsewhere(gateway: RunningGateway) -> None:
    page = await gateway.get("/docs")
    text = await page.text()

    assert page.status == 200
    assert "//" not in text.replace("<!doctype html>", "")
    [policy] = page.headers.getall("Content-Security-Policy")
    assert "script-src 'self';" in policy
    assert "http" not in policy
    for name, content_type in ASSETS.items():
        asset = await gateway.get(f"/docs/assets/{name}")
        assert asset.status == 200, name
        assert asset.headers["Content-Type"].startswith(content_type.decode())
        assert len(await asset.read()) > 100
    assert (await gateway.get("/docs/assets/../docs.py")).status == 404
    await problem_of(await gateway.get("/docs/assets/nothing.js"))


async def test_batch_is_a_path_of_its_own_with_its_own_methods(
    gateway: RunningGateway,
) -> None:
    answer = await gateway.get("/api/v1/notifications/batch")

    assert (await problem_of(answer))["type"] == "/probs/method-not-allowed"
    assert answer.headers["Allow"] == "POST"


async def test_every_answer_has_the_security_headers(gateway: RunningGateway) -> None:
    for path in ("/healthz/live", "/docs", "/nowhere", "/api/v1/notifications/batch"):
        answer = await gateway.get(path)

        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert answer.headers["X-Frame-Options"] == "DENY", path
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer", path
