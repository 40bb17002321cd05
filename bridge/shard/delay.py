"""A call that is made after a while, unless it is put off or forgotten before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Delay:
    """One call at a time.

    Args:
        delay_s: how long after `begin` it is made.
        call: made in the loop's callback, so it must return at once.
    """

    def __init__(self, delay_s: float, call: Callable[[], None]) -> None:
        self._delay_s, self._call = delay_s, call
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """From now on; what was begun before is put off."""
        self.forget()
        self._timer = asyncio.get_running_loop().call_later(self._delay_s, self._due)

    def put_off(self) -> None:
        """From now on, if it was begun and has not been made."""
        if self._timer is not None:
            self.begin()

    def forget(self) -> None:
        """Do not make it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._call()
