"""`python -m tests.mutants [NAMES] [--jobs N]`: exits 0 only if every mutant is caught, and nothing else is.

The same tests must pass in a copy without any mutant, or their failure would prove nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.mutants.catalogue import Mutant, MutantError, mutants
from tests.mutants.trial import Outcome, attempt, complaint

UNHARMED = "(no mutant)"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table; `trouble` is None if all is as it must be."""

    name: str
    what: str
    by: str
    seconds: float
    trouble: str | None
    tail: str = ""


async def try_one(mutant: Mutant) -> Line:
    """Plant one mutant and run its tests."""
    by = "the oracle" if mutant.verdict else "a test"
    try:
        outcome = await attempt(mutant.tests, mutant)
    except MutantError as error:
        return Line(mutant.name, mutant.bug, by, 0.0, str(error))
    trouble = complaint(mutant, outcome)
    return Line(mutant.name, mutant.bug, by, outcome.seconds, trouble, outcome.tail if trouble else "")


async def try_none(tests: tuple[str, ...]) -> Line:
    """The same tests in an unharmed copy."""
    outcome: Outcome = await attempt(tests)
    what = f"{len(outcome.passed)} tests pass in an unharmed copy"
    if outcome.status or outcome.failed:
        failed = ", ".join(outcome.failed) or f"status {outcome.status}"
        return Line(UNHARMED, what, "", outcome.seconds, f"fails without a mutant: {failed}", outcome.tail)
    return Line(UNHARMED, what, "", outcome.seconds, None)


async def try_all(chosen: list[Mutant], jobs: int, console: Console) -> list[Line]:
    """All of them, some beside each other; in the order of the table."""
    turn = asyncio.Semaphore(jobs)
    tests = tuple(dict.fromkeys(test for mutant in chosen for test in mutant.tests))

    async def in_turn(mutant: Mutant | None) -> Line:
        async with turn:
            line = await (try_none(tests) if mutant is None else try_one(mutant))
        console.print(
            f"{'ok  ' if line.trouble is None else 'FAIL'} {line.name} ({line.seconds:.0f} s)", highlight=False
        )
        return line

    return list(await asyncio.gather(*(in_turn(mutant) for mutant in (None, *chosen))))


def show(lines: list[Line], seconds: float, console: Console) -> None:
    """The table, and what pytest said about those that were not caught."""
    table = Table("mutant", "bug", "caught by", "s")
    for line in lines:
        verdict = f"[red]{line.trouble}[/red]" if line.trouble else line.by
        table.add_row(line.name, line.what, verdict, f"{line.seconds:.0f}")
    console.print(table)
    for line in lines:
        if line.tail:
            console.rule(line.name)
            console.print(line.tail, markup=False, highlight=False)
    alive = sum(line.trouble is not None for line in lines)
    console.print(f"{len(lines) - alive} of {len(lines)} as they must be, {seconds:.0f} s")


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to try; all if none is named")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (default 2); each may start a Kafka")
    arguments = parser.parse_args()
    console = Console()
    try:
        chosen = mutants(arguments.names)
    except MutantError as error:
        console.print(str(error), markup=False)
        return 2
    began = time.monotonic()
    lines = asyncio.run(try_all(chosen, max(1, arguments.jobs), console))
    show(lines, time.monotonic() - began, console)
    return int(any(line.trouble is not None for line in lines))


if __name__ == "__main__":
    raise SystemExit(main())
