"""The wheel holds all that the program needs, and works without this folder."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from bridge.speed import choice

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
from bridge.app import implementation
from bridge.speed.choice import IMPLEMENTATION
assert IMPLEMENTATION.capitalize() in implementation.ENCODER.__name__ or IMPLEMENTATION == "pure"
print(schemas.released_versions(), len(CATALOGUE), len(pinned()), IMPLEMENTATION)
"""
COMPILER = shutil.which(shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0])


def built(folder: Path, **environment: str) -> tuple[zipfile.ZipFile, str]:
    """A wheel, and what was said when it was built."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    wanted = {name: value for name, value in os.environ.items() if name != "SYNCBRIDGE_PURE"} | environment
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=wanted)  # noqa: S603
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path), done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return built(tmp_path_factory.mktemp("dist"))[0]


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
        if not name.startswith(("bridge/", "syncbridge-"))
        or "__pycache__" in name
        or name.endswith((".pyc", ".c", ".h"))
    ]
    assert strangers == []


def test_it_has_the_command(wheel: zipfile.ZipFile) -> None:
    (name,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
    assert "syncbridge = bridge.cli:main" in wheel.read(name).decode()


def probed(wheel: zipfile.ZipFile, folder: Path) -> str:
    """What the probe says of the unpacked wheel."""
    wheel.extractall(folder)
    environment = {name: value for name, value in os.environ.items() if name != "SYNCBRIDGE_PURE"}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-P", "-c", PROBE, str(folder)],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_schemas_are_found_from_the_unpacked_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    assert probed(wheel, tmp_path).startswith("(1, 2) 61 46 ")


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
def test_with_a_compiler_it_holds_the_accelerator_for_every_later_python(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    assert "-cp311-abi3-" in str(wheel.filename)
    assert "bridge/speed/_native.abi3.so" in wheel.namelist()
    assert probed(wheel, tmp_path).endswith(" compiled")


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"CC": "no-such-compiler"}, "no C compiler could be run"),
        ({"CC": f"{sys.executable} -c 1/0"}, "the C compiler failed"),
        ({"SYNCBRIDGE_PURE": "1"}, "SYNCBRIDGE_PURE is set"),
    ],
    ids=["none", "broken", "not wanted"],
)
def test_without_a_compiler_it_is_pure_says_so_and_works(
    environment: dict[str, str], told: str, tmp_path: Path
) -> None:
    (tmp_path / "dist").mkdir()
    wheel, said = built(tmp_path / "dist", **environment)
    assert told in said
    assert str(wheel.filename).endswith("-py3-none-any.whl")
    assert not [name for name in wheel.namelist() if name.endswith(".so")]
    assert probed(wheel, tmp_path).endswith(" pure")


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
def test_the_accelerator_in_this_folder_is_built_of_its_sources() -> None:
    assert choice.REASON in {"compiled", "SYNCBRIDGE_PURE is set"}, "run `make venv`"
