"""The simulator's ledger, over HTTP or from its files."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from bridge.oracle.content import canonical
from bridge.oracle.records import Delivery, Kind, Session, Truth, Version

_WHOLE = aiohttp.ClientTimeout(total=600)


async def fetch(control_url: str, tls: ssl.SSLContext | None = None) -> Truth:
    """All versions, sessions and deliveries.

    Args:
        control_url: the simulator's own endpoints, `http://host:port/sim`.
        tls: what to trust where that is `https`, None for the system's authorities.
    """
    async with aiohttp.ClientSession(timeout=_WHOLE, read_bufsize=1 << 20) as http:
        events, sessions, deliveries = [
            [make(line) async for line in _lines(http, f"{control_url}/ledger/{name}", tls)]
            for name, make in (("events", _version), ("sessions", _session), ("deliveries", _delivery))
        ]
    return _truth(events, sessions, deliveries)


def read(folder: Path) -> Truth:
    """The same from the files that the simulator writes.

    Raises:
        OSError: there are no such files.
    """
    events, sessions, deliveries = (
        [make(orjson.loads(line)) for line in (folder / f"{name}.ndjson").read_bytes().splitlines()]
        for name, make in (("events", _version), ("sessions", _session), ("deliveries", _delivery))
    )
    return _truth(events, sessions, deliveries)


async def faults_of_the_truth(control_url: str, tls: ssl.SSLContext | None = None) -> list[str]:
    """What does not add up in the simulated world itself: a ledger with that proves nothing."""
    async with (
        aiohttp.ClientSession(timeout=_WHOLE) as http,
        http.get(f"{control_url}/check", ssl=tls or True) as answer,
    ):
        answer.raise_for_status()
        return [str(sentence) for sentence in await answer.json()]


def _truth(events: list[Any], sessions: list[Any], deliveries: list[Any]) -> Truth:
    return Truth({version.number: version for version in events}, sessions, deliveries)


async def _lines(http: aiohttp.ClientSession, url: str, tls: ssl.SSLContext | None) -> AsyncIterator[Any]:
    async with http.get(url, ssl=tls or True) as answer:
        answer.raise_for_status()
        rest = b""
        async for chunk in answer.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield orjson.loads(line)
        if rest:
            yield orjson.loads(rest)


def _version(line: dict[str, Any]) -> Version:
    return Version(
        line["n"], line["type"], line["event"], line["id"], line["account"], line["user"],
        canonical(line["entity"]), line["known"], line["at_ms"],
    )  # fmt: skip


def _session(line: dict[str, Any]) -> Session:
    types = None if line["types"] is None else frozenset(line["types"])
    return Session(
        line["session"], line["expression"], line["divisor"], line["remainder"], types, line["synced_us"],
        line["ended_us"], line["end"] == "client",
    )  # fmt: skip


def _delivery(line: list[int]) -> Delivery:
    session, number, sent_us, kind, frame = line
    return Delivery(session, number, sent_us, Kind(kind), frame)
