"""The transcripts of docs/simulator.md are played, line by line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridge.simulator.__main__ import parser
from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from tests.component.simulator.client import DEADLINE_S

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "simulator.md"
START = "$ syncbridge simulate "
TOKEN = re.compile(r"sim\.\w+\.\.\.")


def transcripts() -> list[list[str]]:
    """Every indented block that begins with a command and holds frames."""
    blocks = re.findall(r"(?:^    .+\n)+", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    found = [[line[4:] for line in block.splitlines()] for block in blocks]
    return [lines for lines in found if lines[0].startswith(START) and any(line.startswith("<- ") for line in lines)]


def same(shown: str, found: str) -> bool:
    """Whether a text is what is shown, `...` standing for anything."""
    return re.fullmatch(".*".join(map(re.escape, shown.split("..."))), found, re.DOTALL) is not None


class Player:
    """A client that does and expects what stands in a transcript."""

    def __init__(self, simulator: Simulator, http: aiohttp.ClientSession) -> None:
        self.simulator, self.http = simulator, http
        self.base = simulator.control_url.removesuffix("/sim")
        self.token = self.answer = ""
        self.ws: Any = None

    async def play(self, line: str) -> None:
        if line.startswith("POST "):
            _, path, body = line.split(" ", 2)
            async with self.http.post(self.base + path, data=body) as answer:
                self.answer = f"{answer.status} {await answer.text()}"
                found = re.search(r'"accessToken":"([^"]+)"', self.answer)
                self.token = found[1] if found else self.token
        elif line.startswith("GET "):
            self.ws = await self.http.ws_connect(self.base + line[4:])
        elif line.startswith("-> "):
            await self.ws.send_str(TOKEN.sub(self.token, line[3:]).replace("\\n", "\n"))
        elif line.startswith("<- "):
            text = await self._frame(heartbeats=line == "<- h")
            assert same(line[3:], text), f"shown is {line[3:]}, it was {text}"
        else:
            assert same(line, self.answer), f"shown is {line}, it was {self.answer}"

    async def _frame(self, *, heartbeats: bool) -> str:
        while (text := await self.ws.receive_str(timeout=DEADLINE_S)) == "h" and not heartbeats:
            continue
        return str(text)


@pytest.mark.parametrize("lines", transcripts(), ids=lambda lines: lines[0].removeprefix(START))
async def test_a_transcript_is_true(lines: list[str]) -> None:
    words = shlex.split(lines[0].removeprefix(START))
    given = {k: v for k, v in vars(parser().parse_args(words)).items() if hasattr(Options(), k)}
    async with Simulator(Options(heartbeat_s=0.1, **given)) as simulator, aiohttp.ClientSession() as http:
        player = Player(simulator, http)
        for line in lines[1:]:
            await player.play(line)


def test_there_are_transcripts_of_three_kinds_of_clients_and_of_orders() -> None:
    """Each style has something that the others have not."""
    texts = ["\n".join(lines) for lines in transcripts()]
    marks = {r"\nundefined": 1, r"...\n" + "\n": 1, '"shardingExpression"': 1, "order/placeorder": 1}
    assert {mark: sum(mark in text for text in texts) for mark in marks} == marks


@pytest.mark.parametrize(
    ("shown", "found", "right"),
    [("a[...]", "a[1]", True), ("a[...]", "b[1]", False), ("x", "xy", False), ("...b...", "abc", True)],
)
def test_what_is_left_out_may_be_anything_and_the_rest_nothing_else(shown: str, found: str, right: bool) -> None:
    assert same(shown, found) == right
