"""Sessions as they are played: made by chance from real ones, made smaller when they fail, kept as files."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random

from tests.fuzz.mutators import SIGNALS, spoilt
from tests.fuzz.pipeline import Script, Step

CORPUS = Path(__file__).parents[1] / "corpus"
HAPPENS = ("absence", "absence", "pause", "resume", "closed")
Fails = Callable[[Script], Awaitable[bool]]


def script(r: Random, transcripts: Sequence[Sequence[bytes]]) -> Script:
    """One session: a real one, more or less spoilt."""
    frames = r.choice(transcripts)
    share = r.choice((0.02, 0.1, 0.1, 0.3, 0.7))
    found: Script = []
    for at, raw in enumerate(frames):
        chance = r.random()
        early = at < 2 and r.random() < 0.9  # most sessions should come as far as their snapshot
        if early or chance > share:
            found.append(raw)
        elif chance > share * 0.25:
            found.append(spoilt(r, raw, frames))
        elif chance > share * 0.15:
            found.append(r.choice(SIGNALS) if r.random() < 0.5 else spoilt(r, r.choice(SIGNALS), SIGNALS))
        if r.random() < 0.05:
            found.append(r.choice((0.01, 0.5, 2.5, 3.0, 3.0, 9.0, 40.0)))
        if r.random() < 0.02:
            found.append(r.choice(HAPPENS))
        if r.random() < 0.01:
            found += r.choice(transcripts)[2 : 2 + r.randint(1, 5)]
    return found


async def reduced(found: Script, fails: Fails) -> Script:
    """As few steps as still fail."""
    size = len(found) // 2
    while size:
        at = 0
        while at < len(found):
            shorter = found[:at] + found[at + size :]
            if await fails(shorter):
                found = shorter
            else:
                at += size
        size //= 2
    return found


def kept(sessions: Sequence[Script]) -> str:
    """The text of a file that `read` reads."""
    return json.dumps([[_plain(step) for step in each] for each in sessions], indent=0) + "\n"


def read(path: Path) -> list[Script]:
    """The sessions of a file."""
    return [[_step(step) for step in each] for each in json.loads(path.read_text("utf-8"))]


def _plain(step: Step) -> object:
    return {"frame": base64.b64encode(step).decode()} if isinstance(step, bytes) else step


def _step(plain: dict[str, str] | float | str) -> Step:
    return base64.b64decode(plain["frame"]) if isinstance(plain, dict) else plain
