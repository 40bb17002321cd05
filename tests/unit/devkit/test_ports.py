from __future__ import annotations

import socket

import pytest

from bridge.devkit import ports
from bridge.devkit.ports import free_ports


def test_ports_are_different_and_can_be_listened_on() -> None:
    found = free_ports(5)
    assert len(set(found)) == 5
    for port in found:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_port_that_somebody_listens_on_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports, "_FIRST", taken)
        monkeypatch.setattr(ports, "_LAST", taken + 1)
        with pytest.raises(OSError, match="no free port"):
            free_ports(1)
