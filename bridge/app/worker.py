"""A worker: an ordinary bridge with some of the shards, at the end of its supervisor's link."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from bridge.app.run import Bridge, Part
from bridge.config import Settings, load
from bridge.errors import BridgeError
from bridge.operate import logs
from bridge.source.budget import BudgetLimits
from bridge.workers.link import Link, Message

MOST_REASON = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a worker is told at its start, beside the configuration, which it reads itself. No secret is in it.

    Attributes:
        worker: its number, from 1.
        supervisor: process id of whoever orders.
        config: the file that the command was given, if one.
        shards: that it is to run.
        token_path: the file with the token of all.
        token_folder: a folder for that file alone, which is to vanish with the command.
        limits: its share.
        hold_s: how long the broker wants to hear nothing new; the supervisor has asked it already.
    """

    worker: int
    supervisor: int
    config: str | None
    shards: tuple[int, ...]
    token_path: str
    token_folder: str | None
    limits: BudgetLimits
    hold_s: float = 0.0

    def message(self) -> Message:
        """As it is sent."""
        return asdict(self)

    @classmethod
    def read(cls, message: Message) -> Self:
        """From what was sent."""
        return cls(**{**message, "shards": tuple(message["shards"]), "limits": BudgetLimits(**message["limits"])})


def narrowed(settings: Settings, order: Order) -> Settings:
    """The settings of one worker: its shards, the token of all, endpoints for the supervisor alone."""
    changes: dict[str, dict[str, Any]] = {
        "source": {"token_path": Path(order.token_path)},
        "sharding": {"remainders": order.shards},
        "http": {"host": "127.0.0.1", "port": 0},
    }
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=change) for name, change in changes.items()}
    )


class Worker:
    """Carries out one order.

    Args:
        link: to the supervisor.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._bridge: Bridge | None = None

    def stop(self) -> None:
        """Stop in an orderly way, if it has begun."""
        if self._bridge is not None:
            self._bridge.stop()

    async def run(self) -> int:
        """Wait for the order and bridge, until `stop()` or until the link ends; gives the exit code."""
        message = await self._link.receive()
        if message is None:
            return 0
        order = Order.read(message)
        try:
            await self._work(order)
        except BridgeError as error:
            self._link.send({"reason": str(error)[:MOST_REASON]})
            return error.exit_code
        except Exception as error:
            self._link.send({"reason": repr(error)[:MOST_REASON]})
            raise
        finally:
            await self._link.close()
        return 0

    async def _work(self, order: Order) -> None:
        settings = load(Path(order.config) if order.config else None)
        logs.configure(settings.log.format, settings.log.level, worker=order.worker)
        part = Part(
            limits=order.limits,
            on_listening=lambda address: self._link.send({"address": address}),
            on_news=lambda what, seconds: self._link.send({"news": [what, seconds]}),
        )
        self._bridge = bridge = Bridge(narrowed(settings, order), part)
        bridge.hear("hold", order.hold_s)
        listening = asyncio.create_task(self._listen(bridge))
        try:
            await bridge.run()
        finally:
            listening.cancel()
            if order.token_folder is not None and os.getppid() != order.supervisor:  # it cannot do that any more
                await asyncio.to_thread(shutil.rmtree, order.token_folder, ignore_errors=True)

    async def _listen(self, bridge: Bridge) -> None:
        """To the end of the link, which means: stop."""
        await self._link.listen(lambda message: bridge.hear(*message["news"]))
        bridge.stop()
