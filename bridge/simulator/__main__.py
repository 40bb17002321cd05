"""`python -m bridge.simulator`: every option is a flag of the same name."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import structlog

from bridge.simulator.options import OptionError, Options
from bridge.simulator.run import run


def _kind(hint: Any) -> Any:
    choices = [c for c in get_args(hint) if c is not type(None)] or [hint]
    return str if isinstance(choices[0], str) else choices[0]


def parser() -> argparse.ArgumentParser:
    """The command line, made from the options."""
    made = argparse.ArgumentParser(prog="syncbridge simulate", description="A fake Tradovate to test clients with.")
    hints = get_type_hints(Options)
    for option in fields(Options):
        flag, kind = "--" + option.name.replace("_", "-"), _kind(hints[option.name])
        if kind is bool:
            made.add_argument(flag, action=argparse.BooleanOptionalAction, default=option.default)
        else:
            made.add_argument(flag, type=kind, default=option.default)
    made.add_argument("--shards", type=int, default=0, help="number of shards to recommend to clients")
    made.add_argument("--parent-pid", type=int, default=None, help="end when this process is no longer the parent")
    made.add_argument("--verbose", action="store_true", help="log one line for each socket")
    return made


def main(words: Sequence[str] | None = None) -> None:
    """Reads the command line (or the given words) and serves; exits with 2 on a usage error."""
    arguments = vars(parser().parse_args(words))
    parent_pid, shards = arguments.pop("parent_pid"), arguments.pop("shards")
    level = logging.INFO if arguments.pop("verbose") else logging.WARNING
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        options = Options(**arguments)
    except OptionError as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(2)
    asyncio.run(run(options, parent_pid=parent_pid, shards=shards))


if __name__ == "__main__":
    main()
