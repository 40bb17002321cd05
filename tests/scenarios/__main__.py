"""`python -m tests.scenarios [NAME ...] [--small] [--list]`: plays scenarios and prints their figures."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import traceback
import uuid
from pathlib import Path

from bridge.devkit.kafka import EmbeddedKafka
from tests.scenarios.registry import Ground, Scenario, line, scenarios


async def play(chosen: list[Scenario], *, small: bool) -> list[str]:
    """Play one after the other; gives the names of those that failed."""
    failed = []
    kafka = EmbeddedKafka()
    await kafka.start()
    try:
        for each in chosen:
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                ground = Ground(kafka, f"oracle.{uuid.uuid4().hex[:12]}", Path(folder), small)
                try:
                    figures = dict(await each.play(ground))
                except Exception:  # noqa: BLE001 - a scenario may fail in any way; the others are played all the same
                    failed.append(each.name)
                    traceback.print_exc()
                    print(f"{each.name}: FAILED", flush=True)
                    continue
            figures["seconds"] = round(time.monotonic() - began, 1)
            print(line(each.name, figures), json.dumps(figures), sep="\n", flush=True)
    finally:
        await kafka.stop()
    return failed


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
    chosen = [each for name, each in known.items() if (not given.names or name in given.names)]
    if given.small:
        chosen = [each for each in chosen if each.small]
    if given.list:
        for each in chosen:
            print(f"{each.name:16} {each.what}")
        return
    failed = asyncio.run(play(chosen, small=given.small))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
