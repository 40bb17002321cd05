"""What a synced socket is sent: snapshot, events, and what faults make of them (protocol sections 8 and 9)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bridge.simulator.faults import Fault
from bridge.simulator.ledger import Kind, SessionLog
from bridge.simulator.link import Link, now_us
from bridge.simulator.sharding import wants
from bridge.simulator.store import Change
from bridge.simulator.wire import Part, event_frames, padded

if TYPE_CHECKING:
    from bridge.simulator.server import Simulator


class Feed:
    """The stream of one synced socket; the ledger learns of every frame.

    Attributes:
        log: its entry in the ledger.
    """

    def __init__(self, link: Link, simulator: Simulator, log: SessionLog) -> None:
        self.log = log
        self._link = link
        self._sim = simulator
        self._held: list[tuple[list[Change], Kind]] | None = None

    @property
    def remainder(self) -> int | None:
        """The shard it serves, None without sharding."""
        return self.log.subscription.remainder if self.log.subscription.expression is not None else None

    @property
    def holding(self) -> bool:
        """Whether frames are held back."""
        return self._held is not None

    def snapshot(self, parts: list[Part]) -> None:
        """Sends the snapshot. Without pauses it is written in one go, so no event can slip between."""
        for index, planned in enumerate(parts):
            part, pause = self._prepared(planned, self._sim.options.part_delay_s if index else 0.0)
            if pause:
                if not self._sim.options.events_between_parts:
                    self._held = []
                self._link.spawn(self._later(part, pause, parts[index + 1 :]))
                return
            self._part(part)

    def _prepared(self, part: Part, pause: float) -> tuple[Part, float]:
        """A part, and how long to wait before it, after faults have had their say."""
        for fault in self._sim.faults.take("part", self.remainder):
            if fault.kind == "part_delay":
                pause += fault.args["seconds"]
            else:
                part = Part(padded(part.text, fault.args["bytes"]), part.changes)
        return part, pause

    def deliver(self, changes: list[Change], kind: Kind) -> None:
        """Sends those of some simultaneous changes that this socket has asked for."""
        mine = [c for c in changes if wants(self.log.subscription, c, self._sim.options)]
        if mine and not self._link.ended:
            self._queue(mine, kind)

    def strike(self) -> None:
        """Lets the faults of the point `live` that are due happen now, until one has ended the socket."""
        faults = self._sim.faults.take("live", self.remainder)
        while not (self._link.ended or self._link.silent) and (fault := next(faults, None)) is not None:
            self._happen(fault)

    def close(self, how: str) -> None:
        """Notes the end in the ledger; only the first one counts."""
        if not self.log.ended_us:
            self.log.ended_us, self.log.end, self.log.code = now_us(), how, self._link.client_code

    def _happen(self, fault: Fault) -> None:
        link, args = self._link, fault.args
        if fault.kind == "drop":
            link.drop("drop")
        elif fault.kind == "half_open":
            link.silent = True
            self.close("half_open")
        elif fault.kind == "close":
            link.close(args["code"], args["reason"])
        elif fault.kind == "close_frame":
            link.send(str(args["text"]).encode())
            link.close()
        else:
            link.shutdown(args["code"], args["reason"])

    async def _later(self, part: Part, pause: float, following: list[Part]) -> None:
        await asyncio.sleep(pause)
        self._part(part)
        for planned in following:
            if self._link.ended:
                return
            part, pause = self._prepared(planned, self._sim.options.part_delay_s)
            await asyncio.sleep(pause)
            self._part(part)
        self._release()

    async def _thaw(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._release()

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for changes, kind in held:
            self._queue(changes, kind)

    def _queue(self, changes: list[Change], kind: Kind) -> None:
        """Sends frames now, or after those that are held back."""
        for part in event_frames(changes, self._sim.options):
            if self._held is None:
                self._emit(part, kind)
            else:
                self._held.append((part.changes, kind))

    def _part(self, part: Part) -> None:
        if not self._link.ended:
            self._write(part.text, part.changes, Kind.SNAPSHOT)

    def _write(self, text: bytes, changes: list[Change], kind: Kind) -> None:
        self.log.delivered(changes, Kind.WITHHELD if self._link.silent else kind, now_us())
        self._link.send(text)

    def _emit(self, part: Part, kind: Kind) -> None:
        """Writes one frame of events, if no fault prevents it."""
        faults = self._sim.faults
        if faults.armed("live"):
            self.strike()
        if self._link.ended:
            return
        again = self._sim.chance(self._sim.options.duplicates)
        if faults.armed("frame"):
            for fault in faults.take("frame", self.remainder):
                if fault.kind == "frame_twice":
                    again = True
                elif fault.kind == "frame_padded":
                    part = Part(padded(part.text, fault.args["bytes"]), part.changes)
                elif not self._spoil(fault, part, kind):
                    return
        self._write(part.text, part.changes, kind)
        if again:
            self._write(part.text, part.changes, Kind.AGAIN)

    def _spoil(self, fault: Fault, part: Part, kind: Kind) -> bool:
        """Does what a fault of the point `frame` asks for; whether the frame still goes out."""
        if fault.kind == "frame_garbage":
            self._link.send(str(fault.args["text"]).encode())
            return True
        if fault.kind == "frame_binary":
            self._link.send_binary(str(fault.args["text"]).encode())
            return True
        if fault.kind == "frame_delay":
            self._held = [(part.changes, kind)]
            self._link.spawn(self._thaw(fault.args["seconds"]))
            return False
        self.log.delivered(part.changes, Kind.WITHHELD, now_us())
        if fault.kind == "frame_truncated":
            self._link.send(part.text[: len(part.text) // 2])
        return False
