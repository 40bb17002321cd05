"""`python -m tests.scenarios [NAME ...] [--small] [--list]`: plays scenarios and prints their figures.

Each in a process and on a Kafka of its own; two at once, but for those that judge how fast something is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from bridge.devkit.kafka import EmbeddedKafka
from tests.scenarios.registry import Ground, Scenario, line, scenarios

LANES = 2


async def play(chosen: Scenario, *, small: bool) -> None:
    """Play it here."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its readers tell every try while Kafka is away
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedKafka() as kafka:
            ground = Ground(kafka, f"oracle.{uuid.uuid4().hex[:12]}", Path(folder), small)
            figures = dict(await chosen.play(ground))
    figures["seconds"] = round(time.monotonic() - began, 1)
    print(line(chosen.name, figures), json.dumps(figures), sep="\n", flush=True)


async def play_all(chosen: list[Scenario], *, small: bool) -> list[str]:
    """Play all, the longest first; gives the names of those that failed."""
    failed = []

    async def lane(waiting: Iterable[Scenario]) -> None:
        for each in waiting:
            print(f"{each.name}: begins" + ("" if small else f", {each.minutes} min or so"), flush=True)
            if await apart(each.name, *(["--small"] if small else [])):
                print(f"{each.name}: FAILED", flush=True)
                failed.append(each.name)

    longest_first = sorted(chosen, key=lambda each: -each.minutes)
    await lane(each for each in longest_first if each.paced)
    together = iter([each for each in longest_first if not each.paced])
    await asyncio.gather(*(lane(together) for _ in range(LANES)))
    return failed


async def apart(*arguments: str) -> int:
    """This program once more, in a process of its own; its exit status."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.scenarios", *arguments)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def main() -> None:
    """Exit 1 if one of them failed."""
    known = scenarios()
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--small", action="store_true", help="scaled down")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in known]
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [each for name, each in known.items() if not given.names or name in given.names]
    if given.small:
        chosen = [each for each in chosen if each.small]
    if given.list:
        for each in chosen:
            print(f"{each.name:16} {each.minutes:2} min  {each.what}")
    elif len(chosen) == 1:
        asyncio.run(play(chosen[0], small=given.small))
    elif failed := asyncio.run(play_all(chosen, small=given.small)):
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
