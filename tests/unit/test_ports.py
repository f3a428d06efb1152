import pytest

from ops.embedded import ports


def test_a_chosen_port_is_not_chosen_again_though_nobody_listens_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [port] = ports.choose(1)
    monkeypatch.setattr(ports, "_FIRST", port)
    monkeypatch.setattr(ports, "_LAST", port + 1)

    assert ports.is_free(port)
    assert ports.choose(1) == []
