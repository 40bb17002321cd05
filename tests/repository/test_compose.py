"""docker-compose.yml, Dockerfile and deploy/ fit the Compose Specification, each other and the program."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bridge.config import load
from bridge.operate.collector import DRIFT
from bridge.operate.metrics import METRICS

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SCHEMA = json.loads((ROOT / "tests/repository/compose.schema.json").read_text(encoding="utf-8"))
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/syncbridge.json").read_text(encoding="utf-8"))
OURS = ("bridge", "topics", "simulator")


def test_file_fits_the_specification() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(COMPOSE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("services", "kafka", "enviroment"), {}),
        (("services", "kafka", "ports"), ["9092:9092"]),
        (("services", "kafka", "environment", "KAFKA_NODE_ID"), 1),
        (("services", "kafka", "image"), "apache/kafka"),
        (("services", "bridge", "depends_on", "topics", "condition"), "healthy"),
        (("services", "bridge", "restart"), False),
        (("service",), {}),
    ],
)
def test_schema_refuses_mistakes(path: tuple[str, ...], value: Any) -> None:
    broken = json.loads(json.dumps(COMPOSE))
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(broken)


def test_dependencies_exist_can_be_met_and_have_no_circle() -> None:
    def check(name: str, above: tuple[str, ...]) -> None:
        assert name not in above
        for other, how in SERVICES[name].get("depends_on", {}).items():
            target = SERVICES[other]
            if how["condition"] == "service_healthy":
                assert "test" in target["healthcheck"], f"{name} waits for the health of {other}, which has no check"
            if how["condition"] == "service_completed_successfully":
                assert target["restart"] == "no", f"{name} waits for the end of {other}, which never ends"
            if target.get("profiles", []) != SERVICES[name].get("profiles", []):
                assert how["required"] is False, f"{name} needs {other}, which may not be there"
            check(other, (*above, name))

    for name in SERVICES:
        check(name, ())


def test_no_port_of_this_machine_is_given_twice() -> None:
    taken = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(taken) == len(set(taken))


def test_mounted_files_and_volumes_exist_and_every_volume_is_used() -> None:
    sources = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    named = {source for source in sources if not source.startswith(".")}
    assert named == set(COMPOSE["volumes"])
    for source in set(sources) - named:
        assert (ROOT / source).exists(), source
    for service in SERVICES.values():
        for file in service.get("env_file", ()):
            assert (ROOT / file["path"]).exists() or file["required"] is False


def test_addresses_between_services_name_services_and_ports_that_listen() -> None:
    """`host:port` of a service in any setting must be a port on which that service can be found."""
    listening = {
        "kafka": {"19092", "9092", "9093"},
        "schema-registry": {"8081"},
        "simulator": {"8095"},
        "prometheus": {"9090"},
        "bridge": {"8080"},
    }
    texts = [json.dumps(SERVICES), *(path.read_text(encoding="utf-8") for path in (ROOT / "deploy").rglob("*.[ye]*"))]
    found = {match for text in texts for match in re.findall(rf"\b({'|'.join(SERVICES)}):(\d{{4,5}})\b", text)}
    assert {host for host, _ in found} >= {"kafka", "schema-registry", "simulator", "prometheus", "bridge"}
    for host, port in found:
        assert port in listening[host], f"{host}:{port}"


def test_bridge_accepts_the_settings_it_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    lines = (ROOT / "deploy/simulator.env").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert given
    for name, value in (given | SERVICES["bridge"]["environment"]).items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.source.rest_url == "http://simulator:8095/v1"
    assert settings.kafka.bootstrap_servers == "kafka:19092"
    assert settings.registry.url == "http://schema-registry:8081"


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_built_here_from_files_that_exist(name: str) -> None:
    assert SERVICES[name]["build"] == "."
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    for source in " ".join(copies).split():
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored, f"{source} is copied into the image, but .dockerignore leaves it out"


def test_image_does_not_run_as_root() -> None:
    last_stage = (ROOT / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    assert re.search(r"^USER (?!root|0)\S+$", last_stage, re.MULTILINE)


def test_dashboard_asks_for_metrics_that_exist() -> None:
    kinds = {name: metric.kind for name, metric in METRICS.items()} | {DRIFT: "counter"}
    known = {
        name + suffix
        for name, kind in kinds.items()
        for suffix in {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}[kind]
    }
    asked = {
        name
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\bsyncbridge_\w+", target["expr"])
    }
    assert len(asked) > 10
    assert asked <= known


def test_dashboard_and_data_source_are_where_grafana_looks() -> None:
    provisioning = ROOT / "deploy/grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text(encoding="utf-8"))["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/syncbridge.yml").read_text(encoding="utf-8"))["providers"]
    assert {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel["targets"]} == {
        source["uid"]
    }
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
