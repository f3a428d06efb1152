import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from console.discovery import NoMesh, find, find_gateway


def ready(folder: Path, **content: object) -> None:
    (folder / ".tocsin").mkdir()
    (folder / ".tocsin" / "ready.json").write_text(json.dumps(content))


def found(folder: Path, url: str | None = None, environment: str | None = None):
    address, place = find(url, None, environment, folder)
    return address.url, place.name


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_given_address_comes_first(tmp_path):
    ready(tmp_path, nats="nats://127.0.0.1:1", pids={"nats": os.getpid()})

    assert found(tmp_path, "nats://ops:secret@bus.example:4222") == (
        "nats://ops:secret@bus.example:4222",
        "bus.example",
    )


def test_the_mesh_that_runs_in_this_folder_is_found(tmp_path):
    ready(tmp_path, nats="nats://127.0.0.1:4321", pids={"nats": os.getpid()}, more=1)

    assert found(tmp_path) == ("nats://127.0.0.1:4321", "here")
    assert found(tmp_path, environment="lab") == ("nats://127.0.0.1:4321", "lab")


def test_a_folder_without_a_mesh_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(NoMesh, match=r"tocsin up.*--nats-url or TOCSIN_NATS_URL"):
        found(tmp_path)


def test_a_mesh_that_ended_without_a_word_is_not_waited_for(tmp_path):
    ready(tmp_path, nats="nats://127.0.0.1:4321", pids={"nats": dead_pid()})

    with pytest.raises(NoMesh, match="not running any more"):
        found(tmp_path)


def test_a_file_that_is_something_else_is_named(tmp_path):
    ready(tmp_path, nothing=1)

    with pytest.raises(NoMesh, match=r"ready\.json"):
        found(tmp_path)


@pytest.mark.parametrize("url", ["bus", "http://bus", "nats://a,:::", ""])
def test_what_is_no_address_is_refused_without_repeating_it(tmp_path, url):
    with pytest.raises(NoMesh, match=r"nats://127\.0\.0\.1:4222"):
        found(tmp_path, url)


def test_several_servers_are_named_after_the_first(tmp_path):
    assert found(tmp_path, "nats://a:4222,nats://b:4222")[1] == "a"


class TestGateway:
    def test_the_one_that_runs_here_is_found(self, tmp_path):
        ready(tmp_path, nats="nats://127.0.0.1:1", gateway="http://127.0.0.1:8080")

        assert find_gateway(None, None, tmp_path) == "http://127.0.0.1:8080"

    def test_the_one_that_runs_here_is_not_that_of_another_bus(self, tmp_path):
        """What is watched and what is changed must be the same mesh."""
        ready(tmp_path, nats="nats://127.0.0.1:1", gateway="http://127.0.0.1:8080")

        assert find_gateway(None, "nats://bus.example:4222", tmp_path) is None

    def test_a_given_one_comes_first_and_is_checked(self, tmp_path):
        there = "https://gateway.example"
        assert find_gateway(there, "nats://bus.example:4222", tmp_path) == there
        with pytest.raises(NoMesh, match="no address of a gateway"):
            find_gateway("gateway.example", None, tmp_path)

    def test_without_any_there_is_none(self, tmp_path):
        assert find_gateway(None, None, tmp_path) is None
