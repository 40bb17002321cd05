"""`python -m bridge.cli.worker N`: what `syncbridge run --workers` starts; N is an open file, the end of a link."""

from __future__ import annotations

import socket
import sys

from bridge.app.worker import Worker
from bridge.cli.common import execute, stop_signals
from bridge.workers.link import opened


async def _work(end: socket.socket) -> int:
    worker = Worker(await opened(end))
    with stop_signals(worker.stop):
        return await worker.run()


if __name__ == "__main__":
    sys.exit(execute(_work(socket.socket(fileno=int(sys.argv[1])))))
