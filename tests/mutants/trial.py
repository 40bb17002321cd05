"""Tries one mutant, or none, in a copy of the tree of its own: the tests named, in a process of their own."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
import xml.etree.ElementTree as Xml
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants.catalogue import ROOT, Mutant, MutantError

COPIED = ("bridge", "schemas", "tests", "pyproject.toml")
LIMIT_S = 600.0
TESTS_FAILED = 1
"""pytest's status when tests ran and some failed; a crash, a usage error or nothing collected has another."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of some tests.

    Attributes:
        status: pytest's exit status.
        passed: names of tests as node ids.
        failed: why, by node id; only tests whose own call failed, not their fixtures.
        seconds: it took.
        tail: the end of what pytest printed.
    """

    status: int
    passed: frozenset[str]
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    tail: str = ""


def complaint(mutant: Mutant, outcome: Outcome) -> str | None:
    """Why a mutant was not caught; None if it was."""
    if outcome.status != TESTS_FAILED:
        return f"pytest ended with status {outcome.status}"
    for test in mutant.tests:
        reasons = [why for node, why in outcome.failed.items() if node == test or node.startswith(f"{test}[")]
        if not reasons:
            return f"{test} did not fail"
        if mutant.verdict and not any(f"'{word}'" in why for word in mutant.verdict for why in reasons):
            return f"{test} failed, but not by the oracle's verdict ({' or '.join(mutant.verdict)})"
    return None


async def attempt(tests: tuple[str, ...], mutant: Mutant | None = None) -> Outcome:
    """Run tests in a fresh copy, with the mutant planted there.

    Raises:
        MutantError: the patch does not apply, or the copy is not what Python imports.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        _copy(folder)
        if mutant is not None:
            await plant(mutant, folder)
        await _see_that_the_copy_wins(folder)
        began = time.monotonic()
        report = folder / "report.xml"
        status, said = await _python(folder, "-m", "pytest", "-q", f"--junitxml={report}", *tests)
        return _outcome(report, status, time.monotonic() - began, said)


async def plant(mutant: Mutant, folder: Path) -> None:
    """Apply a patch to the files of a folder.

    Raises:
        MutantError: it does not apply.
    """
    # Patches have no more context than it takes to name one place, so that they outlive changes around it.
    arguments = ["git", "apply", "--unidiff-zero", str(mutant.path)]
    # Inside a repository git would take the paths from its top, and skip what lies outside without a word.
    status, said = await _run(folder, arguments, {"GIT_CEILING_DIRECTORIES": str(folder.parent)})
    if status:
        raise MutantError(f"{mutant.name}: {said.strip()}; the code has moved on, write the patch anew")


def _copy(folder: Path) -> None:
    for part in COPIED:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)


async def _see_that_the_copy_wins(folder: Path) -> None:
    """The package is installed as editable, so a wrong path would try the tree instead, and find every mutant alive."""
    _, said = await _python(folder, "-c", "import bridge, tests; print(bridge.__file__, tests.__file__, sep='\\n')")
    places = [Path(line).resolve() for line in said.splitlines()]
    if len(places) != 2 or not all(place.is_relative_to(folder.resolve()) for place in places):
        raise MutantError(f"Python imports another tree than the copy in {folder}:\n{said}")


async def _python(folder: Path, *arguments: str) -> tuple[int, str]:
    environment = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["SYNCBRIDGE_PURE"] = "1"  # mutants are planted in the Python, which the accelerator would stand in for
    return await _run(folder, [sys.executable, *arguments], environment)


async def _run(folder: Path, command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(LIMIT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        raise MutantError(f"{' '.join(command)} did not end within {LIMIT_S:g} s") from None
    finally:
        if process.returncode is None:
            process.terminate()  # pytest ends what its fixtures have started
            await process.wait()
    return process.returncode or 0, said.decode(errors="replace")


def _outcome(report: Path, status: int, seconds: float, said: str) -> Outcome:
    tail = "\n".join(said.splitlines()[-30:])
    if not report.exists():
        return Outcome(status, frozenset(), {}, seconds, tail)
    passed: set[str] = set()
    failed: dict[str, str] = {}
    for case in Xml.parse(report).iter("testcase"):  # noqa: S314 - pytest's own file
        node = f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name']}"
        failure = case.find("failure")
        if failure is not None:
            failed[node] = f"{failure.attrib.get('message', '')}\n{failure.text or ''}"
        elif case.find("error") is None and case.find("skipped") is None:
            passed.add(node)
    return Outcome(status, frozenset(passed), failed, seconds, tail)
