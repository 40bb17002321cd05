"""Two real bridges' endpoints behind those of their supervisor."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from bridge.changes.counts import Counts
from bridge.changes.held import HeldKeys
from bridge.devkit.ports import free_ports
from bridge.operate import http as single
from bridge.operate.metrics import ShardView
from bridge.shard.stats import ShardStats
from bridge.workers.child import Child
from bridge.workers.endpoints import served
from tests.component.operate.letters import letters_of
from tests.unit.changes.scene import Scene

TOKEN = "a-token-of-ours"
JSON = {"Content-Type": "application/json"}
DEALT = ((0, 2), (1, 3))
ORDER = (0, 1, 2, 3)


class Bridge:
    """Two workers with two shards each; 1 and 2 hold an account.

    Attributes:
        decided: shard, whether confirmed, ids.
    """

    def __init__(self) -> None:
        self.decided: list[tuple[int, bool, tuple[int, ...]]] = []
        self.children = [Child(n, shards, lambda *_: None) for n, shards in enumerate(DEALT, 1)]
        self.views = {shard: self._view(shard) for shard in ORDER}
        for shard in (1, 2):
            self.views[shard].held.hold("account", 50 + shard, 1_766_000_000_000)

    def _view(self, shard: int) -> ShardView:
        async def decide(confirm: bool, _: str | None, numbers: Collection[int]) -> Mapping[str, int]:
            self.decided.append((shard, confirm, tuple(numbers)))
            return {"account": 1}

        stats = ShardStats(shard, ready=True, owned=True)
        letters = letters_of(shard, Scene(remainder=shard))
        return ShardView(stats, Counts(), lambda: 7, HeldKeys(), decide, letters)

    @asynccontextmanager
    async def served(
        self, token: str | None = None, *, without: int | None = None
    ) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
        """Yields a client and the supervisor's address; one worker may not be there yet."""
        async with AsyncExitStack() as stack:
            for child in self.children:
                if child.number != without:
                    views = [self.views[shard] for shard in child.shards]
                    worker = single.served("127.0.0.1", 0, views, CollectorRegistry(), {}, token)
                    child.address = await stack.enter_async_context(worker)
            about = {"version": "1"}
            supervisor = served("127.0.0.1", 0, self.children, ORDER, CollectorRegistry(), about, token)
            url = await stack.enter_async_context(supervisor)
            yield await stack.enter_async_context(aiohttp.ClientSession()), url


async def got(http: aiohttp.ClientSession, url: str, **more: Any) -> tuple[int, Any]:
    method = more.pop("method", "GET")
    async with http.request(method, url, **more) as answer:
        json = answer.content_type == "application/json"
        return answer.status, await answer.json() if json else await answer.text()


async def test_probes_speak_for_all_workers() -> None:
    bridge = Bridge()
    async with bridge.served() as (http, url):
        assert await got(http, f"{url}/livez") == (200, "alive\n")
        assert await got(http, f"{url}/readyz") == (200, "ready\n")
        bridge.views[3].stats.ready = False
        assert await got(http, f"{url}/readyz") == (503, "waiting for shards [3]\n")


async def test_a_worker_that_is_not_there_yet_is_waited_for_and_one_that_is_silent_is_not_alive() -> None:
    bridge = Bridge()
    async with bridge.served(without=2) as (http, url):
        for path, expected in (
            ("livez", (200, "alive\n")),
            ("readyz", (503, "waiting for shards [1, 3]\n")),
            ("deletes", (503, None)),
        ):
            status, body = await got(http, f"{url}/{path}")
            assert (status, expected[1] or body) == (expected[0], body)
        # Its endpoints have gone, as those of a process that hangs.
        bridge.children[1].address = f"http://127.0.0.1:{free_ports(1)[0]}"
        assert await got(http, f"{url}/livez") == (503, "no answer from workers [2]\n")
        _, status = await got(http, f"{url}/status")
        assert (status["ready"], [s["shard"] for s in status["shards"]]) == (False, [0, 2])
        _, metrics = await got(http, f"{url}/metrics")
        lines = [line for line in metrics.splitlines() if not line.startswith("#")]
        assert lines == ['syncbridge_worker_up{worker="1"} 1.0', 'syncbridge_worker_up{worker="2"} 0.0']


async def test_status_has_the_shape_of_one_bridge() -> None:
    bridge = Bridge()
    async with bridge.served() as (http, url):
        _, found = await got(http, f"{url}/status")
    alone = single.status(list(bridge.views.values()), {"version": "1"})
    for shard in found["shards"]:
        assert shard.pop("worker") == (1 if shard["shard"] in DEALT[0] else 2)
    assert {name: found[name] for name in alone} == alone
    assert [(w["worker"], w["shards"], w["answers"]) for w in found["workers"]] == [
        (1, [0, 2], True),
        (2, [1, 3], True),
    ]


async def test_held_deletions_of_all_are_listed_in_order() -> None:
    async with Bridge().served(TOKEN) as (http, url):
        status, found = await got(http, f"{url}/deletes")
    assert (status, [s["shard"] for s in found["shards"]]) == (200, [0, 1, 2, 3])
    assert [s["shard"] for s in found["shards"] if s["held"]] == [1, 2]


@pytest.mark.parametrize(
    ("body", "shards"),
    [({}, [1, 2]), ({"shard": 2}, [2]), ({"shard": 3}, []), ({"shard": 9}, []), ({"ids": [51]}, [1, 2])],
)
async def test_decisions_reach_the_workers_of_their_shards(body: dict[str, Any], shards: list[int]) -> None:
    bridge = Bridge()
    async with bridge.served() as (http, url):
        found = await got(http, f"{url}/deletes/confirm", method="POST", json=body)
    assert found == (200, {"shards": [{"shard": shard, "keys": {"account": 1}} for shard in shards]})
    assert sorted(bridge.decided) == [(shard, True, tuple(body.get("ids", ()))) for shard in shards]


async def test_what_one_worker_could_not_do_is_said_beside_what_others_did() -> None:
    bridge = Bridge()
    async with bridge.served(without=2) as (http, url):
        status, found = await got(http, f"{url}/deletes/discard", method="POST", json={})
    assert (status, found["error"]) == (503, "worker 2 does not answer")
    assert found["shards"] == [{"shard": 2, "keys": {"account": 1}}]
    assert bridge.decided == [(2, False, ())]


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b'{"shard": "0"}', b'{"ids": 5}'])
async def test_what_is_no_decision_is_refused(body: bytes) -> None:
    bridge = Bridge()
    async with bridge.served() as (http, url):
        status, found = await got(http, f"{url}/deletes/confirm", method="POST", data=body, headers=JSON)
    assert (status, bool(found["error"]), bridge.decided) == (400, True, [])


@pytest.mark.parametrize("path", ["deletes/confirm", "deletes/discard", "dead-letters/contents", "dead-letters/retry"])
@pytest.mark.parametrize(
    ("token", "headers"),
    [
        (None, {"Content-Type": "text/plain"}),
        (None, {**JSON, "Host": "rebound.example:8080"}),
        (None, {**JSON, "X-Forwarded-For": "203.0.113.5"}),
        (TOKEN, {**JSON, "Authorization": "Bearer wrong"}),
    ],
)
async def test_only_who_may_decide_gets_through(path: str, token: str | None, headers: dict[str, str]) -> None:
    bridge = Bridge()
    async with bridge.served(token) as (http, url):
        status, _ = await got(http, f"{url}/{path}", method="POST", data=b"{}", headers=headers)
    assert (status, bridge.decided) == (403, [])


async def test_the_token_is_handed_on() -> None:
    bridge = Bridge()
    async with bridge.served(TOKEN) as (http, url):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        status, _ = await got(http, f"{url}/deletes/confirm", method="POST", json={"shard": 1}, headers=headers)
    assert (status, bridge.decided) == (200, [(1, True, ())])


async def test_letters_reach_the_worker_of_their_shard() -> None:
    bridge = Bridge()
    query = {"shard": "3", "entity_type": "order", "received_us": "5"}
    body = b'{"id":7, "text": "' + b"x" * 2_000_000 + b'"}'
    async with bridge.served() as (http, url):
        letters = f"{url}/dead-letters"
        status, found = await got(http, f"{letters}/retry", method="POST", params=query, data=b'{"id":7}', headers=JSON)
        assert (status, found["outcome"]) == (200, "published")
        asked = {"shard": 3, "keys": [["order", 7]]}
        status, told = await got(http, f"{letters}/contents", method="POST", json=asked)
        assert (status, told) == (200, {"contents": [found["content"]]})
        _, told = await got(http, f"{letters}/contents", method="POST", json={**asked, "shard": 1})
        assert told == {"contents": [None]}
        large = io.BytesIO(body)  # bytes above 1 MiB draw a warning
        status, found = await got(http, f"{letters}/retry", method="POST", params=query, data=large, headers=JSON)
        assert (status, found["outcome"]) == (200, "unencodable")


@pytest.mark.parametrize("shard", ["4", "x", "", "-1"])
async def test_letters_of_other_shards_are_refused(shard: str) -> None:
    async with Bridge().served() as (http, url):
        letters = f"{url}/dead-letters"
        query = {"shard": shard, "entity_type": "order", "received_us": "5"}
        status, _ = await got(http, f"{letters}/retry", method="POST", params=query, data=b'{"id":7}', headers=JSON)
        assert status == 400
        status, _ = await got(http, f"{letters}/contents", method="POST", json={"shard": shard, "keys": []})
        assert status == 400


async def test_the_page_is_there() -> None:
    async with Bridge().served() as (http, url):
        status, text = await got(http, f"{url}/")
    assert (status, text[:15]) == (200, "<!doctype html>")
