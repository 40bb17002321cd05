"""The same over a real socket: spoilt frames, and bytes that are no WebSocket at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode

from bridge.source.refusals import SessionLimits
from tests.component.source.scripted import Recorder, serving, welcome
from tests.fuzz.mutators import flip, spoilt, truncate
from tests.fuzz.pipeline import CAUSES, Shaken
from tests.fuzz.scripts import script

LIMITS = SessionLimits(
    heartbeat_s=0.05, idle_s=2.0, open_s=2.0, authorize_s=2.0, sync_s=2.0, snapshot_quiet_s=0.05, stall_s=1.0
)
LATEST_S = 60.0


async def conversation(r: Random, transcripts: Sequence[Sequence[bytes]]) -> str:
    """One conversation of the real client with a server that has gone mad; the cause of its end.

    Raises:
        Shaken: it does not end, or for a reason that is not documented.
    """
    frames = [step for step in script(r, transcripts) if isinstance(step, bytes)][: r.choice((1, 5, 50))]
    greeted, raw = r.random() < 0.8, r.random() < 0.3

    async def mad(ws: ServerConnection) -> None:
        if greeted:
            await welcome(ws)
        for each in frames:
            if raw:
                ws.transport.write(_broken(r, each))
            else:
                await ws.send(each, text=r.random() < 0.95)
        if r.random() < 0.5:
            ws.transport.close() if r.random() < 0.5 else await ws.close()
        else:
            await ws.wait_closed()

    async with serving(mad) as url:
        recorder = Recorder(url, limits=LIMITS)
        recorder.conversation.allow_sync()
        try:
            async with asyncio.timeout(LATEST_S):
                lost = await recorder.conversation.run()
        except TimeoutError as error:
            raise Shaken(f"the conversation has not ended after {LATEST_S:g} s") from error
    if lost.cause not in CAUSES:
        raise Shaken(f"the cause {lost} is not documented")
    return lost.cause


def _broken(r: Random, payload: bytes) -> bytes:
    """A WebSocket frame of a server, spoilt as bytes."""
    opcode = r.choice((Opcode.TEXT, Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.CLOSE))
    short = payload[:100] if opcode in (Opcode.PING, Opcode.CLOSE) else payload
    try:
        whole = Frame(opcode, short, fin=r.random() < 0.9).serialize(mask=False)
    except Exception:  # noqa: BLE001 - what cannot be built properly is sent as it is
        whole = short
    return r.choice((flip, truncate, spoilt, lambda _r, raw, _pool: raw))(r, whole, [payload])
