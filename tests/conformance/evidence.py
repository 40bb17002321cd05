"""What a test did, saw and could not show, for one or more points of the checklist; and the report made of it."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conformance.checklist import CHECKLIST, PACE
from tests.conformance.tap import Line, Tap

CAVEATS = """
Everything was done against the simulator of this repository, which is built from public documents: it shows what the
client does, not what the service answers.

Limits that the service does not publish (its tolerance of missing heartbeats, its close codes, the form of a split
snapshot) are the simulator's guesses; the client accepts every form that is known.

Kafka has no part in this: the client is the bridge's source side and reconciler. That a restart restores what was
published, and that vanished entities are deleted, is shown by the integration tests.
"""
"""What holds for the whole report."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure: `limit` says what it must be, `kept` whether it is (None if there is no limit)."""

    what: str
    value: float
    unit: str
    limit: str = ""
    kept: bool | None = None


@dataclass(slots=True)
class Evidence:
    """Collected by one test.

    Attributes:
        points: the numbers of the checklist that it shows.
        test: its name.
        passed: whether it did.
        seconds: it took.
        did: what was done and seen, in sentences.
        measures: figures.
        transcript: lines of the wire.
        unproven: what the simulator cannot show.
    """

    points: tuple[str, ...]
    test: str
    passed: bool = False
    seconds: float = 0.0
    did: list[str] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)

    def measured(self, what: str, value: float, unit: str = "s", *, most: float | None = None) -> None:
        """Keep a figure; where times count it must not exceed its limit. A slow machine breaks no quick test."""
        if most is None:
            self.measures.append(Measure(what, round(value, 3), unit))
            return
        kept = value <= most
        self.measures.append(Measure(what, round(value, 3), unit, f"at most {most:g}", kept))
        assert kept or not PACE.real, f"{what}: {value:.3f} {unit}, at most {most:g}"

    def show(self, tap: Tap, lines: Iterable[Line], most: int = 24) -> None:
        """Keep some lines of the wire, the first ones if there are too many."""
        chosen = sorted(lines, key=lambda line: line.at)
        since = tap.lines[0].at if tap.lines else 0.0
        self.transcript += [line.shown(since) for line in chosen[:most]]
        if len(chosen) > most:
            self.transcript.append(f"... and {len(chosen) - most} more")


def point(*numbers: str) -> Callable[[Any], Any]:
    """Marks a test as showing points of the checklist."""
    return pytest.mark.point(*numbers)


def report(collected: list[Evidence]) -> dict[str, Any]:
    """The report as plain data, one entry for each point; `passed` only if every test of the point did."""
    return {
        "product": "syncbridge",
        "version": importlib.metadata.version("syncbridge"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "against": "syncbridge simulate",
        "pace": "the product's own" if PACE.real else "quick: times are shown, not judged",
        "passed": all(_passed(number, collected) for number in CHECKLIST),
        "caveats": [" ".join(paragraph.split()) for paragraph in CAVEATS.split("\n\n")],
        "points": [
            {
                "point": number,
                "group": group,
                "requirement": text,
                "passed": _passed(number, collected),
                "evidence": [asdict(each) for each in collected if number in each.points],
            }
            for number, (group, text) in CHECKLIST.items()
        ],
    }


def _passed(number: str, collected: list[Evidence]) -> bool:
    mine = [each.passed for each in collected if number in each.points]
    return bool(mine) and all(mine)


def markdown(made: dict[str, Any]) -> str:
    """The report for people."""
    points = made["points"]
    lines = [
        "# Conformance of a client of user/syncrequest",
        "",
        f"{made['product']} {made['version']}, {made['date']}, {made['platform']}.",
        f"Tried against `{made['against']}`; pace: {made['pace']}.",
        "",
        f"**{sum(p['passed'] for p in points)} of {len(points)} points passed.**",
        "",
        "| point | group | requirement | result |",
        "|---|---|---|---|",
        *(f"| {p['point']} | {p['group']} | {p['requirement']} | {_word(p['passed'])} |" for p in points),
        "",
        "## What this cannot prove",
        "",
        *(f"* {caveat}" for caveat in made["caveats"]),
    ]
    shown: set[str] = set()
    for each in points:
        lines += ["", f"## {each['point']} {each['requirement']}", "", f"Result: {_word(each['passed'])}."]
        for evidence in each["evidence"]:
            lines += ["", *_evidence(evidence, again=evidence["test"] in shown)]
            shown.add(evidence["test"])
    return "\n".join(lines) + "\n"


def _evidence(evidence: dict[str, Any], *, again: bool) -> list[str]:
    head = f"`{evidence['test']}`, {evidence['seconds']:.1f} s"
    if again:
        return [f"{head}: see point {evidence['points'][0]}."]
    lines = [f"{head}:", "", *(f"* {sentence}" for sentence in evidence["did"])]
    lines += [f"* Measured: {_measure(figure)}" for figure in evidence["measures"]]
    lines += [f"* Not proven: {sentence}" for sentence in evidence["unproven"]]
    if evidence["transcript"]:
        lines += ["", "```", *evidence["transcript"], "```"]
    return lines


def _measure(figure: dict[str, Any]) -> str:
    limit = f" ({figure['limit']})" if figure["limit"] else ""
    return f"{figure['what']} {figure['value']:g} {figure['unit']}{limit}"


def _word(passed: bool) -> str:
    return "passed" if passed else "**not passed**"


def write(collected: list[Evidence], folder: Path) -> dict[str, Any]:
    """Write `conformance.md` and `conformance.json`; gives the report."""
    made = report(collected)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "conformance.json").write_bytes(orjson.dumps(made, option=orjson.OPT_INDENT_2))
    (folder / "conformance.md").write_text(markdown(made), encoding="utf-8")
    return made
