"""Fetches the simulator's ledger over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson

from bridge.oracle.content import canonical
from bridge.oracle.records import Delivery, Kind, Session, Truth, Version

_WHOLE = aiohttp.ClientTimeout(total=600)


async def fetch(control_url: str) -> Truth:
    """All versions, sessions and deliveries.

    Args:
        control_url: the simulator's own endpoints, `http://host:port/sim`.
    """
    async with aiohttp.ClientSession(timeout=_WHOLE, read_bufsize=1 << 20) as http:
        versions = [_version(line) async for line in _lines(http, f"{control_url}/ledger/events")]
        sessions = [_session(line) async for line in _lines(http, f"{control_url}/ledger/sessions")]
        deliveries = [
            Delivery(session, number, sent_us, Kind(kind), frame)
            async for session, number, sent_us, kind, frame in _lines(http, f"{control_url}/ledger/deliveries")
        ]
    return Truth({v.number: v for v in versions}, sessions, deliveries)


async def _lines(http: aiohttp.ClientSession, url: str) -> AsyncIterator[Any]:
    async with http.get(url) as answer:
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
