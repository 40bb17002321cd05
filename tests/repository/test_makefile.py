"""The one door: the verbs of the Makefile, and the locked environment they make."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
LOCK = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def locked() -> dict[str, list[Requirement]]:
    """Pinned requirements by name; one name may have several, for several platforms."""
    found: dict[str, list[Requirement]] = {}
    for block in re.split(r"\n(?=\S)", LOCK.strip()):
        requirement = Requirement(block.partition("\\\n")[0].strip())
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def wanted() -> list[Requirement]:
    project = PROJECT["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
        *PROJECT["dependency-groups"]["dev"],
    ]
    return [Requirement(line) for line in lines]


def test_help_lists_every_verb_and_each_can_be_made() -> None:
    told = subprocess.run(["/usr/bin/env", "make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    verbs = re.findall(r"^  make (\S+)", told, re.MULTILINE)
    phony = re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)[0].split()
    assert sorted(verbs) == sorted(phony)
    for verb in verbs:
        dry = subprocess.run(  # noqa: S603 - verbs of our own Makefile
            ["/usr/bin/env", "make", "-n", verb], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert dry.returncode == 0, dry.stderr


def test_the_verbs_run_what_exists() -> None:
    for module in re.findall(r"python -m (tools\.\w+|tests\.\w+)", MAKEFILE):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module


def test_continuous_integration_runs_the_test_command_of_people() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert script.rstrip().endswith("exec make test")
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_everything_installed_is_pinned_and_verified_by_hash() -> None:
    for block in re.split(r"\n(?=\S)", LOCK.strip()):
        head, _, hashes = block.partition("\\\n")
        assert re.search(r"==[^=]", head), head
        assert re.fullmatch(r"(\s*--hash=sha256:[0-9a-f]{64}( \\\n)?)+", hashes), head


def test_the_lock_names_no_place_to_fetch_from() -> None:
    assert not re.search(r"://|--(extra-)?index-url|--find-links|@ file", LOCK)


def test_the_lock_has_what_the_project_asks_for() -> None:
    pins = locked()
    for requirement in wanted():
        found = pins.get(canonicalize_name(requirement.name), [])
        assert found, f"{requirement.name} is not in requirements-dev.txt: make lock"
        versions = {str(pin.specifier).removeprefix("==") for pin in found}
        assert all(requirement.specifier.contains(version) for version in versions), (requirement, versions)
