"""Every mutant can be planted in the tree as it is, is small, and names tests that exist; `make mutants` runs them."""

from __future__ import annotations

import ast
import functools
import subprocess
from pathlib import Path

import pytest

from bridge.oracle.report import FAULTS
from tests.mutants.catalogue import FOLDER, ROOT, Mutant, MutantError, mutants, read
from tests.mutants.trial import Outcome, complaint

ALL = mutants()
SMALL = 8
"""Lines taken away and added; most mutants need two."""


@functools.cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_mutant_applies_is_small_and_names_what_exists(mutant: Mutant) -> None:
    check = subprocess.run(  # noqa: S603
        ["/usr/bin/env", "git", "apply", "--unidiff-zero", "--check", str(mutant.path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert check.returncode == 0, f"{check.stderr}the code has moved on: write tests/mutants/{mutant.path.name} anew"
    assert 0 < mutant.changed <= SMALL
    found = [(ROOT / file).read_text(encoding="utf-8").count(text) for file, text in mutant.places]
    assert set(found) == {1}, "each part of a patch fits one place"
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert name.partition("[")[0] in functions(ROOT / path), test
    assert set(mutant.verdict) <= set(FAULTS)


def test_there_are_enough_and_the_oracle_catches_most() -> None:
    assert len(ALL) >= 20
    assert sum(bool(mutant.verdict) for mutant in ALL) >= 12


def test_a_patch_that_says_too_little_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "silent.patch"
    path.write_text("# Bug: it is wrong\n--- a/bridge/x.py\n", encoding="utf-8")
    with pytest.raises(MutantError, match=r"silent\.patch: needs a line `# Bug:`, a line `# Caught-by:`"):
        read(path)
    path.write_text("# Bug: it is wrong\n# Seen-by: nobody\n--- a/bridge/x.py\n", encoding="utf-8")
    with pytest.raises(MutantError, match="cannot read '# Seen-by: nobody'"):
        read(path)
    with pytest.raises(MutantError, match="there is no mutant nobody"):
        mutants(["nobody"])


def mutant(*tests: str, verdict: tuple[str, ...] = ()) -> Mutant:
    return Mutant("m", FOLDER / "m.patch", "a bug", tests, verdict, 2, ())


def test_only_a_failed_test_catches_a_mutant() -> None:
    one, two = "tests/a.py::test_one", "tests/a.py::test_two"
    failed = Outcome(1, frozenset({two}), {f"{one}[x]": "AssertionError: [Counter({'lost': 3})]"})
    assert complaint(mutant(one), failed) is None
    assert complaint(mutant(one, verdict=("lost", "invented")), failed) is None
    assert complaint(mutant(one, verdict=("invented",)), failed) == (
        f"{one} failed, but not by the oracle's verdict (invented)"
    )
    assert complaint(mutant(one, two), failed) == f"{two} did not fail"
    assert complaint(mutant(one), Outcome(0, frozenset({one}))) == "pytest ended with status 0"
    crashed = Outcome(2, frozenset(), {one: "ImportError"})
    assert complaint(mutant(one), crashed) == "pytest ended with status 2"


def test_the_documents_list_every_mutant() -> None:
    told = (ROOT / "docs/proof.md").read_text(encoding="utf-8").partition("## Mutants\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in told.splitlines() if line.startswith("| ")]
    assert rows[1:] == [each.bug for each in ALL]
