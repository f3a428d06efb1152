import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.problems import ProblemType
from tests.integration.commands import Finished, finished, started, tocsin
from tests.integration.small_gateway import (
    SmallGateway,
    problem,
    rate_limited,
    running_gateway,
)
from tests.waiting import until

TO = "+15555550001"
ONE = ("send", "--channel", "sms", "--to", TO, "--content", "hello")


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[SmallGateway]:
    async with running_gateway() as gateway:
        yield gateway


async def send_one(gateway: SmallGateway, *more: str) -> Finished:
    return await tocsin(*ONE, *more, environment=at(gateway))


def at(gateway: SmallGateway, **more: str) -> dict[str, str]:
    return {"TOCSIN_GATEWAY_URL": gateway.url, **more}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """2,500 recipients, as they come from a spreadsheet."""
    path = tmp_path / "recipients.csv"
    path.write_text("\n".join(["to", *(f"+1555{n:07}" for n in range(2500))]))
    return path


def of_file(path: Path) -> tuple[str, ...]:
    return ("send", "--file", str(path), "--channel", "sms", "--content", "hello")


async def send_file(gateway: SmallGateway, path: Path, *more: str) -> Finished:
    return await tocsin(*of_file(path), *more, environment=at(gateway))


async def test_one_notification_is_accepted(gateway: SmallGateway) -> None:
    code, out, err = await send_one(
        gateway,
        *("--priority", "high", "--subject", "Hi", "--metadata", '{"order": 4711}'),
        *("--scheduled-at", "2031-01-01T09:00:00+01:00"),
    )

    (stored,) = gateway.notifications.values()
    assert (code, out, err) == (0, f"{stored['id']} queued\n", "")
    assert gateway.posts == [
        {
            "channel": "sms",
            "recipient": TO,
            "content": "hello",
            "priority": "high",
            "subject": "Hi",
            "metadata": {"order": 4711},
            "scheduled_at": "2031-01-01T09:00:00+01:00",
        }
    ]


async def test_the_key_goes_with_every_request(gateway: SmallGateway) -> None:
    await tocsin(*ONE, environment=at(gateway, TOCSIN_API_KEY="tocsin_secret"))

    assert gateway.authorization == ["Bearer tocsin_secret"]


async def test_waiting_ends_with_the_delivery(gateway: SmallGateway) -> None:
    code, out, err = await send_one(gateway, "--wait")

    assert code == 0
    assert "delivered in" in out
    assert "by webhook, 1 attempt" in out
    assert err.split() == ["queued", "processing"]


async def test_waiting_for_what_fails_ends_with_1_and_the_reason(
    gateway: SmallGateway,
) -> None:
    gateway.path = ["processing", "failed"]
    code, out, err = await send_one(gateway, "--wait")

    assert code == 1
    assert out.endswith(" failed: permanent, no such number\n")
    assert "tocsin trace" in err


async def test_waiting_ends_after_the_timeout(gateway: SmallGateway) -> None:
    gateway.path = ["processing"]
    code, out, err = await send_one(gateway, "--wait", "--timeout", "0.2")

    assert code == 1
    assert out.endswith(" processing\n")
    assert "it is still processing after 0.2 s" in err


async def test_json_is_what_the_gateway_answered(gateway: SmallGateway) -> None:
    code, out, _ = await send_one(gateway, "--wait", "--json")

    assert code == 0
    assert json.loads(out) == next(iter(gateway.notifications.values()))


async def test_the_same_key_sends_once(gateway: SmallGateway) -> None:
    first = await send_one(gateway, "--idempotency-key", "order-4711")
    again = await send_one(gateway, "--idempotency-key", "order-4711")

    assert first.out == again.out
    assert again.err == "already accepted under this key\n"
    assert gateway.recipients == [TO]


async def test_without_a_key_each_run_sends(gateway: SmallGateway) -> None:
    await send_one(gateway)
    await send_one(gateway)

    assert gateway.recipients == [TO, TO]
    assert len(set(gateway.keys)) == 2


async def test_a_refusal_is_one_sentence_with_its_pointer(
    gateway: SmallGateway,
) -> None:
    gateway.scripted = [
        lambda: problem(
            ProblemType.INVALID_RECIPIENT,
            "an SMS goes to a number",
            errors=[{"pointer": "/recipient", "detail": "an SMS goes to a number"}],
        )
    ]
    code, out, err = await send_one(gateway)

    assert (code, out) == (1, "")
    assert err == (
        "Error: an SMS goes to a number at /recipient (400 invalid-recipient)\n"
    )


async def test_a_gateway_that_says_wait_is_asked_again_under_the_same_key(
    gateway: SmallGateway,
) -> None:
    gateway.scripted = [
        lambda: rate_limited(1),
        lambda: problem(ProblemType.OVERLOADED, "too much waits", retry_after=1),
    ]
    code, _, err = await send_one(gateway)

    assert code == 0
    assert gateway.recipients == [TO]
    assert len(gateway.keys) == 3
    assert len(set(gateway.keys)) == 1
    assert err == (
        "waiting: too many requests (429 rate-limited)\n"
        "waiting: too much waits (503 overloaded)\n"
    )


async def test_no_gateway_is_exit_code_3_at_once() -> None:
    async with asyncio.timeout(10):
        code, out, err = await tocsin(*ONE, "--gateway-url", "http://127.0.0.1:9")

    assert (code, out) == (3, "")
    assert err == "Error: http://127.0.0.1:9 cannot be reached: Connection refused\n"


async def test_something_else_that_answers_is_said_to_be_no_gateway(
    gateway: SmallGateway,
) -> None:
    code, _, err = await tocsin(*ONE, "--gateway-url", f"{gateway.url}/elsewhere")

    assert code == 1
    assert "answered 404 Not Found" in err


async def test_the_gateway_of_the_mesh_that_runs_here_is_found(
    gateway: SmallGateway, tmp_path: Path
) -> None:
    (tmp_path / ".tocsin").mkdir()
    ready = tmp_path / ".tocsin" / "ready.json"
    ready.write_text(
        json.dumps({"gateway": gateway.url, "pids": {"gateway-1": os.getpid()}})
    )
    assert (await tocsin(*ONE, folder=tmp_path)).code == 0

    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    ready.write_text(
        json.dumps({"gateway": gateway.url, "pids": {"gateway-1": gone.pid}})
    )
    await tocsin(*ONE, folder=tmp_path)
    assert len(gateway.posts) == 1, "a mesh that has ended was taken for a running one"


async def test_a_file_is_sent_in_batches_of_a_thousand(
    gateway: SmallGateway, path: Path
) -> None:
    code, out, err = await send_file(gateway, path, "--json")

    document = json.loads(out)
    assert (code, err) == (0, "")
    assert (document["accepted"], document["replayed"]) == (2500, 0)
    assert [batch["lines"] for batch in document["batches"]] == [
        [2, 1001],
        [1002, 2001],
        [2002, 2501],
    ]
    assert {batch["id"] for batch in document["batches"]} == set(gateway.batches)
    assert sorted(gateway.recipients) == [f"+1555{n:07}" for n in range(2500)]


async def test_a_file_sent_again_sends_nothing_twice(
    gateway: SmallGateway, path: Path
) -> None:
    first = await send_file(gateway, path)
    again = await send_file(gateway, path)

    assert first.out.startswith("2,500 of 2,500 accepted in 3 batches")
    assert again.out.startswith("2,500 of 2,500 accepted (2,500 of them earlier)")
    assert again.code == 0
    assert len(gateway.recipients) == 2500


async def test_a_label_sends_the_same_file_once_more(
    gateway: SmallGateway, path: Path
) -> None:
    await send_file(gateway, path)
    await send_file(gateway, path, "--label", "reminder")

    assert len(gateway.recipients) == 5000


async def test_one_wrong_line_keeps_the_whole_file_back(
    gateway: SmallGateway, path: Path
) -> None:
    with path.open("a") as file:
        file.write("\n12345\n")
    code, out, err = await send_file(gateway, path)

    assert (code, out, gateway.posts) == (1, "", [])
    assert "line 2502, recipient: an SMS goes to a number" in err
    assert "nothing was sent" in err
    assert "12345" not in err


async def test_a_dry_run_sends_nothing(gateway: SmallGateway, path: Path) -> None:
    code, out, _ = await send_file(gateway, path, "--dry-run")

    assert (code, gateway.posts) == (0, [])
    assert "2,500 recipients in 3 batches; nothing was sent" in out


async def test_a_killed_run_is_gone_on_with(gateway: SmallGateway, path: Path) -> None:
    """The answer of the second batch is lost with the process; it was stored."""
    gateway.scripted = [None, lambda: rate_limited(60)]
    environment = at(gateway, TOCSIN_SEND_PARALLEL="1")
    async with started(*of_file(path), environment=environment) as process:
        await until(lambda: len(gateway.posts) == 2)
        process.kill()
        await process.wait()
    assert len(gateway.recipients) == 1000

    again = await send_file(gateway, path)
    assert again.out.startswith("2,500 of 2,500 accepted (1,000 of them earlier)")
    assert sorted(gateway.recipients) == [f"+1555{n:07}" for n in range(2500)]


async def test_ctrl_c_finishes_what_is_in_flight_and_says_how_to_go_on(
    gateway: SmallGateway, path: Path
) -> None:
    gateway.open.clear()
    environment = at(gateway, TOCSIN_SEND_PARALLEL="1")
    async with started(*of_file(path), environment=environment) as process:
        await until(lambda: len(gateway.posts) == 1)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        told = (await process.stderr.readline()).decode()
        gateway.open.set()
        code, out, err = await finished(process)

    assert told.startswith("stopping after the batches in flight")
    assert (code, out) == (130, "")
    assert "1,000 of 2,500 accepted" in err
    assert "run the same command again" in err
    assert len(gateway.recipients) == 1000

    assert (await send_file(gateway, path)).code == 0
    assert len(gateway.recipients) == 2500


async def test_ctrl_c_ends_a_wait_for_the_rate_limit(
    gateway: SmallGateway, path: Path
) -> None:
    gateway.scripted = [lambda: rate_limited(50), lambda: rate_limited(50)]
    async with started(*of_file(path), environment=at(gateway)) as process:
        await until(lambda: not gateway.scripted)
        process.send_signal(signal.SIGINT)
        code, _, err = await finished(process, timeout_seconds=10)

    assert code == 130
    assert "0 of 2,500 accepted" in err


async def test_a_second_ctrl_c_ends_at_once(gateway: SmallGateway, path: Path) -> None:
    gateway.open.clear()
    async with started(*of_file(path), environment=at(gateway)) as process:
        await until(lambda: len(gateway.posts) == 2)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        code, _, err = await finished(process, timeout_seconds=10)

    assert code == 130
    assert "Traceback" not in err


async def test_a_refusal_in_the_middle_says_how_far_it_came(
    gateway: SmallGateway, path: Path
) -> None:
    gateway.scripted = [None, lambda: problem(ProblemType.UNAUTHORIZED, "key revoked")]
    code, out, err = await send_file(gateway, path, "--parallel", "1")

    assert (code, out) == (1, "")
    assert "lines 1002-2001: key revoked (401 unauthorized)" in err
    assert "1,000 of 2,500 accepted" in err
    assert "run the same command again" in err


async def test_a_file_waits_out_the_rate_limit(
    gateway: SmallGateway, path: Path
) -> None:
    gateway.scripted = [None, lambda: rate_limited(1)]
    code, out, err = await send_file(gateway, path)

    assert code == 0
    assert out.startswith("2,500 of 2,500 accepted")
    assert err == "waiting: too many requests (429 rate-limited)\n"


async def test_waiting_for_a_file_counts_what_became_of_it(
    gateway: SmallGateway, path: Path
) -> None:
    code, out, _ = await send_file(gateway, path, "--wait")
    assert code == 0
    assert out.splitlines()[1] == "2,500 delivered"

    gateway.path = ["failed"]
    code, out, err = await send_file(gateway, path, "--wait", "--label", "2", "--json")
    assert code == 1
    assert json.loads(out)["counts"] == {"failed": 2500}
    assert "not everything was delivered" in err


async def test_a_trace_is_shown_as_a_timeline(gateway: SmallGateway) -> None:
    await send_one(gateway)
    (id_,) = gateway.notifications
    code, out, err = await tocsin("trace", id_, "--gateway-url", gateway.url)

    assert (code, err) == (0, "")
    assert [line.split()[1] for line in out.splitlines()[2:6]] == [
        *("created", "queued", "processing", "delivered")
    ]
    assert "waited for a dispatcher" in out

    code, out, _ = await tocsin("trace", id_, "--json", "--gateway-url", gateway.url)
    assert json.loads(out)["notification_id"] == id_


async def test_a_trace_of_nothing_is_refused(gateway: SmallGateway) -> None:
    id_ = "019acf3e-5c00-7a4b-8c6d-0e1f2a3b4c5d"
    code, out, err = await tocsin("trace", id_, "--gateway-url", gateway.url)

    assert (code, out) == (1, "")
    assert err == "Error: there is no such notification (404 not-found)\n"

    assert (await tocsin("trace", "4711", "--gateway-url", gateway.url)).code == 2


async def test_ctrl_c_ends_the_sending_of_one(gateway: SmallGateway) -> None:
    gateway.open.clear()
    async with started(*ONE, environment=at(gateway)) as process:
        await until(lambda: gateway.posts)
        process.send_signal(signal.SIGINT)
        code, out, err = await finished(process, timeout_seconds=10)

    assert (code, out) == (130, "")
    assert err.startswith("Error: stopped at once")
