"""What several verbs share."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from bridge.config import Settings, load
from bridge.operate import logs

T = TypeVar("T")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file; default syncbridge.toml if it exists.")
]


def settings(path: Path | None) -> Settings:
    """Settings from file and environment, with the log set up accordingly."""
    loaded = load(path)
    logs.configure(loaded.log.format, loaded.log.level)
    return loaded


def execute(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end on the fastest event loop there is; Ctrl-C outside of a verb that handles it ends quietly."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(coroutine)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@contextmanager
def stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGINT and SIGTERM while the block runs."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return uvloop.new_event_loop
