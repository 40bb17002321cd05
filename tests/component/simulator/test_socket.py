"""The rules of the socket, over a real one."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest

from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from tests.component.simulator.client import TYPES, Client, connected, login, until

SMALL = Options(accounts=12, split="D", seed=5)


def of(options: dict[str, Any]) -> Simulator:
    return Simulator(SMALL.changed(options))


async def test_the_first_frame_is_o_and_authorize_is_answered_under_its_id() -> None:
    async with of({}) as simulator, connected(simulator) as client:
        assert await client.authorize() == {"s": 200, "i": 0}
        assert await client.ask("authorize", 5, body="again") == {"s": 401, "i": 5, "d": "Invalid access token"}


async def test_a_quoted_token_is_good_a_wrong_one_is_not() -> None:
    async with of({}) as simulator, connected(simulator) as client:
        token = await login(simulator, client.http)
        assert await client.frame() == "o"
        assert (await client.ask("authorize", 0, body="nonsense"))["s"] == 401
        assert await client.ask("authorize", 1, body=f'"{token}"') == {"s": 200, "i": 1}


async def test_an_expired_token_is_refused_but_does_not_end_an_open_socket() -> None:
    async with of({"token_lifetime_s": 0.2}) as simulator, connected(simulator) as client:
        token = await login(simulator, client.http)
        assert (await client.authorize(token))["s"] == 200
        await until(lambda: simulator.tokens.refusal(token, time.time()) is not None)
        assert (await client.ask("account/list", 2))["s"] == 200
        async with connected(simulator) as late:
            assert (await late.authorize(token))["s"] == 401


@pytest.mark.parametrize("status", ["408", "429", "500"])
async def test_the_token_of_an_evicted_session_is_answered_alike_on_socket_and_rest(status: str) -> None:
    async with of({"max_sessions": 1, "evicted_status": status}) as simulator, connected(simulator) as client:
        old = await login(simulator, client.http)
        await login(simulator, client.http)
        answer = await client.authorize(old)
        assert answer == {"s": int(status), "i": 0, "d": "Session is over"}
        async with client.http.get(
            f"{simulator.rest_url}/auth/me", headers={"Authorization": f"Bearer {old}"}
        ) as refused:
            assert refused.status == int(status)


async def test_requests_before_authorize_are_answered_401() -> None:
    async with of({}) as simulator, connected(simulator) as client:
        assert await client.frame() == "o"
        assert await client.ask("account/list", 3) == {"s": 401, "i": 3, "d": "Access is denied"}
        await client.request_sync()
        assert (await client.messages())[0]["s"] == 401
        assert not simulator.ledger.sessions


async def test_an_unknown_endpoint_is_404_and_the_error_may_be_encoded_twice() -> None:
    async with of({}) as simulator, connected(simulator) as client:
        await client.authorize()
        answer = {"s": 404, "i": 3, "d": "Not found: quote/subscribe"}
        assert await client.ask("quote/subscribe", 3) == answer
        simulator.set_options({"double_errors": True})
        assert await client.ask("quote/subscribe", 3) == answer | {"d": '"Not found: quote/subscribe"'}


async def test_variants_of_requests_are_swallowed() -> None:
    async with of({}) as simulator, connected(simulator) as client:
        await client.authorize()
        for text in (
            "account/list\n2\n\n",
            "account/list\n2\nundefined\nundefined",
            "Account/List\n2\n",
            "/account/list\n2",
        ):
            await client.ws.send_str(text)
            [answer] = await client.messages()
            assert (answer["i"], answer["s"], len(answer["d"])) == (2, 200, 12)


async def test_entities_are_read_over_the_socket() -> None:
    async with of({}) as simulator, connected(simulator) as client:
        await client.authorize()
        account = simulator.world.accounts[0]
        entity = simulator.world.store.table("account")[account.id]
        assert (await client.ask("account/item", 1, f"id={account.id}"))["d"] == entity
        assert (await client.ask("account/find", 2, f"name={entity['name']}"))["d"] == entity
        assert entity in (await client.ask("account/deps", 3, f"masterid={account.user_id}"))["d"]
        assert (await client.ask("account/items", 4, f"ids={account.id},1"))["d"] == [entity]
        assert (await client.ask("account/items", 5, "ids=" + ",".join("123456789ab"[:1] * 11)))["s"] == 404
        assert (await client.ask("account/item", 6, "id=1"))["s"] == 404
        assert (await client.ask("account/item", 7, "id=x"))["s"] == 400
        assert (await client.ask("contract/suggest", 8, "t=es&l=5"))["d"][0]["name"] == "ESZ6"
        assert (await client.ask("currency/deps", 9, "masterid=1"))["s"] == 404


async def test_snapshot_and_events_of_all_shards_make_the_whole_world() -> None:
    async with of({}) as simulator, AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(connected(simulator)) for _ in range(3)]
        seen: dict[tuple[str, int], Any] = {}
        for remainder, client in enumerate(opened):
            [answer] = await client.sync(remainder, 3)
            for name, rows in answer["d"].items():
                for row in rows:
                    seen[_type(name), row["id"]] = row
        await simulator.step(40)
        for remainder, client in enumerate(opened):
            await client.ws.send_str("account/list\n99\n\n")
            await _fold_until(client, 99, seen, remainder)
        truth = {
            (c.entity_type, c.id): orjson.loads(c.json) for c in simulator.ledger.state() if c.entity_type in TYPES
        }
        assert seen == truth


def _type(list_name: str) -> str:
    return {"contractGroups": "contractGroup", "users": "user"}.get(list_name, list_name.removesuffix("s"))


async def _fold_until(client: Client, number: int, seen: dict[tuple[str, int], Any], remainder: int) -> None:
    """Folds events until the answer to a request; checks the shard of what carries its account."""
    while True:
        for message in await client.messages():
            if message.get("i") == number:
                return
            data = message["d"]
            if "accountId" in data["entity"]:
                assert data["entity"]["accountId"] % 3 == remainder
            key = (data["entityType"], data["entity"]["id"])
            if data["eventType"] == "Deleted":
                del seen[key]
            else:
                assert (key in seen) == (data["eventType"] == "Updated") or data["entityType"] in ("user", "contract")
                seen[key] = data["entity"]


async def test_events_are_filtered_by_type() -> None:
    async with of({}) as simulator, connected(simulator) as client:
        await client.sync(types=["fill"])
        await simulator.step(40)
        await client.send("account/list", 99)
        types = set()
        while (messages := await client.messages())[0].get("i") != 99:
            types |= {m["d"]["entityType"] for m in messages}
        assert types == {"fill"}


async def test_a_socket_that_has_not_synced_gets_no_events() -> None:
    async with of({}) as simulator, connected(simulator) as client:
        await client.authorize()
        await simulator.step(10)
        assert (await client.ask("account/list", 7))["i"] == 7


@pytest.mark.parametrize("split", ["A", "B", "C", "D"])
async def test_split_snapshots_reach_the_client(split: str) -> None:
    async with of({"split": split, "parts": 3}) as simulator, connected(simulator) as client:
        frames = [await client.sync(), *[await client.messages() for _ in range(0 if split == "D" else 2)]]
        rows = sum(_rows(message["d"]) for frame in frames for message in frame)
        assert rows == simulator.ledger.counts()["rows_sent"] > 12


def _rows(data: Any) -> int:
    if isinstance(data, list):
        return len(data)
    if "entityType" in data:
        return len(data["entity"])
    return sum(len(rows) for rows in data.values())


async def test_events_come_after_a_delayed_snapshot() -> None:
    async with of({"split": "A", "parts": 2, "part_delay_s": 0.2}) as simulator, connected(simulator) as client:
        first = await client.sync()
        await simulator.step(3)
        second, event = await client.messages(), await client.messages()
        assert [first[0].get("i"), second[0].get("i"), event[0].get("e")] == [1, 1, "props"]


async def test_events_come_between_the_parts_if_so_switched() -> None:
    options = {"split": "A", "parts": 2, "part_delay_s": 0.5, "events_between_parts": True}
    async with of(options) as simulator, connected(simulator) as client:
        await client.sync()
        await simulator.step(3)
        order = [(await client.messages())[0].get("e", "part") for _ in range(4)]
        while "part" not in order:
            order.append((await client.messages())[0].get("e", "part"))
        assert order[0] == "props"


async def test_server_heartbeats_come_at_their_pace_or_never() -> None:
    async with of({"heartbeat_s": 0.05}) as simulator, connected(simulator) as client:
        assert [await client.frame(heartbeats=True) for _ in range(4)] == ["o", "h", "h", "h"]
    async with of({"heartbeat_s": 1000.0}) as simulator, connected(simulator) as client:
        assert await client.frame() == "o"
        simulator.set_options({"heartbeat_s": 0.05})  # holds for the sockets that are open
        assert await client.frame(heartbeats=True) == "h"
    async with of({"heartbeat_s": 0}) as simulator, connected(simulator) as client:
        await client.authorize()
        await asyncio.sleep(0.1)
        await client.send("account/list", 1)
        assert (await client.frame(heartbeats=True)).startswith("a[")


async def test_heartbeats_may_be_left_out_while_data_flow() -> None:
    async with of({"heartbeat_s": 1000.0, "heartbeat_when_busy": False}) as simulator, connected(simulator) as client:
        await client.authorize()
        [connection] = simulator.connections.values()
        for _ in range(2):  # a heartbeat is due; it answered just now, and then it did not
            connection._beaten -= 1000
            connection._beat()
            connection._spoke -= 1000
        await client.send("contract/item", 1, "id=560901")
        assert await client.frame(heartbeats=True) == "h"
        assert (await client.frame(heartbeats=True)).startswith("a[")


async def test_a_client_without_heartbeats_is_closed_one_with_them_is_not() -> None:
    async with of({"client_timeout_s": 2.0}) as simulator, connected(simulator) as client, connected(simulator) as good:
        await client.sync()
        await good.sync()

        async def beat() -> None:
            while True:
                await good.ws.send_str("[]")
                await asyncio.sleep(0.05)

        task = asyncio.create_task(beat())
        assert await client.frame() == "CLOSE 1000"
        assert simulator.ledger.sessions[0].end == "client silent"
        [connection] = simulator.connections.values()
        await until(lambda: connection.heartbeats > 10)
        assert not connection.ended
        task.cancel()


async def test_protocol_pings_are_answered_but_do_not_count_as_heartbeats() -> None:
    async with of({"client_timeout_s": 0.5}) as simulator, connected(simulator) as client:
        await client.authorize()
        while not client.ws.closed:
            await client.ws.ping(b"x")
            message = await client.ws.receive(timeout=10)
            if message.type.name in ("CLOSE", "CLOSED", "CLOSING"):
                break
        assert not simulator.connections


async def test_a_socket_that_does_not_authorise_is_closed() -> None:
    async with of({"authorize_timeout_s": 0.1}) as simulator, connected(simulator) as client:
        assert await client.frame() == "o"
        assert await client.frame() == "CLOSE 1000"


@pytest.mark.parametrize(
    ("choice", "expected"), [("error", 'a[{"s":400'), ("close", "CLOSE 1000"), ("ignore", 'a[{"s":200')]
)
async def test_a_second_syncrequest(choice: str, expected: str) -> None:
    async with of({"second_sync": choice}) as simulator, connected(simulator) as client:
        await client.sync()
        await client.request_sync(number=2)
        if choice == "ignore":
            await client.send("account/list", 3)
        assert (await client.frame()).startswith(expected)
        assert len(simulator.ledger.sessions) == 1


@pytest.mark.parametrize(
    ("choice", "expected"), [("error", ["a[", "a["]), ("close", ["a[", "CLOSE"]), ("accept", ["a["])]
)
async def test_forbidden_mixes(choice: str, expected: list[str]) -> None:
    async with of({"forbidden_mix": choice}) as simulator, connected(simulator) as client:
        await client.authorize()
        await client.request_sync(accounts=[1])
        if choice == "error":
            await client.send("account/list", 3)
        frames = [await client.frame() for _ in expected]
        assert [frame[: len(e)] for frame, e in zip(frames, expected, strict=True)] == expected
        assert ('"s":400' in frames[0]) == (choice != "accept")


async def test_nonsense_in_a_syncrequest_is_400_and_may_be_corrected() -> None:
    async with of({}) as simulator, connected(simulator) as client:
        await client.authorize()
        assert (await client.ask("user/syncrequest", 1, body="{nonsense"))["s"] == 400
        assert (await client.ask("user/syncrequest", 2, body="[]"))["s"] == 400
        await client.request_sync(remainder=4, divisor=4)
        assert (await client.messages())[0]["s"] == 400
        await client.request_sync()
        assert (await client.messages())[0]["s"] == 200


async def test_an_organisation_must_ask_for_split_responses() -> None:
    async with of({}) as simulator, connected(simulator) as client:
        await client.authorize()
        await client.request_sync(splitResponses=False)
        assert await client.frame() == "CLOSE 1000"
    async with of({"organisation": False}) as simulator, connected(simulator) as client:
        [answer] = await client.sync(splitResponses=False)
        assert answer["s"] == 200


async def test_users_and_accounts_limit_what_is_seen() -> None:
    async with of({}) as simulator, connected(simulator) as client, connected(simulator) as other:
        account = simulator.world.accounts[3]
        for c, body in (
            (client, {"accounts": [account.id], "entityTypes": TYPES}),
            (other, {"users": [account.user_id]}),
        ):
            await c.authorize()
            [answer] = [await c.ask("user/syncrequest", 1, body={"splitResponses": True, **body})]
            mine = [a for a in simulator.world.accounts if c is other and a.user_id == account.user_id] or [account]
            assert {row["id"] for row in answer["d"]["accounts"]} == {a.id for a in mine}


async def test_too_many_syncrequests_meet_a_ticket() -> None:
    async with (
        of({"sync_limit": 1, "penalty_s": 0}) as simulator,
        connected(simulator) as one,
        connected(simulator) as two,
    ):
        assert "accounts" in (await one.sync())[0]["d"]
        [answer] = await two.sync()
        assert answer["d"]["p-captcha"] is False
        await two.request_sync(number=2, **{"p-ticket": answer["d"]["p-ticket"]})
        assert "accounts" in (await two.messages())[0]["d"]


async def test_the_quota_closes_the_oldest_socket_and_revokes_its_token() -> None:
    async with of({"max_sockets": 1}) as simulator, connected(simulator) as old, connected(simulator) as new:
        token = await login(simulator, old.http)
        await old.authorize(token)
        assert (await new.authorize())["s"] == 200
        assert await old.messages() == [{"e": "shutdown", "d": {"reasonCode": "ConnectionQuotaReached"}}]
        assert await old.frame() == "CLOSE 1000"
        assert simulator.tokens.refusal(token, 0) == (401, "Session is over")


async def test_a_client_that_does_not_read_is_dropped_at_the_limit() -> None:
    async with of({"max_backlog": 100_000, "client_timeout_s": 0}) as simulator, connected(simulator) as client:
        await client.sync()
        async with asyncio.timeout(60):
            while simulator.connections:  # the kernel takes some megabytes before anything waits
                simulator.inject("x" * 500_000)
                await simulator.step(1)
        assert simulator.ledger.sessions[0].end == "slow"


async def test_a_client_that_leaves_is_gone() -> None:
    async with of({}) as simulator:
        async with connected(simulator) as client:
            await client.sync()
        await until(lambda: not simulator.connections)
        [log] = simulator.ledger.sessions
        assert (log.end, bool(log.ended_us)) == ("client", True)


async def test_the_rate_is_kept_and_stops() -> None:
    async with of({}) as simulator, connected(simulator) as client:
        await client.sync()
        await simulator.set_rate(2000)
        await until(lambda: simulator.produced > 500)
        await simulator.quiesce()
        produced = simulator.produced
        await asyncio.sleep(0.05)
        assert simulator.produced == produced
        assert simulator.world.check() == []
