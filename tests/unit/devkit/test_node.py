from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from bridge.devkit.node import Node, Ports, Scram

PORTS = Ports(plain=1001, controller=1002, sasl=1003)


def node(tmp_path: Path, *, nodes: int = 1, sasl: Scram | None = None, **extra: str) -> Node:
    peers = {number + 1: 1002 + 10 * number for number in range(nodes)}
    return Node(
        1, tmp_path / "node-1", PORTS, peers, sasl, {key.replace("_", "."): value for key, value in extra.items()}
    )


def test_one_node_asks_for_no_second_replica(tmp_path: Path) -> None:
    settings = node(tmp_path).settings()
    replicated = {key: value for key, value in settings.items() if "replication.factor" in key or "min.isr" in key}
    assert len(replicated) == 6
    assert set(replicated.values()) == {"1"}
    assert settings["min.insync.replicas"] == "1"


def test_three_nodes_know_each_other_and_survive_the_loss_of_one(tmp_path: Path) -> None:
    settings = node(tmp_path, nodes=3).settings()
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:1002,2@127.0.0.1:1012,3@127.0.0.1:1022"
    assert (settings["default.replication.factor"], settings["min.insync.replicas"]) == ("3", "2")
    assert settings["transaction.state.log.min.isr"] == "2"


def test_every_listener_is_on_the_loopback_interface(tmp_path: Path) -> None:
    settings = node(tmp_path, sasl=Scram({"u": "p"})).settings()
    for listeners in (settings["listeners"], settings["advertised.listeners"]):
        assert all(re.search(r"://127\.0\.0\.1:100\d$", each) for each in listeners.split(","))
    assert "SASL://" not in node(tmp_path).settings()["listeners"]


def test_settings_of_the_caller_win(tmp_path: Path) -> None:
    assert node(tmp_path, num_io_threads="9").settings()["num.io.threads"] == "9"


def test_files_hold_the_settings_and_the_place_of_the_log(tmp_path: Path) -> None:
    each = node(tmp_path)
    each.write()
    lines = each.properties_file.read_text().splitlines()
    assert "auto.create.topics.enable=false" in lines
    assert f"log.dirs={tmp_path / 'node-1' / 'data'}" in lines
    assert f"appender.file.fileName = {each.log_file}" in (each.folder / "log4j2.properties").read_text()
    assert each.cluster_id is None
    (each.folder / "data").mkdir()
    (each.folder / "data" / "meta.properties").write_text("#\n#Sat Nov 21\nnode.id=1\ncluster.id=ETyz-A\n")
    assert each.cluster_id == "ETyz-A"


def test_password_reaches_the_storage_tool_salted_only(tmp_path: Path) -> None:
    arguments = node(tmp_path, sasl=Scram({"u": "pass,word"})).format_arguments("cluster")
    credentials = [each for each in arguments if each.startswith("SCRAM-SHA-256=")]
    match = re.fullmatch(
        r'SCRAM-SHA-256=\[name="u",salt="(.*)",saltedpassword="(.*)",iterations=(\d+)\]', credentials[0]
    )
    assert match is not None
    assert not [each for each in arguments if "pass,word" in each]
    expected = hashlib.pbkdf2_hmac("sha256", b"pass,word", base64.b64decode(match[1]), int(match[3]))
    assert base64.b64decode(match[2]) == expected


def test_passwords_are_not_shown() -> None:
    assert "secret" not in repr(Scram({"u": "secret"}))


def test_a_random_cluster_id_may_begin_with_a_hyphen(tmp_path: Path) -> None:
    """Kafka's tool takes `-t -abc` for two options."""
    assert "--cluster-id=-abc" in node(tmp_path).format_arguments("-abc")
