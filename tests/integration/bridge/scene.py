"""One simulator, Kafka under a prefix of the test's own, and bridges as real processes."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from bridge.devkit.ports import free_ports
from bridge.devkit.stage import Plan, Process, Stage
from bridge.kafka import topics
from bridge.kafka.client import Cluster
from bridge.kafka.names import TopicNames
from bridge.kafka.plan import wanted
from bridge.oracle.expectation import Rules
from bridge.oracle.report import Report
from bridge.oracle.verify import verify

PASSWORD = "correct-horse-battery-staple"
SEC = "f0a1-unmistakable-api-secret"
TOKEN = re.compile(r"sim\.[0-9a-f]{16,}")
DEADLINE_S = 60.0
QUICK = {"snapshot.quiet_s": "0.3", "source.password": PASSWORD, "source.sec": SEC, "source.cid": "8"}
LATE_S = 20.0


def epoch_us(stamp: str) -> int:
    """An ISO 8601 time as microseconds since 1970."""
    return int(datetime.fromisoformat(stamp).timestamp() * 1_000_000)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    def lines(self) -> list[dict[str, Any]]:
        """Its JSON lines on standard output."""
        return [orjson.loads(line) for line in self.out.splitlines()]


async def until(condition: Callable[[], Awaitable[Any]], what: str, timeout_s: float = DEADLINE_S) -> Any:
    """Poll until `condition` gives something truthy, and return that."""
    deadline = time.monotonic() + timeout_s
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(0.05)
    return found


class Bridge:
    """One running `syncbridge run`."""

    def __init__(self, process: Process, url: str) -> None:
        self.process, self.url = process, url
        self.said: list[str] = []

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body; what was said is kept, so that it can be searched for secrets."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}{path}") as answer:
            text = await answer.text()
        self.said.append(text)
        return answer.status, text

    async def answers(self, path: str) -> int | None:
        """HTTP status of a path, None while nobody listens."""
        try:
            return (await self.get(path))[0]
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads((await self.get("/status"))[1])
        return found

    async def shards(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.status())["shards"]
        return found

    async def ready(self) -> Self:
        """Wait for `/readyz`."""

        async def look() -> bool:
            self.process.check()
            return await self.answers("/readyz") == 200

        await until(look, f"ready\n{self.process.tail()}")
        return self

    async def live(self, sessions: int) -> None:
        """Wait until every shard is live in its session with this number, at least."""

        async def look() -> bool:
            return all(s["phase"] == "live" and s["sessions"] >= sessions for s in await self.shards())

        await until(look, f"{sessions} sessions of every shard\n{self.process.tail()}")

    async def drained(self) -> None:
        """Wait until nothing has been committed for a second and nothing waits."""
        last, since = None, time.monotonic()
        deadline = since + DEADLINE_S
        while time.monotonic() - since < 1.0:
            assert time.monotonic() < deadline, "it never comes to rest"
            now = [(s["seq"], s["waiting_bytes"]) for s in await self.shards()]
            if now != last or any(waiting for _, waiting in now):
                last, since = now, time.monotonic()
            await asyncio.sleep(0.1)

    async def ended(self, timeout_s: float = 30.0) -> int:
        return await self.process.child.wait(timeout_s)

    async def stop(self) -> tuple[int, float]:
        """SIGTERM; exit status and seconds it took."""
        began = time.monotonic()
        await self.process.child.stop(15.0)
        return self.process.child.returncode or 0, time.monotonic() - began

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """Lines of its log, or those of one event."""
        lines = [orjson.loads(x) for x in self.process.log.read_bytes().splitlines() if x.startswith(b"{")]
        return [x for x in lines if event in (None, x.get("event"))]

    async def logged(self, event: str, times: int = 1) -> list[dict[str, Any]]:
        """Wait for lines of an event."""

        async def look() -> list[dict[str, Any]]:
            found = self.log(event)
            return found if len(found) >= times else []

        found: list[dict[str, Any]] = await until(look, f"{times} x {event} in the log\n{self.process.tail()}")
        return found


class Scene:
    """Async context manager; at its end no log, answer or output may hold a secret.

    Attributes:
        variables: of the environment of every bridge that is started, beside its configuration.
    """

    def __init__(self, plan: Plan) -> None:
        self.stage = Stage(plan)
        self.bridges: list[Bridge] = []
        self.outcomes: list[Outcome] = []
        self.secrets = {PASSWORD, SEC}
        self.variables: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        await self.stage.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                unfired = [f["kind"] for f in await self.control("GET", "faults") if not f["fired"]]
                assert not unfired, f"faults that never fired: {unfired}"
        finally:
            said = self._said()  # the folder goes with the stage
            await self.stage.__aexit__()
        if error is None:
            self._search_for_secrets(said)

    @property
    def bootstrap(self) -> str:
        return self.stage.kafka.bootstrap_servers

    @property
    def prefix(self) -> str:
        return self.stage.prefix

    async def create_topics(self, partitions: int | None = None) -> None:
        """What `topics apply` does, without the start of a process."""
        plan = wanted(TopicNames(self.prefix), partitions or self.stage.plan.shards, 900 * 1024)
        await topics.apply(Cluster(self.bootstrap), plan, 1)

    def start(self, *arguments: str, module: str = "bridge", **changes: str) -> Bridge:
        """`syncbridge run ARGUMENTS` on a port of its own; settings as `section__key`."""
        port = free_ports(1)[0]
        settings = {name.replace("__", "."): value for name, value in changes.items()} | {"http.port": str(port)}
        name = f"bridge-{len(self.bridges) + 1}"
        process = self.stage.start_bridge(name, settings, module, variables=self.variables, arguments=arguments)
        bridge = Bridge(process, f"http://127.0.0.1:{port}")
        self.bridges.append(bridge)
        return bridge

    async def verb(self, *arguments: str, **changes: str) -> Outcome:
        """`syncbridge ARGUMENTS` to its end."""
        environment = self.stage.environment({name.replace("__", "."): value for name, value in changes.items()})
        outcome = await run_verb(environment, *arguments)
        self.outcomes.append(outcome)
        return outcome

    async def control(self, method: str, endpoint: str, body: Mapping[str, Any] | None = None) -> Any:
        return await self.stage.control(method, endpoint, body)

    async def step(self, steps: int) -> None:
        await self.control("POST", "step", {"steps": steps})

    async def rate(self, events_a_second: float) -> None:
        await self.control("POST", "rate", {"rate": events_a_second})

    async def calm(self, bridge: Bridge) -> None:
        """Stop the trading and wait until the bridge has committed all of it."""
        await self.control("POST", "pause", {})
        await bridge.drained()

    async def options(self, **changes: Any) -> None:
        await self.control("POST", "options", changes)

    async def arm(
        self, kind: str, *, times: int | None = 1, skip: int = 0, remainder: int | None = None, **args: Any
    ) -> None:
        """Arm a fault; all that are armed for one point fire at the same chance, unless they skip some."""
        fault = {"kind": kind, "times": times, "skip": skip, "remainder": remainder, "args": args}
        await self.control("POST", "faults", fault)

    async def faults(self) -> dict[str, int]:
        """How often each kind has fired."""
        found: dict[str, int] = {}
        for fault in await self.control("GET", "faults"):
            found[fault["kind"]] = found.get(fault["kind"], 0) + fault["fired"]
        return found

    async def fired(self, kind: str, times: int = 1) -> None:
        """Wait until the faults of a kind have fired so often."""

        async def look() -> bool:
            return (await self.faults()).get(kind, 0) >= times

        await until(look, f"the fault {kind} has fired")

    async def sessions(self) -> list[dict[str, Any]]:
        """The simulator's ledger of sockets."""
        url = f"{self.stage.control_url}/ledger/sessions"
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return [orjson.loads(line) for line in (await answer.read()).splitlines()]

    async def tail(self, *types: str, **changes: str) -> list[dict[str, Any]]:
        """All records of some topics, decoded by `syncbridge tail`."""
        outcome = await self.verb("tail", *types, "--json", "--from-beginning", "--until-end", **changes)
        assert outcome.status == 0, outcome.err
        return outcome.lines()

    async def topics(self, *types: str) -> dict[str, list[dict[str, Any]]]:
        """The same by type."""
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in types}
        for record in await self.tail(*types):
            found[record["topic"].removeprefix(f"{self.prefix}.")].append(record)
        return found

    async def announced_gaps(self) -> tuple[tuple[int, int, int], ...]:
        """Partition, beginning and end (epoch microseconds) of every gap that the bridge has told."""
        told = [r["value"] for r in await self.tail("bridge.events")]
        return tuple((t["shard"], epoch_us(t["from_ms"]), epoch_us(t["to_ms"])) for t in told if t["event"] == "gap")

    async def judge(self, **rules: Any) -> Report:
        """The oracle's verdict."""
        shards = self.stage.plan.shards
        registry = self.stage.registry_url
        return await verify(
            self.bootstrap, self.prefix, self.stage.control_url, registry, shards, rules=Rules(shards, **rules)
        )

    async def judged_ok(self, **rules: Any) -> Report:
        """The verdict must be good, if need be after a while: on a slow machine a commit may come late."""
        deadline = time.monotonic() + LATE_S
        while not (report := await self.judge(**rules)).ok:
            assert time.monotonic() < deadline, [report.wrong, *report.offences[:5]]
            await asyncio.sleep(0.5)
        return report

    def _said(self) -> list[tuple[str, str]]:
        logs = [(b.process.name, b.process.log.read_text(errors="replace")) for b in self.bridges]
        answers = [(f"{b.process.name} over HTTP", text) for b in self.bridges for text in b.said]
        return logs + answers + [("a verb", o.out + o.err) for o in self.outcomes]

    def _search_for_secrets(self, said: list[tuple[str, str]]) -> None:
        for who, text in said:
            found = TOKEN.search(text) or next((s for s in self.secrets if s in text), None)
            assert not found, f"{who} tells a secret: {found}"


async def run_verb(environment: Mapping[str, str], *arguments: str) -> Outcome:
    """`syncbridge ARGUMENTS` to its end, in this environment."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bridge", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=dict(environment),
    )  # fmt: skip
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Outcome(process.returncode or 0, out.decode(), err.decode())
