"""The verdict on a run: made for a configuration, and told.

Apart from the verbs, because the oracle takes its time to be loaded, and `syncbridge run` must not wait for it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import aiohttp
import typer

from bridge.app import cluster as parts
from bridge.config import Settings
from bridge.errors import BridgeError, ConfigurationError, KafkaUnavailable
from bridge.kafka.client import translated
from bridge.oracle import verify as oracle
from bridge.oracle.expectation import Rules
from bridge.oracle.reader import Follower
from bridge.oracle.report import Report
from bridge.oracle.schemas import Registry

SHOWN = 10
REST_S, DRAIN_S = 2.0, 60.0


def conclude(report: Report, *, as_json: bool) -> None:
    """Tell a verdict, and end with 1 if anything is wrong."""
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        explain(report)
    if not report.ok:
        raise typer.Exit(1)


def explain(report: Report) -> None:
    """Print a verdict with the first of the offending records."""
    wrong = {fault: count for fault, count in report.wrong.items() if count}
    latency = ""
    if report.latency_ms["p50"] is not None:
        latency = f", latency p50 {report.latency_ms['p50']} ms, p99 {report.latency_ms['p99']} ms"
    if report.sockets[1]:
        typer.echo(f"{report.sockets[1]} sockets asked for another sharding and were not judged")
    typer.echo(f"{report.events_sent:,} events sent, {report.records_committed:,} records committed{latency}")
    typer.echo("all of it is right" if report.ok else f"WRONG: {wrong}")
    for offence in report.offences[:SHOWN]:
        typer.echo(json.dumps(offence))


async def verdict(loaded: Settings, truth: str | Path, watch: float | None) -> Report:
    """Judge the topics of a configuration.

    Args:
        loaded: the bridge's settings.
        truth: the simulator's own endpoints, or a folder with its ledger.
        watch: seconds to poll first; None judges what is there.
    """
    cluster, registry, tls = parts.cluster(loaded), _registry(loaded), _trust(loaded.source.ca_file, "source")
    where = (cluster.bootstrap_servers, parts.names(loaded).prefix)
    trading = isinstance(truth, str) and bool((await _ask("GET", truth, tls))["rate"])
    with translated("verify", cluster):
        if watch is None or isinstance(truth, Path):
            rules = _rules(loaded, complete=not trading)
            return await _judge(oracle.verify(*where, truth, registry, rules=rules, tls=tls, **cluster.options), loaded)
        async with Follower(*where, **cluster.options) as follower:
            await asyncio.sleep(watch)
            await _ask("POST", f"{truth}/pause", tls)
            await _rest(follower)
            rules = _rules(loaded, complete=True)
            return await _judge(
                oracle.verify(*where, truth, registry, rules=rules, follower=follower, tls=tls, **cluster.options),
                loaded,
            )


async def _judge(judging: Awaitable[Report], loaded: Settings) -> Report:
    try:
        report = await judging
    except aiohttp.ClientError as error:
        raise KafkaUnavailable(f"verify: the registry or the simulator does not answer any more: {error}") from error
    if not report.sockets[0]:
        raise BridgeError(
            f"nothing to judge: no socket with {loaded.sharding.expression} and divisor {loaded.sharding.divisor} "
            f"was synced ({report.sockets[1]} with another sharding); is it the bridge's simulator and configuration?"
        )
    return report


async def _rest(follower: Follower) -> None:
    """Waits until nothing new could be read for a while."""
    deadline = time.monotonic() + DRAIN_S
    count, since = -1, time.monotonic()
    while time.monotonic() - since < REST_S and time.monotonic() < deadline:
        if follower.count != count:
            count, since = follower.count, time.monotonic()
        await asyncio.sleep(0.1)


def _rules(loaded: Settings, *, complete: bool) -> Rules:
    return Rules(
        loaded.sharding.divisor,
        loaded.sharding.expression,
        delete_quiet_us=int((loaded.snapshot.delete_quiet_s + 30) * 1_000_000),
        complete=complete,
        exactly_once=loaded.kafka.delivery == "exactly_once",
    )


def _registry(loaded: Settings) -> Registry | None:
    config = loaded.registry
    if config.url is None:
        return None
    auth = (config.username, config.password.get_secret_value() if config.password else "") if config.username else None
    return Registry(config.url, auth, _trust(config.ca_file, "registry"))


def _trust(ca_file: Path | None, section: str) -> ssl.SSLContext | None:
    try:
        return ssl.create_default_context(cafile=str(ca_file)) if ca_file else None
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"cannot use {section}.ca_file {ca_file}: {error}") from error


async def _ask(method: str, url: str, tls: ssl.SSLContext | None) -> dict[str, Any]:
    try:
        async with aiohttp.ClientSession() as http, http.request(method, url, ssl=tls or True) as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found
    except (aiohttp.ClientError, ValueError) as error:
        raise BridgeError(
            f"no simulator answers at {url} ({error}); `syncbridge simulate` prints its address"
        ) from error
