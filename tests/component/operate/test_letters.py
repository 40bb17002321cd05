"""Dead letters handed in again over HTTP: real requests to the real endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from bridge.changes.held import HeldKeys
from bridge.operate.http import served
from bridge.operate.metrics import ShardView
from bridge.shard.stats import ShardStats
from tests.component.operate.letters import letters_of
from tests.unit.changes.scene import Scene

TOKEN = "a-token-of-ours"
JSON = {"Content-Type": "application/json"}
QUERY = {"shard": "1", "entity_type": "order", "received_us": "5"}


async def decide(*_: object) -> dict[str, int]:
    return {}


@asynccontextmanager
async def bridge(scene: Scene, token: str | None = None) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    view = ShardView(ShardStats(1), scene.counts, lambda: 0, HeldKeys(), decide, letters_of(1, scene))
    async with (
        served("127.0.0.1", 0, [view], CollectorRegistry(), {}, token) as url,
        aiohttp.ClientSession() as http,
    ):
        yield http, f"{url}/dead-letters"


async def test_a_letter_is_published_once_and_its_content_told() -> None:
    scene = Scene()
    async with bridge(scene) as (http, url):
        for expected in ("published", "unchanged"):
            async with http.post(f"{url}/retry", params=QUERY, data=b'{"id":7}', headers=JSON) as answer:
                found = await answer.json()
            assert (answer.status, found["outcome"]) == (200, expected)
        async with http.post(f"{url}/contents", json={"shard": 1, "keys": [["order", 7], ["order", 8]]}) as answer:
            assert await answer.json() == {"contents": [found["content"], None]}
        other = {**QUERY, "newer_than": "0"}
        async with http.post(f"{url}/retry", params=other, data=b'{"id":7,"accountId":1}', headers=JSON) as answer:
            assert (await answer.json())["outcome"] == "superseded"
    assert list(scene.state.tables["order"]) == [7]


@pytest.mark.parametrize("path", ["retry", "contents"])
@pytest.mark.parametrize(
    ("token", "headers"),
    [(None, {"Content-Type": "text/plain"}), (None, {**JSON, "Host": "evil.example"}), (TOKEN, JSON)],
)
async def test_only_who_may_decide_may_hand_in_letters(path: str, token: str | None, headers: dict[str, str]) -> None:
    scene = Scene()
    async with (
        bridge(scene, token) as (http, url),
        http.post(f"{url}/{path}", params=QUERY, data=b'{"id":7}', headers=headers) as answer,
    ):
        assert answer.status == 403
    assert not len(scene.state)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ({**QUERY, "shard": "2"}, b'{"id":7}'),
        ({**QUERY, "shard": "x"}, b'{"id":7}'),
        ({"shard": "1"}, b'{"id":7}'),
        (QUERY, b"{"),
        (QUERY, b"[" * 100_000),
    ],
)
async def test_what_is_no_letter_is_refused(query: dict[str, str], body: bytes) -> None:
    async with (
        bridge(Scene()) as (http, url),
        http.post(f"{url}/retry", params=query, data=body, headers=JSON) as answer,
    ):
        assert answer.status == 400


@pytest.mark.parametrize("body", [{}, {"shard": 1, "keys": 5}, {"shard": 1, "keys": [["order"]]}, [], {"shard": []}])
async def test_keys_that_are_none_are_refused(body: Any) -> None:
    async with bridge(Scene()) as (http, url), http.post(f"{url}/contents", json=body) as answer:
        assert answer.status == 400
