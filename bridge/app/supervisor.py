"""`run --workers N`: deals shards and limits, gets the token, and speaks and ends for all workers."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import structlog

from bridge.app.run import about, process_metrics
from bridge.app.shards import VERSION
from bridge.app.source import broker, budget_limits, plan
from bridge.app.worker import Order
from bridge.config import Settings
from bridge.errors import BridgeError, ConfigurationError
from bridge.source.budget import BudgetLimits
from bridge.speed.choice import REASON
from bridge.workers.crew import Crew
from bridge.workers.endpoints import served
from bridge.workers.shares import dealt, split

TOKEN_PATIENCE_S = 5.0
"""So long the workers wait for the token, so that one asks for it and not all; then they begin without. They need not
wait when the broker wants to hear nothing for a time: then they will keep it too."""


class Supervisor:
    """One bridge of several processes.

    Args:
        config: the file that the settings came from, if one was named.
        workers: how many processes.
        module: what they run.

    Raises:
        ConfigurationError: there are more workers than shards, or the settings cannot work.
    """

    def __init__(self, settings: Settings, config: Path | None, workers: int, module: str) -> None:
        shards = settings.sharding.remainders
        if workers > len(shards):
            raise ConfigurationError(
                f"--workers {workers} is more than the {len(shards)} shards of this process, and a shard cannot be "
                f"divided: give {len(shards)} at most, or raise sharding.divisor before the topics are created"
            )
        for remainder in shards:
            plan(settings, remainder)
        broker(settings)  # what cannot work is refused before anything is started
        self._settings, self._config, self._module = settings, config, module
        self._shards = dealt(shards, workers)
        self._stop = asyncio.Event()
        self._logger = structlog.get_logger()

    def stop(self) -> None:
        """Stop all workers in an orderly way; `run()` returns when they have."""
        self._stop.set()

    async def run(self) -> None:
        """Bridge until `stop()`.

        Raises:
            BridgeError: as its exit code says.
        """
        settings = self._settings
        described = {"version": VERSION, **about(settings)}
        self._logger.info("starting", **described, accelerator=REASON, workers=len(self._shards))
        async with AsyncExitStack() as stack:
            token_path, folder = stack.enter_context(_token_file(settings.source.token_path))
            crew = Crew(self._shards, self._module)
            http, order = settings.http, settings.sharding.remainders
            secret = http.admin_token.get_secret_value() if http.admin_token is not None else None
            address = await stack.enter_async_context(
                served(http.host, http.port, crew.children, order, process_metrics(), described, secret)
            )
            self._logger.info("listening", http=address)
            await stack.enter_async_context(crew)
            hold_s = await self._login(token_path)
            if not self._stop.is_set():
                crew.order([order.message() for order in self._orders(token_path, folder, hold_s)])
            await self._until_the_end(crew)

    async def _login(self, token_path: Path) -> float:
        """Put the token of all into its file, while the workers load what they need.

        Returns:
            For how many seconds the broker wants to hear nothing new, 0 as a rule.

        Raises:
            AuthorizationRefused: the broker refuses the credentials; so it was asked once and not by every worker.
        """
        settings = self._settings
        source = settings.source.model_copy(update={"token_path": token_path})
        refused = asyncio.Event()
        async with broker(settings.model_copy(update={"source": source})) as shared:
            shared.budget.on_news = lambda *_: refused.set()
            token = asyncio.create_task(shared.keeper.token())
            others = [asyncio.create_task(event.wait()) for event in (refused, self._stop)]
            try:
                await asyncio.wait([token, *others], timeout=TOKEN_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
                if token.done():
                    token.result()
            finally:
                for task in (token, *others):
                    task.cancel()
                await asyncio.gather(token, *others, return_exceptions=True)
            return shared.budget.hold.wait_s

    def _orders(self, token_path: Path, folder: Path | None, hold_s: float) -> Iterator[Order]:
        limits = shared_out(budget_limits(self._settings), [len(each) for each in self._shards])
        for number, (shards, share) in enumerate(zip(self._shards, limits, strict=True), 1):
            yield Order(
                worker=number,
                supervisor=os.getpid(),
                config=str(self._config) if self._config else None,
                shards=shards,
                token_path=str(token_path),
                token_folder=str(folder) if folder else None,
                limits=share,
                hold_s=hold_s,
            )

    async def _until_the_end(self, crew: Crew) -> None:
        try:
            await crew.run(self._stop)
        except BridgeError as error:
            self._logger.warning("stopped", reason=str(error), exit_code=error.exit_code)
            raise
        self._logger.info("stopped", reason="asked to")


def shared_out(limits: BudgetLimits, shards: list[int]) -> list[BudgetLimits]:
    """The share of each worker; together they stay below the limits, but that each may do everything at least once.

    Args:
        shards: how many each has.
    """
    count = len(shards)
    spare = split(limits.spare_sockets, count)
    syncrequests = split(limits.syncrequests_per_hour, count, least=1)
    logins = split(limits.logins_per_hour - 1, count, least=1)  # one is the supervisor's
    renewals = split(limits.renewals_per_hour, count, least=1)
    bursts = split(limits.connect_burst, count, least=1)
    return [
        replace(
            limits,
            sockets=shards[n] + spare[n],
            spare_sockets=spare[n],
            syncrequests_per_hour=syncrequests[n],
            logins_per_hour=logins[n],
            renewals_per_hour=renewals[n],
            connect_burst=bursts[n],
            connect_rate=limits.connect_rate / count,
        )
        for n in range(count)
    ]


@contextmanager
def _token_file(path: Path | None) -> Iterator[tuple[Path, Path | None]]:
    """The file of the token, and the folder that was made for it: only we may look into it, and it vanishes at the end.

    Raises:
        ConfigurationError: there is no place for one.
    """
    if path is not None:
        yield path, None
        return
    try:
        made = tempfile.TemporaryDirectory(prefix="syncbridge-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ConfigurationError(
            f"the workers share a token, and no temporary folder can be made for it ({error.strerror}): "
            "set source.token_path"
        ) from error
    with made as folder:
        yield Path(folder) / "token", Path(folder)
