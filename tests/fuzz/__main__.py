"""`python -m tests.fuzz`: FUZZ_SECONDS (3600) long, from FUZZ_SEED (by the clock); exit 1 if something was found."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from bridge.operate import logs
from tests.fuzz import seeds
from tests.fuzz.scripts import CORPUS
from tests.fuzz.tokens import logins
from tests.fuzz.wire import conversation

WARM_BATCHES, GROWTH_KB = 30, 64 * 1024
EVERY_S, CONVERSATIONS, LOGINS = 20.0, 10, 100
WORKERS = {"compiled": "", "pure": "1"}


class Run:
    """Two processes, the same sessions in both; and a real socket now and then."""

    def __init__(self, seconds: float, seed: str) -> None:
        self.seconds, self.seed = seconds, seed
        self.totals: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()
        self.over_sockets: Counter[str] = Counter()
        self.logins: Counter[str] = Counter()
        self.rss: dict[str, list[int]] = {name: [] for name in WORKERS}
        self.digests: dict[int, dict[str, str]] = {}
        self.found: list[str] = []

    async def run(self) -> None:
        transcripts = await seeds.transcripts()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "seeds.json"
            seeds.write(path, transcripts)
            async with asyncio.TaskGroup() as group:
                sockets = group.create_task(self._sockets(transcripts))
                workers = [group.create_task(self._worker(name, pure, path)) for name, pure in WORKERS.items()]
                await asyncio.wait(workers)
                sockets.cancel()
        self._growth()

    async def _worker(self, name: str, pure: str, path: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fuzz.worker",
            "--seeds", str(path), "--seed", self.seed, "--seconds", str(self.seconds),
            stdout=asyncio.subprocess.PIPE, env={**os.environ, "SYNCBRIDGE_PURE": pure}, limit=1 << 26,
        )  # fmt: skip
        assert process.stdout is not None
        async for line in process.stdout:
            self._take(name, json.loads(line))
        if await process.wait():
            self.found.append(f"the process {name} ended with {process.returncode}")

    def _take(self, name: str, batch: dict[str, Any]) -> None:
        for what in ("frames", "sessions", "records"):
            self.totals[what] += batch[what]
        self.totals["batches"] += 1
        self.causes.update(batch["causes"])
        self.rss[name].append(batch["rss_kb"])
        both = self.digests.setdefault(batch["batch"], {})
        both[name] = batch["digest"]
        if "error" in batch:
            self._keep(f"{name} batch {batch['batch']}: {batch['error']}", batch["script"], batch["error"])
        elif len(set(both.values())) > 1:
            self.found.append(f"batch {batch['batch']}: Python and C differ (seed {self.seed})")
        if len(both) == len(WORKERS):
            del self.digests[batch["batch"]]
            self.totals["batches_alike"] += 1

    def _keep(self, what: str, script: str, error: str) -> None:
        """One file for each place in the code where it goes wrong."""
        self.found.append(what)
        place = "".join(c if c.isalnum() else "-" for c in error.strip().splitlines()[-1])[:60].strip("-").lower()
        path = CORPUS / f"{place}.json"
        if not path.exists():
            path.write_text(script, "utf-8")
            print(f"kept {path}", flush=True)

    async def _sockets(self, transcripts: list[list[bytes]]) -> None:
        r = Random(self.seed)  # noqa: S311 - to be repeated, not to be secret
        while True:
            for _ in range(CONVERSATIONS):
                try:
                    self.over_sockets[await conversation(r, transcripts)] += 1
                except Exception:  # noqa: BLE001 - any exception is what is looked for
                    self.found.append(f"over a socket: {traceback.format_exc()}")
            try:
                self.logins.update(await logins(r, LOGINS))
            except Exception:  # noqa: BLE001 - as above
                self.found.append(f"while logging in: {traceback.format_exc()}")
            await asyncio.sleep(EVERY_S)

    def _growth(self) -> None:
        for name, sizes in self.rss.items():
            if len(sizes) > 2 * WARM_BATCHES and max(sizes[-WARM_BATCHES:]) - max(sizes[:WARM_BATCHES]) > GROWTH_KB:
                self.found.append(f"{name} grows: {sizes[:: len(sizes) // 10]} kB")

    def figures(self) -> dict[str, Any]:
        sizes = {f"rss_kb_{name}": [s[0], max(s), s[-1]] for name, s in self.rss.items() if s}
        causes = {"causes": dict(self.causes.most_common()), "over_sockets": dict(self.over_sockets.most_common())}
        causes["logins"] = dict(self.logins.most_common())
        return {"seed": self.seed, **self.totals, **sizes, **causes, "found": len(self.found)}


def main() -> None:
    run = Run(float(os.environ.get("FUZZ_SECONDS", "3600")), os.environ.get("FUZZ_SEED", str(time.time_ns())))
    logs.configure("console", "error")
    print(f"fuzzing for {run.seconds:g} s from seed {run.seed}", flush=True)
    asyncio.run(run.run())
    for what in run.found[:20]:
        print(what, file=sys.stderr)
    print(json.dumps(run.figures()))
    if run.found:
        sys.exit(f"{len(run.found)} found; scripts that fail are kept in tests/corpus")


if __name__ == "__main__":
    main()
