"""One process that plays spoilt sessions, batch after batch, and says what came of each as a line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE
from bridge.kafka.decode import RecordDecoder
from tests.fuzz import seeds
from tests.fuzz.pipeline import Pipeline, Script, Shaken, Tally
from tests.fuzz.scripts import kept, reduced, script

SESSIONS = 20
HANG_S = 60.0
CONTROL = ("ShardKey", "TypeKey", "Event", "DeadLetter", "Unmapped")


def decoder() -> RecordDecoder:
    """Of everything that the bridge writes."""
    known = [each(name) for name in CATALOGUE for each in (schemas.envelope_schema, schemas.key_schema)]
    return RecordDecoder([*known, *map(schemas.control_schema, CONTROL)], None)


async def failure(sessions: Sequence[Script], reads: RecordDecoder | None = None) -> str | None:
    """Play sessions one after the other on a new pipeline; what went wrong, None if nothing did."""
    pipeline = Pipeline(Tally())
    try:
        for each in sessions:
            await within(pipeline.play(each))
        if reads is not None:
            await pipeline.readable(reads)
    except Exception:  # noqa: BLE001 - any exception is what is looked for
        return traceback.format_exc()
    return None


async def within(work: Any) -> None:
    """A hang is an error like others: the alarm strikes wherever the work is."""

    def late(*_: object) -> None:
        raise Shaken(f"not done after {HANG_S:g} s")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        await work
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


async def batch(number: int, seed: str, transcripts: list[list[bytes]], reads: RecordDecoder) -> dict[str, Any]:
    """Play one batch; a failure is made as small as may be."""
    r, tally = Random(f"{seed}/{number}"), Tally()  # noqa: S311 - to be repeated, not to be secret
    pipeline, played = Pipeline(tally), []
    found: dict[str, Any] = {"batch": number}
    try:
        for _ in range(SESSIONS):
            played.append(script(r, transcripts))
            await within(pipeline.play(played[-1]))
        await pipeline.readable(reads)
    except Exception:  # noqa: BLE001 - any exception is what is looked for
        found |= {"error": traceback.format_exc(), "script": await smallest(played)}
    found |= {"digest": pipeline.digest.hexdigest(), "rss_kb": rss_kb(), "causes": tally.causes}
    return found | {"frames": tally.frames, "sessions": tally.sessions, "records": tally.records}


async def smallest(played: list[Script]) -> str:
    """The failing sessions as a file's text: the last one alone, if that is enough, without what is not needed."""
    sessions = played[-1:] if await failure(played[-1:]) else played
    *before, last = sessions

    async def fails(steps: Script) -> bool:
        return await failure([*before, steps]) is not None

    return kept([*before, await reduced(last, fails)])


def rss_kb() -> int:
    """Resident memory now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() // 1024


def main() -> None:
    """Play until the time is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=Path, required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    os.nice(5)
    transcripts, reads, until = seeds.read(given.seeds), decoder(), time.monotonic() + given.seconds
    number = 0
    while time.monotonic() < until:
        print(json.dumps(asyncio.run(batch(number, given.seed, transcripts, reads))), flush=True)
        number += 1


if __name__ == "__main__":
    main()
