"""A child process that ends with us, controlled by signals and by its own pid. Bound to no event loop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_CHILD = Path(__file__).with_name("child.py")
_POLL_S = 0.02
_KILL_S = 10.0


class ChildProcess:
    """One running program; see `child.py` for how it is tied to this process.

    Args:
        command: program (absolute path) and arguments.
        output: file that gets stdout and stderr; it is written anew.
        environment: all of the program's environment.
    """

    def __init__(self, command: Sequence[str], output: Path, environment: Mapping[str, str] | None = None) -> None:
        with output.open("wb") as file:
            self._process = subprocess.Popen(  # noqa: S603 - programs of the devkit
                [sys.executable, "-I", "-S", str(_CHILD), *command],
                stdin=subprocess.PIPE,  # the life line: its end tells the watcher that we have ended
                stdout=file,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                start_new_session=True,  # Ctrl-C in the terminal is for us; we then stop the child in order
            )

    @property
    def pid(self) -> int:
        """Process id, also after the end."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    async def wait(self, timeout_s: float) -> int:
        """Wait for the end.

        Returns:
            The exit status.

        Raises:
            TimeoutError: it still runs after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while (status := self._process.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid} still runs after {timeout_s:g} s")
            await asyncio.sleep(_POLL_S)
        self._close_life_line()
        return status

    async def stop(self, patience_s: float) -> None:
        """Ask it to end (SIGTERM); kill it if it has not ended after `patience_s` seconds."""
        self.resume()  # a stopped process does not see SIGTERM
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await self.wait(patience_s)
        await self.kill()

    async def kill(self) -> None:
        """End it at once (SIGKILL); nothing happens if it has ended already."""
        self._process.kill()
        await self.wait(_KILL_S)

    def pause(self) -> None:
        """Stop it from running without ending it: its connections stay open and silent (SIGSTOP)."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run again (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    def _close_life_line(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
