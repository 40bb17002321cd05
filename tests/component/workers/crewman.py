"""A worker without a bridge: it does what its order says, on the real link. `python -m tests... N`."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import Any

from bridge.workers.link import opened


async def main(end: socket.socket) -> int:
    link = await opened(end)
    order: dict[str, Any] | None = await link.receive()
    if order is None:
        return 0
    link.send({"address": f"http://127.0.0.1:{os.getpid()}"})
    if news := order.get("news"):
        link.send({"news": news})
    if order.get("deaf"):
        await asyncio.sleep(60)
    if "exit" in order:
        link.send({"reason": order.get("reason", "")})
        await link.close()
        await asyncio.sleep(order.get("linger", 0))
        return int(order["exit"])
    if order.get("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    heard = await link.receive()
    if heard is not None:
        link.send({"reason": f"heard {heard['news']}"})
        await link.close()
        return 9
    return int(order.get("at_last", 0))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(socket.socket(fileno=int(sys.argv[1])))))
