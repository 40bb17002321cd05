"""Clients that trade, over HTTP and over the socket."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import orjson

from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from tests.component.simulator.client import Client, connected, login

SMALL = Options(accounts=12, split="D", seed=5)
BUY = {"action": "Buy", "symbol": "ESZ6", "orderQty": 2, "orderType": "Market", "isAutomated": True}


async def events(client: Client, number: int) -> list[Any]:
    """All events up to the answer to a request that is sent now."""
    await client.send("contract/item", number, "id=560901")
    found: list[Any] = []
    while (messages := await client.messages())[0].get("i") != number:
        found += [m["d"] for m in messages]
    return found


async def test_events_of_an_order_come_back_on_the_shard_of_its_account() -> None:
    async with Simulator(SMALL) as simulator, AsyncExitStack() as stack:
        shards = [await stack.enter_async_context(connected(simulator)) for _ in range(2)]
        for remainder, client in enumerate(shards):
            await client.sync(remainder, 2)
        account = simulator.world.accounts[0]
        owner, other = shards[account.id % 2], shards[1 - account.id % 2]
        answer = await owner.ask("order/placeorder", 7, body={**BUY, "accountId": account.id})
        number = answer["d"]["orderId"]
        mine = await events(owner, 8)
        orders = [e["entity"] for e in mine if e["entityType"] == "order"]
        assert {o["id"] for o in orders} == {number}
        assert [o["ordStatus"] for o in orders][:2] == ["PendingNew", "Working"]
        assert orders[-1]["ordStatus"] == "Filled"
        assert {"fill", "position", "cashBalance"} <= {e["entityType"] for e in mine}
        assert await events(other, 9) == []
        state = {(c.entity_type, c.id): c for c in simulator.ledger.state()}
        assert orjson.loads(state["order", number].json) == orders[-1]


async def test_orders_over_http() -> None:
    async with Simulator(SMALL) as simulator, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {await login(simulator, http)}"}

        async def post(endpoint: str, body: Any, **more: Any) -> tuple[int, Any]:
            url = f"{simulator.rest_url}/order/{endpoint}"
            async with http.post(url, data=orjson.dumps(body), **{"headers": headers, **more}) as answer:
                return answer.status, await answer.json(content_type=None)

        resting = {**BUY, "accountId": simulator.world.accounts[0].id, "orderType": "Limit", "price": 7000}
        status, placed = await post("placeOrder", resting)
        assert status == 200
        change = {"orderId": placed["orderId"], "orderQty": 1, "orderType": "Limit", "price": 7001}
        assert "commandId" in (await post("modifyorder", change))[1]
        assert "commandId" in (await post("cancelorder", {"orderId": placed["orderId"]}))[1]
        assert (await post("cancelorder", {"orderId": placed["orderId"]}))[1]["failureReason"] == "TooLate"
        assert (await post("placeorder", {}))[0] == 400
        assert (await post("placeorder", resting, headers={}))[0] == 401
        assert simulator.world.check() == []


async def test_an_order_that_is_not_json_is_400() -> None:
    async with Simulator(SMALL) as simulator, connected(simulator) as client:
        await client.authorize()
        assert (await client.ask("order/placeorder", 1, body="{"))["s"] == 400


async def test_what_expiry_does_to_an_open_socket() -> None:
    for choice, expected in (("stay", 'a[{"s":200'), ("refuse", 'a[{"s":401'), ("close", "CLOSE 1000")):
        options = SMALL.changed({"expired_sockets": choice, "token_lifetime_s": 1.0, "authorize_timeout_s": 0.4})
        async with Simulator(options) as simulator, connected(simulator) as client:
            await client.sync()
            [connection] = simulator.connections.values()
            simulator.tokens.find(connection.token).expires_s = time.time()  # type: ignore[union-attr]
            if choice != "close":
                await client.send("account/list", 2)
            assert (await client.frame()).startswith(expected)


async def test_one_address_too_many_closes_the_oldest_socket() -> None:
    options = SMALL.changed({"max_addresses": 1})
    async with Simulator(options) as simulator, connected(simulator) as old:
        await old.authorize()
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession(connector=connector) as http, http.ws_connect(simulator.socket_url) as ws:
            new = Client(simulator, http, ws)
            assert (await new.authorize())["s"] == 200
            assert await old.messages() == [{"e": "shutdown", "d": {"reasonCode": "IPQuotaReached"}}]
            assert await old.frame() == "CLOSE 1000"
            assert (await new.ask("account/list", 1))["s"] == 200


async def test_one_device_too_many_closes_the_oldest_socket() -> None:
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(SMALL.changed({"max_devices": 2, "max_sessions": 9})))
        clients = [await stack.enter_async_context(connected(simulator)) for _ in range(4)]
        for client, device in zip(clients, ("one", "two", "two", "three"), strict=True):
            body = {"name": "a", "password": "b", "deviceId": device}
            async with client.http.post(f"{simulator.rest_url}/auth/accesstokenrequest", json=body) as answer:
                token = (await answer.json())["accessToken"]
            assert (await client.authorize(token))["s"] == 200
        assert await clients[0].messages() == [{"e": "shutdown", "d": {"reasonCode": "ConnectionQuotaReached"}}]
        assert await clients[0].frame() == "CLOSE 1000"
        for client in clients[1:]:
            assert (await client.ask("contract/list", 1))["s"] == 200


async def test_limits_of_rest() -> None:
    options = Options(accounts=2, login_limit=1, renew_limit=1, me_limit=1, password="b")
    async with Simulator(options) as simulator, aiohttp.ClientSession() as http:
        rest = simulator.rest_url

        async def get(path: str, token: str, **query: str) -> tuple[int, Any]:
            async with http.get(f"{rest}/{path}", headers={"Authorization": f"Bearer {token}"}, params=query) as answer:
                return answer.status, await answer.json(content_type=None)

        token = await login(simulator, http)
        assert "accessToken" in (await get("auth/renewaccesstoken", token))[1]
        assert (await get("auth/renewaccesstoken", token))[1]["p-time"] == 15
        assert (await get("auth/me", token))[1]["name"] == "a"
        assert (await get("auth/me", "bad"))[0] == 401
        assert (await get("auth/me", "bad"))[1]["p-time"] == 30
        async with http.post(f"{rest}/auth/accesstokenrequest", json={"name": "a", "password": "x"}) as answer:
            assert "errorText" in await answer.json()
        async with http.post(f"{rest}/auth/accesstokenrequest", json={"name": "a", "password": "b"}) as answer:
            assert (await answer.json())["p-captcha"] is True


async def test_the_hourly_limit_of_requests_is_the_same_over_both_ways() -> None:
    async with Simulator(SMALL.changed({"request_limit": 2})) as simulator, connected(simulator) as client:
        token = await login(simulator, client.http)
        await client.authorize(token)
        assert (await client.ask("account/list", 1))["s"] == 200
        headers = {"Authorization": f"Bearer {token}"}
        statuses = []
        for _ in range(2):
            async with client.http.get(f"{simulator.rest_url}/auth/me", headers=headers) as answer:
                statuses.append(answer.status)
        assert statuses == [200, 423]
        assert await client.ask("account/list", 2) == {"s": 429, "i": 2}
        async with client.http.get(f"{simulator.rest_url}/auth/me") as answer:
            assert answer.status == 401  # those without a token are counted apart
