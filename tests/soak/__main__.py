"""`python -m tests.soak [--minutes N] [--rate N] [--seed N] [--out FOLDER]`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import psutil

from bridge.devkit.kafka import EmbeddedKafka
from bridge.devkit.stage import StageFailed
from tests.integration.bridge.scene import Bridge, Scene, until
from tests.scenarios.churn import Churn
from tests.scenarios.common import accounts, scene
from tests.scenarios.registry import Ground
from tests.soak.flat import Sample, grows, growth, picture, table
from tests.soak.right import few, present, truth
from tests.soak.trouble import Trouble

SAMPLE_S, RECOVERY_S = 2.0, 240.0
DEADLY_SHARE = 0.2
"""In so much of the time the bridge is killed, too; what lives then has to stay flat."""
CALM_S = (1.0, 6.0)
MOST_FOR_THE_ORACLE = 120_000
"""Events; it keeps all of them, with all that was sent, some 10 kB each."""


class Soak:
    """One run."""

    def __init__(self, options: argparse.Namespace, made: Scene, kafka: EmbeddedKafka) -> None:
        self.options, self.made = options, made
        self.rng = Random(options.seed)  # noqa: S311 - a run is to be repeatable
        self.trouble = Trouble(made, kafka, self.rng, options.shards)
        self.samples: list[Sample] = []
        self.marks: list[tuple[float, str]] = []
        self.began = time.monotonic()

    async def run(self) -> dict[str, Any]:
        """Play it; gives the figures."""
        options, made = self.options, self.made
        await made.create_topics()
        async with Churn(made, await accounts(made), options.entities, seed=options.seed) as churn:
            await self.bridge_is_live()
            churn.go(options.rate)
            self.began = time.monotonic()
            sampling = asyncio.create_task(self._sample())
            try:
                await self._troubles(options.minutes * 60)
            finally:
                sampling.cancel()
                await asyncio.wait([sampling])
            seconds = time.monotonic() - self.began
            await churn.stop()
            await made.calm(made.bridges[-1])
            judged = await self._judged(churn.events)
            lost: Counter[str] = Counter()
            for shard in await made.bridges[-1].shards():
                lost.update(shard["lost"])
            return {
                "seconds": round(seconds), "events": churn.events, "events_a_second": round(churn.events / seconds),
                **judged,
                "lives": len(made.bridges), "faults": dict(Counter(self.trouble.happened).most_common()),
                "sessions_lost_by_the_last": dict(lost), **growth(self.last_life()),
            }  # fmt: skip

    async def _judged(self, events: int) -> dict[str, Any]:
        """The verdict: the oracle's over short runs, over all others that the end is right and no `seq` is missing."""
        deadline = time.monotonic() + RECOVERY_S
        while wrong := (found := await present(self.made)).wrong(await truth(self.made)):
            assert time.monotonic() < deadline, few(wrong)
            await asyncio.sleep(1)
        figures = {"records": found.records, "keys_right": len(found.content)}
        if events > MOST_FOR_THE_ORACLE:
            return figures
        report = await self.made.judged_ok()
        return {**figures, "certificates_that_agree": report.certificates}

    def last_life(self) -> list[Sample]:
        """Samples of the process that lived through everything but death."""
        return [s for s in self.samples if s.life == len(self.made.bridges)]

    async def bridge_is_live(self) -> None:
        """Start the first one."""
        await self.made.start().ready()

    async def _troubles(self, seconds: float) -> None:
        while (at := time.monotonic() - self.began) < seconds:
            what = await self.trouble.one(deadly=at < DEADLY_SHARE * seconds)
            self.marks.append((at, what))
            await until(self._recovered, f"it lives again after: {what}", RECOVERY_S)
            print(f"{at:6.0f} s  {what}, back after {time.monotonic() - self.began - at:.1f} s", flush=True)
            await asyncio.sleep(self.rng.uniform(*CALM_S))

    async def _recovered(self) -> bool:
        bridge = self.made.bridges[-1]
        bridge.process.check()
        found = await status(bridge)
        return found is not None and found["ready"] and all(s["phase"] == "live" for s in found["shards"])

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_S)
            bridge, life = self.made.bridges[-1], len(self.made.bridges)
            with contextlib.suppress(psutil.Error, StageFailed):
                process = psutil.Process(bridge.process.child.pid)
                found = await status(bridge)
                if found is None or life != len(self.made.bridges):
                    continue
                with process.oneshot():
                    self.samples.append(
                        Sample(
                            round(time.monotonic() - self.began, 1), life, round(process.memory_info().rss / 2**20, 2),
                            process.num_fds(), process.num_threads(), found["tasks"],
                            sum(s["seq"] for s in found["shards"]),
                            sum(s["waiting_bytes"] for s in found["shards"]) // 1024,
                        )
                    )  # fmt: skip


async def status(bridge: Bridge) -> dict[str, Any] | None:
    """What it says of itself; None while it does not answer."""
    try:
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(f"{bridge.url}/status") as answer:
            found: dict[str, Any] = await answer.json()
            return found
    except (aiohttp.ClientError, TimeoutError):
        return None


async def play(options: argparse.Namespace) -> list[str]:
    """Play, print, write; what does not stay flat."""
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedKafka() as kafka:
            ground = Ground(kafka, "soak", Path(folder), small=False)
            async with scene(ground, shards=options.shards, accounts=options.accounts) as made:
                soak = Soak(options, made, kafka)
                try:
                    figures = await soak.run()
                finally:
                    written(options.out, soak)
    print(json.dumps(figures), flush=True)
    return grows(figures)


def written(folder: Path, soak: Soak) -> None:
    """Samples and picture, also of a run that failed."""
    if soak.samples:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "soak.csv").write_text(table(soak.samples), "utf-8")
        (folder / "soak.svg").write_text(picture(soak.samples, soak.marks), "utf-8")


def main() -> None:
    """Exit 1 if it is not flat or not right."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=1000.0, help="events a second")
    parser.add_argument("--entities", type=int, default=5000)
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("soak-report"))
    wrong = asyncio.run(play(parser.parse_args()))
    if wrong:
        sys.exit(f"grows: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
