"""Real conversations of the simulator, in every shape it knows: what a server has sent, frame by frame."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.entities.catalogue import SNAPSHOT_TYPES
from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from tests.component.simulator.client import Client, connected

Transcript = list[bytes]
SHAPES: tuple[dict[str, Any], ...] = (
    {"split": "D"},
    {"split": "A", "parts": 3, "unknown_lists": True, "empty_lists": "null"},
    {"split": "B", "entity_array": True, "unknown_fields": True},
    {"split": "C", "event_array": True, "messages_per_frame": 3, "nulls": True},
    {"split": "A", "string_elements": True, "unknown_types": True, "unknown_symbols": True, "deletes": 0.3},
    {"split": "D", "missing_ms": True, "integer_doubles": True, "fill_before_order": True, "duplicates": 0.3},
)
STEPS = 40


async def transcripts() -> list[Transcript]:
    """One for each shape: greeting, grant, snapshot, events."""
    return [await _transcript(shape) for shape in SHAPES]


async def _transcript(shape: dict[str, Any]) -> Transcript:
    async with Simulator(Options(accounts=6, heartbeat_s=0.0, **shape)) as simulator, connected(simulator) as client:
        heard = Heard(client)
        await client.authorize()
        await client.request_sync(types=list(SNAPSHOT_TYPES))
        await heard.quiet()
        for _ in range(STEPS):
            await simulator.step(1)
        await heard.quiet()
        return [b"o", b'a[{"s":200,"i":0}]', *heard.frames]


class Heard:
    """Collects what comes until nothing more comes."""

    def __init__(self, client: Client) -> None:
        self.frames: Transcript = []
        self._client = client

    async def quiet(self, pause_s: float = 0.3) -> None:
        while True:
            try:
                self.frames.append((await asyncio.wait_for(self._client.frame(), pause_s)).encode())
            except TimeoutError:
                return


def write(path: Path, found: Sequence[Transcript]) -> None:
    """For other processes, so that all begin with the same."""
    path.write_text(json.dumps([[base64.b64encode(raw).decode() for raw in each] for each in found]), "utf-8")


def read(path: Path) -> list[Transcript]:
    return [[base64.b64decode(raw) for raw in each] for each in json.loads(path.read_text("utf-8"))]
