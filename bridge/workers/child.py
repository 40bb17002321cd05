"""One worker as its supervisor sees it: a process, the link to it, and what it has said."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence

from bridge.workers.link import Link, Message, opened

IN_ORDER = (0, -signal.SIGTERM)
"""Exit statuses of a worker that was told to stop, the second of one that had not begun yet."""


class Child:
    """One worker; `start()` before all else.

    Args:
        number: from 1.
        shards: that it runs.
        on_news: told what the broker has refused it, for the other workers.

    Attributes:
        address: of its endpoints, empty until it serves them.
        reason: why it ends, in its own words; empty if it did not say.
        pid: of its process, also after the end; None before it is started.
    """

    def __init__(self, number: int, shards: Sequence[int], on_news: Callable[[Child, Message], None]) -> None:
        self.number, self.shards, self._on_news = number, tuple(shards), on_news
        self.address = self.reason = ""
        self.pid: int | None = None

    def __str__(self) -> str:
        return f"worker {self.number} (shards {', '.join(map(str, self.shards))})"

    async def start(self, module: str) -> None:
        """Start a module of ours in another interpreter; its argument is the number of its end of the link.

        It looks for modules where this process does, and nowhere else. Ctrl-C in a terminal is for the supervisor.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", module, str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )  # fmt: skip
        self.pid = self._process.pid
        self._link: Link = await opened(ours)

    def tell(self, message: Message) -> None:
        """Send it a message."""
        self._link.send(message)

    def stop(self) -> None:
        """Have it stop in an orderly way."""
        self._link.finish()

    def kill(self) -> None:
        """End it at once; nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self, leave_s: float) -> int:
        """Listen to it to its end; gives the exit status, negative for a signal.

        Args:
            leave_s: so long after its last word the process may still be there; then it is killed.
        """
        await self._link.listen(self._hear)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(leave_s):
                await self._process.wait()
        self.kill()
        await self._link.close()
        return await self._process.wait()

    def _hear(self, message: Message) -> None:
        if "news" in message:
            self._on_news(self, message)
        self.address = message.get("address", self.address)
        self.reason = message.get("reason", self.reason)
