"""A development schema registry: the Confluent REST calls that clients use, with real compatibility checks.

Error codes and paths are those of the Confluent Schema Registry API. Schema references, contexts other than the default
and mode IMPORT are refused: nothing here needs them, and half an answer would be worse than none.
"""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from bridge.devkit.registry_api import Handler, error, routes
from bridge.devkit.subjects import Change, Refused, Subjects

_HOST = "127.0.0.1"
_MAX_BODY = 8 << 20


class DevRegistry:
    """The registry as a server; an async context manager.

    Args:
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        file: JSON lines in which it keeps what it knows; None keeps it in memory.
    """

    def __init__(self, *, host: str = _HOST, port: int = 0, file: Path | None = None) -> None:
        self._host, self._port, self._file = host, port, file
        self._subjects = Subjects(self._journal)
        self._failures: deque[int] = deque()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Base address, without a slash at the end. Only after `start()`."""
        return f"http://{self._host}:{self._port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Read the file, if there is one, and listen.

        Raises:
            OSError: the port is taken.
        """
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.touch()
            for line in self._file.read_text(encoding="utf-8").splitlines():
                self._subjects.apply(json.loads(line))
        app = web.Application(middlewares=[self._answers], client_max_size=_MAX_BODY)
        app.add_routes(routes(self._subjects))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runner = runner
        site = web.TCPSite(runner, self._host, self._port)
        try:
            await site.start()
        except OSError:
            await self.stop()
            raise
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def fail_next(self, status: int, count: int = 1) -> None:
        """Answer the next `count` requests with this HTTP status, whatever they ask for."""
        self._failures.extend([status] * count)

    def _journal(self, change: Change) -> None:
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(change) + "\n")

    @web.middleware
    async def _answers(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turns refusals into Confluent's error bodies, and serves the faults that a test asked for."""
        if self._failures:
            status = self._failures.popleft()
            return error(status, status * 100 + 1, "A fault that was asked for")
        try:
            return await handler(request)
        except Refused as refused:
            return error(refused.status, refused.code, str(refused))
        except web.HTTPException as problem:
            return error(problem.status, problem.status, problem.reason)
