"""The clients of docs/simulator.md run as they stand there."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest

from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from tests.component.simulator.client import DEADLINE_S

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "simulator.md"
NODE = shutil.which("node")
FLAG = "--experimental-websocket"
"""What Node.js 22 has by itself, Node.js 20 has under this flag."""


def program(language: str) -> str:
    section = DOCUMENT.read_text(encoding="utf-8").split("\n## Clients\n")[1].split("\n## ")[0]
    (text,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return str(text)


async def follows(*command: str) -> None:
    """Runs a client until it has printed its snapshot and an event of its own shard."""
    async with Simulator(Options(accounts=12, split="D", seed=5)) as simulator:
        process = await asyncio.create_subprocess_exec(
            *command, simulator.rest_url, simulator.socket_url, stdout=PIPE, stderr=PIPE
        )
        assert process.stdout is not None
        try:
            lines = [await asyncio.wait_for(process.stdout.readline(), DEADLINE_S) for _ in range(6)]
            mine = sum(account.id % 2 for account in simulator.world.accounts)
            assert f"snapshot accounts {mine}\n".encode() in lines, lines
            account = next(a.id for a in simulator.world.accounts if a.id % 2)
            simulator.place("order", "Created", {"id": 77, "accountId": account})
            assert await asyncio.wait_for(process.stdout.readline(), DEADLINE_S) == b"Created order 77\n"
        finally:
            process.kill()
            await process.communicate()


async def test_the_python_client(tmp_path: Path) -> None:
    path = tmp_path / "client.py"
    path.write_text(program("python"))
    await follows(sys.executable, str(path))


async def has_websocket() -> bool:
    if NODE is None:
        return False
    probe = "process.exit(typeof WebSocket === 'function' ? 0 : 1)"
    asked = await asyncio.create_subprocess_exec(NODE, FLAG, "-e", probe, stderr=DEVNULL)
    return await asked.wait() == 0


async def test_the_javascript_client(tmp_path: Path) -> None:
    if not await has_websocket():
        pytest.skip("needs Node.js 20 or newer")
    path = tmp_path / "client.mjs"
    path.write_text(program("javascript"))
    await follows(str(NODE), FLAG, str(path))


def test_there_is_a_client_in_csharp() -> None:
    """Nothing here can run it: it must at least speak the same requests as the others."""
    for language in ("python", "javascript", "csharp"):
        text = program(language)
        for part in (r"authorize\n0\n\n", r"user/syncrequest\n1\n\n", "accesstokenrequest", "[]", "props"):
            assert part in text, (language, part)
