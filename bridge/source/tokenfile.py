"""The token on disk, so that a restart does not log in anew and processes share one session.

Written whole (temporary file, then rename) with mode 0600. An advisory lock beside it serialises the processes that
want a new token; readers of the file need none.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import orjson

from bridge.source.credentials import Token

_VERSION = 1
_POLL_S = 0.05


class TokenFile:
    """One token file.

    Args:
        path: where; its folder must exist.
        lock_s: how long to wait for another process.
    """

    def __init__(self, path: Path, *, lock_s: float) -> None:
        self.path, self._lock_s = path, lock_s

    def read(self) -> Token | None:
        """Read the token, None if there is no file.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not a token file of ours.
        """
        try:
            content = orjson.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        if not isinstance(content, dict) or content.pop("version", None) != _VERSION:
            raise ValueError(f"{self.path} is not a token file of this version")
        return _token(content, self.path)

    async def write(self, token: Token) -> None:
        """Replace the file.

        Raises:
            OSError: it cannot be written.
        """
        await asyncio.to_thread(self._replace, orjson.dumps({"version": _VERSION} | asdict(token)))

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[bool]:
        """Hold the lock; gives False if another process kept it for longer than we wait.

        Raises:
            OSError: the lock file cannot be made.
        """
        handle = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield await self._acquire(handle)
        finally:
            os.close(handle)

    async def _acquire(self, handle: int) -> bool:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._lock_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if loop.time() >= give_up_at:
                    return False
                await asyncio.sleep(_POLL_S)
            else:
                return True

    def _replace(self, content: bytes) -> None:
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # mode 0600 by definition
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _token(content: dict[str, object], path: Path) -> Token:
    match content:
        case {
            "value": str(value),
            "expires_at": float(expires_at) | int(expires_at),
            "life_s": float(life_s) | int(life_s),
            "skew_s": float(skew_s) | int(skew_s),
            "name": str(name),
            "environment": str(environment),
            "user_id": None | int() as user_id,
        }:
            return Token(
                value=value,
                expires_at=expires_at,
                life_s=life_s,
                skew_s=skew_s,
                name=name,
                environment=environment,
                user_id=user_id,
            )
    raise ValueError(f"{path} does not hold a token")
