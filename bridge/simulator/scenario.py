"""Scenario files: options, and steps that wait for something and then do something. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

import orjson

from bridge.simulator.faults import FaultError, Faults
from bridge.simulator.options import OptionError, Options

ACTIONS = ("options", "disarm", "faults", "inject", "roll", "step", "rate", "pause")
"""What a step can do, in the order in which it is done."""

_KINDS: dict[str, tuple[type, ...]] = {
    "options": (dict,), "disarm": (bool,), "faults": (list,), "inject": (dict,), "roll": (dict,), "step": (int,),
    "rate": (int, float), "pause": (bool,), "at_s": (int, float), "after_s": (int, float), "events": (int,),
    "sockets": (int,), "fired": (bool,), "within_s": (int, float),
}  # fmt: skip


class ScenarioError(ValueError):
    """A scenario that cannot be played; the message names the place."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: waits until all its conditions hold, then acts.

    Attributes:
        at_s: seconds since the scenario began.
        after_s: seconds since the step before.
        events: events that the world has made since the scenario began.
        sockets: synced sockets that are open.
        fired: every fault that was armed has fired.
        within_s: how long to wait for `events`, `sockets` and `fired` before the scenario fails.
        actions: what to do, a selection of `ACTIONS` with their arguments.
    """

    at_s: float = 0.0
    after_s: float = 0.0
    events: int = 0
    sockets: int = 0
    fired: bool = False
    within_s: float = 120.0
    actions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario: what it shows, the options it begins with, its steps."""

    title: str
    options: dict[str, Any]
    steps: tuple[Step, ...]


def parse(text: str) -> Scenario:
    """Reads a scenario file.

    Raises:
        ScenarioError: it is not TOML, or something in it does not exist.
    """
    try:
        file = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise ScenarioError(f"not TOML: {problem}") from problem
    _known("the file", file, ("title", "options", "steps"))
    options, steps = file.get("options", {}), file.get("steps", [])
    if not isinstance(file.get("title"), str) or not isinstance(options, dict) or not isinstance(steps, list):
        raise ScenarioError("a scenario has a title, a table of options and an array of steps")
    try:
        Options(**options)
    except (OptionError, TypeError) as problem:
        raise ScenarioError(f"options: {problem}") from problem
    return Scenario(file["title"], options, tuple(_step(number, body) for number, body in enumerate(steps, 1)))


def _step(number: int, body: Any) -> Step:
    where = f"step {number}"
    if not isinstance(body, dict):
        raise ScenarioError(f"{where} is no table")
    conditions = [f.name for f in fields(Step) if f.name != "actions"]
    _known(where, body, (*conditions, *ACTIONS))
    for name, value in body.items():
        if not isinstance(value, _KINDS[name]) or isinstance(value, bool) != (bool in _KINDS[name]):
            raise ScenarioError(f"{where}: {name} is {' or '.join(k.__name__ for k in _KINDS[name])}, not {value!r}")
        if isinstance(value, (int, float)) and value < 0:
            raise ScenarioError(f"{where}: {name} is not negative")
    actions = {name: body[name] for name in ACTIONS if name in body}
    try:
        _try(actions)
    except (OptionError, FaultError, TypeError) as problem:
        raise ScenarioError(f"{where}: {problem}") from problem
    return Step(**{name: body[name] for name in conditions if name in body}, actions=actions)


def _try(actions: dict[str, Any]) -> None:
    """Finds options and faults that do not exist before anything has begun."""
    Options().changed(actions.get("options", {}))
    for fault in actions.get("faults", []):
        Faults().arm(**arguments(fault))
    _known("roll", actions.get("roll", {}), ("resend",))
    _known("inject", actions.get("inject", {}), ("frame", "remainder", "entityType", "eventType", "entity", "frames"))


def arguments(fault: Any) -> dict[str, Any]:
    """A fault as it stands in a file or in a request, as arguments of `arm`.

    Raises:
        FaultError: it is no table, or says no kind.
    """
    if not isinstance(fault, dict) or not isinstance(fault.get("kind"), str):
        raise FaultError("a fault is a table with a kind")
    more = fault.get("args", {})
    if not isinstance(more, dict):
        raise FaultError("the args of a fault are a table")
    return {**{k: v for k, v in fault.items() if k != "args"}, **more}


def fault_of(text: str) -> dict[str, Any]:
    """A fault as a flag gives it, `sync_penalty:seconds=3,captcha=true` or a JSON object, as arguments of `arm`.

    Raises:
        FaultError: it cannot be read, or there is no such fault.
    """
    if text.startswith("{"):
        try:
            found = arguments(orjson.loads(text))
        except orjson.JSONDecodeError as problem:
            raise FaultError(f"not JSON: {text}") from problem
    else:
        kind, _, rest = text.partition(":")
        found = {"kind": kind}
        for pair in filter(None, rest.split(",")):
            name, _, value = pair.partition("=")
            found[name.strip()] = _value(value.strip())
    Faults().arm(**found)
    return found


def _value(text: str) -> Any:
    """A number, true, false or null as JSON knows them; all else is text."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _known(where: str, found: Iterable[str], names: tuple[str, ...]) -> None:
    for name in found:
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(names)}"
            raise ScenarioError(f"{where}: there is no {name}{hint}")
