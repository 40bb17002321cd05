"""docs/simulator.md names every option, fault and control endpoint, and nothing that does not exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from bridge.oracle.report import FAULTS
from bridge.simulator.control import ROUTES
from bridge.simulator.faults import KINDS
from bridge.simulator.options import FIXED, Options

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_options() -> None:
    names = {f.name for f in fields(Options)}
    rows = "".join(line.split("|")[1] for line in section("Options").splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", rows)) == names
    assert set(re.findall(r"`(\w+)`\*", rows)) == FIXED


def test_faults() -> None:
    rows = [line for line in section("Faults").splitlines() if line.startswith("|") and "`" in line]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(KINDS)
    for kind in KINDS.values():
        assert any(kind.point in row.split("|")[1] for row in rows)


def test_endpoints() -> None:
    documented = {(method, path) for method, path in re.findall(r"(GET|POST|DELETE)\s/(sim[\w/]*)", TEXT)}
    shown = {(method, "sim/options") for method in ("GET", "POST")}
    assert documented | shown | {("GET", "sim/ledger")} == set(ROUTES)


def test_the_table_of_switches_is_complete_and_true() -> None:
    lines = section("What it can do, and which test shows it").splitlines()
    rows = [cells for line in lines if len(cells := line.split(" | ")) == 3][1:]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    world = {"seed", "accounts", "rate", "name", "password", "host", "port", "certificate", "private_key"}
    assert named == ({f.name for f in fields(Options)} - world) | set(KINDS) | {"roll", "inject"}
    assert all("`test_" in row[2] for row in rows)


def test_what_a_verdict_can_say() -> None:
    """Each word with a test that makes the oracle say it."""
    rows = [line.split(" | ") for line in section("Verdict").splitlines() if line.startswith("| `")]
    assert {cells[0].strip("| `") for cells in rows} == set(FAULTS)
    assert all("`test_" in cells[2] for cells in rows)
