"""Plays a scenario on a running simulator and says whether it has shown what it claims."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.simulator.faults import Fault
from bridge.simulator.scenario import Scenario, ScenarioError, Step, arguments, parse

if TYPE_CHECKING:
    from bridge.simulator.server import Simulator

_POLL_S = 0.02
_SHIPPED = files("bridge.simulator") / "scenarios"


def shipped() -> dict[str, str]:
    """Name and text of the scenarios that come with the simulator."""
    found = sorted(_SHIPPED.iterdir(), key=lambda file: file.name)
    return {f.name.removesuffix(".toml"): f.read_text(encoding="utf-8") for f in found if f.name.endswith(".toml")}


def load(name: str) -> Scenario:
    """A scenario by the path of its file, or by the name of one that is shipped.

    Raises:
        ScenarioError: there is none, or it cannot be played.
    """
    known = shipped()
    if name in known:
        return parse(known[name])
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ScenarioError(f"cannot read {name}: {problem}; shipped are {', '.join(known)}") from problem
    return parse(text)


@dataclass(slots=True)
class Outcome:
    """How far a scenario has come, and what is wrong.

    Attributes:
        title: of the scenario.
        steps: how many it has.
        done: how many steps have been taken.
        over: it has come to its end.
        problems: sentences; it has failed if there is one when it is over.
    """

    title: str
    steps: int
    done: int = 0
    over: bool = False
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether it is over and nothing is wrong."""
        return self.over and not self.problems

    def as_json(self) -> dict[str, Any]:
        """For `GET /sim/scenario` and the last line of the command."""
        return {
            "scenario": self.title, "steps": self.steps, "done": self.done, "over": self.over, "ok": self.ok,
            "problems": self.problems,
        }  # fmt: skip


class Director:
    """Takes the steps of a scenario in turn.

    Attributes:
        outcome: how it stands.
    """

    def __init__(self, simulator: Simulator, scenario: Scenario, *, speed: float = 1.0, grace_s: float = 30.0) -> None:
        self.outcome = Outcome(scenario.title, len(scenario.steps))
        self._sim = simulator
        self._scenario = scenario
        self._speed = speed
        self._grace_s = grace_s
        self._began = self._before = time.monotonic()
        self._produced = simulator.produced
        simulator.scenario = self.outcome.as_json

    async def play(self) -> Outcome:
        """Takes all steps, waits a while for faults that have not fired, and judges."""
        self._began = self._before = time.monotonic()
        self._produced = self._sim.produced
        for number, step in enumerate(self._scenario.steps, 1):
            await self._wait(number, step)
            if not self.outcome.problems:
                await self._take(number, step)
            if self.outcome.problems:
                break
            self.outcome.done += 1
            self._before = time.monotonic()
        else:
            await self._until(lambda: not self._sim.faults.unfired(), self._grace_s)
        return self.end()

    def end(self) -> Outcome:
        """Judges now, wherever the scenario stands."""
        outcome = self.outcome
        if not outcome.over:
            outcome.over = True
            if outcome.done < outcome.steps and not outcome.problems:
                outcome.problems.append(f"ended before step {outcome.done + 1} of {outcome.steps}")
            outcome.problems += [_sentence(fault) for fault in self._sim.faults.unfired()]
            outcome.problems += self._sim.world.check()
        return outcome

    async def _wait(self, number: int, step: Step) -> None:
        due = max(self._began + step.at_s / self._speed, self._before + step.after_s / self._speed)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if not await self._until(lambda: not self._lacking(step), step.within_s):
            self.outcome.problems.append(f"step {number} waited {step.within_s:g} s: {self._lacking(step)}")

    def _lacking(self, step: Step) -> str:
        """What a step still waits for, empty if nothing."""
        produced, sockets = self._sim.produced - self._produced, self._sockets()
        if produced < step.events:
            return f"{produced} of {step.events} events have happened"
        if sockets < step.sockets:
            return f"{sockets} of {step.sockets} sockets are synced"
        unfired = self._sim.faults.unfired() if step.fired else []
        return "; ".join(_sentence(fault) for fault in unfired)

    def _sockets(self) -> int:
        return sum(c.log is not None and not c.ended and not c.silent for c in self._sim.connections.values())

    async def _until(self, condition: Any, limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    async def _take(self, number: int, step: Step) -> None:
        try:
            await self._act(step)
        except (KeyError, ValueError, TimeoutError) as problem:
            self.outcome.problems.append(f"step {number}: {problem}")

    async def _act(self, step: Step) -> None:
        for name, value in step.actions.items():
            done = _DO[name](self._sim, value)
            if isawaitable(done):
                await done


def _arm(simulator: Simulator, faults: list[Any]) -> None:
    for fault in faults:
        simulator.arm(**arguments(fault))


_DO: dict[str, Callable[[Simulator, Any], object]] = {
    "options": lambda simulator, values: simulator.set_options(values),
    "disarm": lambda simulator, wanted: simulator.faults.disarm() if wanted else None,
    "faults": _arm,
    "inject": lambda simulator, body: simulator.put(body),
    "roll": lambda simulator, body: simulator.roll(**body),
    "step": lambda simulator, steps: simulator.step(steps),
    "rate": lambda simulator, rate: simulator.set_rate(rate),
    "pause": lambda simulator, wanted: simulator.quiesce() if wanted else None,
}


def _sentence(fault: Fault) -> str:
    where = "" if fault.remainder is None else f" on shard {fault.remainder}"
    return f"fault {fault.id} ({fault.kind}{where}) has not fired"
