"""The wheel holds all that the program needs, and works without this folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import pathlib, sys
import bridge
from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE
from bridge.devkit.jars import pinned
assert pathlib.Path(bridge.__file__).is_relative_to(sys.argv[1]), bridge.__file__
for name in CATALOGUE:
    schemas.envelope_schema(name), schemas.key_schema(name)
for name in ("State", "StateKey", "Event", "DeadLetter", "Unmapped", "ShardKey", "TypeKey"):
    schemas.control_schema(name)
print(schemas.released_versions(), len(CATALOGUE), len(pinned()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # noqa: S603
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_it_holds_the_schemas_the_types_and_every_module(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for path in (ROOT / "schemas").rglob("*.avsc"):
        assert f"bridge/_schemas/{path.relative_to(ROOT / 'schemas').as_posix()}" in names
    for path in [*(ROOT / "bridge").rglob("*.py"), *(ROOT / "bridge").rglob("*.toml")]:
        assert path.relative_to(ROOT).as_posix() in names
    assert {"bridge/py.typed", "bridge/devkit/kafka-4.3.1.lock"} <= names


def test_it_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    strangers = [
        name
        for name in wheel.namelist()
        if not name.startswith(("bridge/", "syncbridge-")) or "__pycache__" in name or name.endswith(".pyc")
    ]
    assert strangers == []


def test_it_has_the_command(wheel: zipfile.ZipFile) -> None:
    (name,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
    assert "syncbridge = bridge.cli:main" in wheel.read(name).decode()


def test_the_schemas_are_found_from_the_unpacked_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-P", "-c", PROBE, str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "(1, 2) 61 46"), done.stderr
