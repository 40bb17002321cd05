"""The mutants: what stands in the head of each patch.

A patch is a unified diff against the repository, with only as much context as it takes to name one place, below lines
such as

    # Bug: A snapshot row overwrites a live event of its session.
    # Caught-by: tests/integration/bridge/test_verdicts.py::test_rows_that_come_late
    # Verdict: state_differs out_of_order

Every test named must fail. With a verdict it must fail because the oracle said one of these words of its report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
_HEAD = re.compile(r"^# ([A-Z][a-z-]+): (.+)$")
_KNOWN = {"Bug", "Caught-by", "Verdict"}


class MutantError(ValueError):
    """A patch that says too little, does not apply, or cannot be judged; the message names it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug.

    Attributes:
        name: of the file, without its suffix.
        path: the patch.
        bug: what is wrong, a sentence.
        tests: node ids, `path::function` or `path::function[parameters]`.
        verdict: faults of the oracle's report, one of which must be the reason; none if another assertion catches it.
        changed: lines that the patch adds or takes away.
        places: file and text that each part of the patch replaces, as they must be found there, once.
    """

    name: str
    path: Path
    bug: str
    tests: tuple[str, ...]
    verdict: tuple[str, ...]
    changed: int
    places: tuple[tuple[str, str], ...]


def read(path: Path) -> Mutant:
    """One mutant from its patch.

    Raises:
        MutantError: the head lacks something.
    """
    head, found, diff = path.read_text(encoding="utf-8").partition("--- a/")
    told: dict[str, list[str]] = {}
    for line in head.splitlines():
        match = _HEAD.match(line)
        if match is None or match[1] not in _KNOWN:
            raise MutantError(f"{path.name}: cannot read {line!r}; known: {', '.join(sorted(_KNOWN))}")
        told.setdefault(match[1], []).append(match[2])
    if not found or not told.get("Bug") or not told.get("Caught-by"):
        raise MutantError(f"{path.name}: needs a line `# Bug:`, a line `# Caught-by:` and a diff below them")
    verdict = tuple(word for line in told.get("Verdict", ()) for word in line.split())
    changed = sum(line.startswith(("+", "-")) and not line.startswith(("+++", "---")) for line in diff.splitlines())
    places = tuple(_places(found + diff))
    return Mutant(path.stem, path, " ".join(told["Bug"]), tuple(told["Caught-by"]), verdict, changed, places)


def _places(diff: str) -> Iterator[tuple[str, str]]:
    for file in diff.split("--- a/")[1:]:
        name, _, hunks = file.partition("\n")
        for hunk in re.split(r"^@@ .*\n", hunks, flags=re.MULTILINE)[1:]:
            yield name, "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in " -")


def mutants(names: list[str] | None = None) -> list[Mutant]:
    """All mutants by name, or those named.

    Raises:
        MutantError: there is none of that name, or one cannot be read.
    """
    known = {path.stem: path for path in sorted(FOLDER.glob("*.patch"))}
    for name in names or ():
        if name not in known:
            raise MutantError(f"there is no mutant {name}; known: {', '.join(known)}")
    return [read(known[name]) for name in names or known]
