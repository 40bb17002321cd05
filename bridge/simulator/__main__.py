"""`python -m bridge.simulator`: every option is a flag of the same name."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import structlog

from bridge.simulator.director import load, shipped
from bridge.simulator.faults import KINDS, FaultError
from bridge.simulator.options import OptionError, Options
from bridge.simulator.run import Course, run
from bridge.simulator.scenario import Scenario, ScenarioError, fault_of, parse


def _kind(hint: Any) -> Any:
    choices = [c for c in get_args(hint) if c is not type(None)] or [hint]
    return str if isinstance(choices[0], str) else choices[0]


def parser() -> argparse.ArgumentParser:
    """The command line, made from the options. Those that are not given are absent, so that a scenario's hold."""
    made = argparse.ArgumentParser(
        prog="syncbridge simulate",
        description="A fake Tradovate to test clients with. A client needs nothing but the addresses it prints.",
        argument_default=argparse.SUPPRESS,
    )
    hints = get_type_hints(Options)
    for option in fields(Options):
        flag, kind, words = "--" + option.name.replace("_", "-"), _kind(hints[option.name]), f"default {option.default}"
        if kind is bool:
            made.add_argument(flag, action=argparse.BooleanOptionalAction, help=words)
        else:
            made.add_argument(flag, type=kind, help=words)
    made.add_argument(
        "--fault", action="append", default=[], metavar="KIND[:name=value,...]",
        help=f"arms a fault; it ends with 1 if one has not fired. KIND is one of {', '.join(KINDS)}",
    )  # fmt: skip
    made.add_argument("--ledger", type=Path, default=None, metavar="FOLDER", help="writes the ledger there in the end")
    made.add_argument("--scenario", help="a file, or the name of a shipped scenario; ends with 1 if it fails")
    made.add_argument("--speed", type=float, default=1.0, help="divides the waits of the scenario")
    made.add_argument("--stay", action="store_true", default=False, help="go on serving when the scenario is over")
    made.add_argument("--list-scenarios", action="store_true", default=False, help="name the shipped ones and end")
    made.add_argument("--shards", type=int, default=0, help="number of shards to recommend to clients")
    made.add_argument("--parent-pid", type=int, default=None, help="end when this process is no longer the parent")
    made.add_argument("--verbose", action="store_true", default=False, help="log one line for each socket")
    return made


def main(words: Sequence[str] | None = None) -> None:
    """Reads the command line (or the given words) and serves.

    Exits with 2 on a usage error, and with 1 if the scenario has failed.
    """
    arguments = vars(parser().parse_args(words))
    _log(verbose=arguments.pop("verbose"))
    if arguments.pop("list_scenarios"):
        for name, text in shipped().items():
            sys.stdout.write(f"{name:16} {parse(text).title}\n")
        return
    try:
        course, chosen = _course(arguments)
        options = Options(**{**chosen, **arguments})
    except (OptionError, ScenarioError, FaultError, TypeError) as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(2)
    outcome = asyncio.run(run(options, course))
    if outcome is not None and not outcome.ok:
        sys.stderr.write(f"the scenario has failed: {'; '.join(outcome.problems)}\n")
        sys.exit(1)


def _course(arguments: dict[str, Any]) -> tuple[Course, dict[str, Any]]:
    """Takes what is no option out of the arguments: how the run goes, and the scenario's options."""
    name = arguments.pop("scenario", None)
    scenario = load(name) if name is not None else None
    taken = {key: arguments.pop(key) for key in ("ledger", "parent_pid", "shards", "speed", "stay")}
    taken["faults"] = tuple(map(fault_of, arguments.pop("fault")))
    if taken["speed"] <= 0:
        raise OptionError("speed is greater than 0")
    if taken["faults"] and scenario is None:
        scenario = Scenario("Faults given by flags", {}, ())
    return Course(scenario=scenario, **taken), scenario.options if scenario else {}


def _log(*, verbose: bool) -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO if verbose else logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    main()
