"""Every switch by its three doors: flag, scenario file, and (but for what is fixed) the control endpoint."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args, get_type_hints

import orjson
import pytest

from bridge.simulator.__main__ import parser
from bridge.simulator.faults import KINDS, FaultError, Faults
from bridge.simulator.options import FIXED, Options
from bridge.simulator.scenario import ACTIONS, fault_of, parse

HINTS = get_type_hints(Options)
FREE = [field.name for field in fields(Options) if field.name not in FIXED]
PEM = {"certificate", "private_key"}


def other(name: str) -> Any:
    """A value that is not the default."""
    default, choices = getattr(Options(), name), [c for c in get_args(HINTS[name]) if isinstance(c, str)]
    if choices:
        return next(c for c in choices if c != default)
    if isinstance(default, bool):
        return not default
    if isinstance(default, float):
        return default + 0.5
    return "text" if default is None and str in get_args(HINTS[name]) else "127.0.0.2" if name == "host" else 7


def flag(name: str, value: Any) -> list[str]:
    words = name.replace("_", "-")
    return [f"--{words}" if value else f"--no-{words}"] if isinstance(value, bool) else [f"--{words}", str(value)]


def toml(value: Any) -> str:
    return orjson.dumps(value).decode()


@pytest.mark.parametrize("name", [field.name for field in fields(Options)])
def test_an_option_is_a_flag_and_stands_in_scenarios(name: str) -> None:
    chosen = {n: other(n) for n in (PEM if name in PEM else {name})}
    words = [word for n, value in chosen.items() for word in flag(n, value)]
    given = {key: value for key, value in vars(parser().parse_args(words)).items() if key in HINTS}
    assert given == chosen
    text = "\n".join(f"{n} = {toml(value)}" for n, value in chosen.items())
    assert parse(f"title = 't'\n[options]\n{text}").options == chosen
    assert getattr(Options(**chosen), name) == chosen[name] != getattr(Options(), name)


@pytest.mark.parametrize("name", FREE)
def test_an_option_changes_while_the_simulator_runs_and_in_the_course_of_a_scenario(name: str) -> None:
    value = other(name)
    [step] = parse(f"title = 't'\n[[steps]]\noptions = {{ {name} = {toml(value)} }}").steps
    assert getattr(Options().changed(step.actions["options"]), name) == value


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_armed_by_flag_and_by_scenario(kind: str) -> None:
    args = {
        name: value if isinstance(value, str) else orjson.loads(toml(value)) for name, value in KINDS[kind].args.items()
    }
    plain = ",".join(f"{name}={value if isinstance(value, str) else toml(value)}" for name, value in args.items())
    if "," not in str(args.get("text", "")):
        assert fault_of(f"{kind}:times=2,skip=1,{plain}") == {"kind": kind, "times": 2, "skip": 1, **args}
    assert fault_of(toml({"kind": kind, "args": args})) == {"kind": kind, **args}
    [step] = parse(f"title = 't'\n[[steps]]\nfaults = [{{ kind = '{kind}', skip = 2 }}]").steps
    assert step.actions["faults"] == [{"kind": kind, "skip": 2}]


def test_flags_of_faults_are_read_as_they_are_written() -> None:
    words = ["--fault", "drop", "--fault", "close_frame:text=c", "--fault", "sync_penalty:seconds=3,captcha=true"]
    given = [Faults().arm(**fault_of(text)) for text in parser().parse_args(words).fault]
    assert [(fault.kind, fault.args) for fault in given] == [
        ("drop", {}), ("close_frame", {"text": "c"}), ("sync_penalty", {"seconds": 3, "captcha": True}),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["dorp", "drop:seconds=1", "drop:times=none", "{", '{"kind":"drop","args":1}', "{}"])
def test_a_fault_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(FaultError):
        fault_of(text)


def test_what_no_option_does_is_done_by_a_step() -> None:
    assert {"roll", "inject", "faults"} <= set(ACTIONS)
