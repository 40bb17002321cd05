"""Who may see and decide about held deletions over HTTP: real requests to the real endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from bridge.changes.counts import Counts
from bridge.changes.held import HeldKeys
from bridge.operate.http import served
from bridge.operate.metrics import ShardView
from bridge.shard.stats import ShardStats
from tests.component.operate.letters import letters_of

TOKEN = "a-token-of-ours"
JSON = {"Content-Type": "application/json"}
Call = tuple[int, bool, str | None, tuple[int, ...]]


class Bridge:
    """Two shards' views; shard 1 holds two accounts."""

    def __init__(self) -> None:
        self.decided: list[Call] = []
        self.views = [self._view(0), self._view(1)]
        for number in (5, 9):
            self.views[1].held.hold("account", number, 1_766_000_000_000)

    def _view(self, shard: int) -> ShardView:
        async def decide(confirm: bool, entity_type: str | None, numbers: Collection[int]) -> Mapping[str, int]:
            self.decided.append((shard, confirm, entity_type, tuple(numbers)))
            return {"account": 2}

        return ShardView(ShardStats(shard), Counts(), lambda: 0, HeldKeys(), decide, letters_of(shard))

    @asynccontextmanager
    async def served(self, token: str | None = None) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
        async with (
            served("127.0.0.1", 0, self.views, CollectorRegistry(), {}, token) as url,
            aiohttp.ClientSession() as http,
        ):
            yield http, url


async def test_what_is_held_is_listed_for_everybody() -> None:
    async with Bridge().served(TOKEN) as (http, url), http.get(f"{url}/deletes") as answer:
        found = await answer.json()
    held = {"account": {"count": 2, "since_ms": 1_766_000_000_000, "ids": [5, 9]}}
    assert found == {"shards": [{"shard": 0, "held": {}}, {"shard": 1, "held": held}]}


@pytest.mark.parametrize(("path", "confirm"), [("confirm", True), ("discard", False)])
async def test_a_program_on_the_same_machine_may_decide(path: str, confirm: bool) -> None:
    bridge = Bridge()
    async with bridge.served() as (http, url):
        body = {"shard": None, "entity_type": "account", "ids": [5]}
        async with http.post(f"{url}/deletes/{path}", json=body) as answer:
            assert (answer.status, await answer.json()) == (200, {"shards": [{"shard": 1, "keys": {"account": 2}}]})
        async with http.post(f"{url}/deletes/{path}", json={"shard": 0}) as answer:
            assert await answer.json() == {"shards": []}, "that shard holds nothing"
    assert bridge.decided == [(1, confirm, "account", (5,))]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {**JSON, "Host": "rebound.example:8080"},
        {**JSON, "X-Forwarded-For": "203.0.113.5"},
        {**JSON, "Forwarded": "for=203.0.113.5"},
    ],
    ids=["a form of a web page", "another name", "a proxy", "another proxy"],
)
async def test_without_a_token_nobody_else_may(headers: dict[str, str]) -> None:
    bridge = Bridge()
    async with (
        bridge.served() as (http, url),
        http.post(f"{url}/deletes/confirm", data=b"{}", headers=headers) as answer,
    ):
        assert answer.status == 403
        assert (await answer.json())["error"]
    assert bridge.decided == []


async def test_with_a_token_only_whoever_has_it_may() -> None:
    bridge = Bridge()
    async with bridge.served(TOKEN) as (http, url):
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            async with http.post(f"{url}/deletes/confirm", json={}, headers=given) as answer:
                assert answer.status == 403
        assert bridge.decided == []
        proxied = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "203.0.113.5", "Host": "bridge.example"}
        async with http.post(f"{url}/deletes/confirm", json={}, headers=proxied) as answer:
            assert answer.status == 200
    assert bridge.decided == [(1, True, None, ())]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post_decides(method: str) -> None:
    bridge = Bridge()
    async with bridge.served() as (http, url), http.request(method, f"{url}/deletes/confirm") as answer:
        assert answer.status == 405
    assert bridge.decided == []


@pytest.mark.parametrize(
    "body", [b"[]", b"nonsense", b'{"shard": "0"}', b'{"ids": ["5"]}', b'{"ids": 5}', b'{"everything": true}']
)
async def test_what_is_no_decision_is_refused(body: bytes) -> None:
    bridge = Bridge()
    async with (
        bridge.served() as (http, url),
        http.post(f"{url}/deletes/confirm", data=body, headers=JSON) as answer,
    ):
        assert answer.status == 400
    assert bridge.decided == []


async def test_an_empty_body_means_everything() -> None:
    bridge = Bridge()
    async with bridge.served() as (http, url), http.post(f"{url}/deletes/confirm", headers=JSON) as answer:
        assert answer.status == 200
    assert bridge.decided == [(1, True, None, ())]
