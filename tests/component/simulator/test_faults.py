"""Every fault, armed and seen from the client's side; in the end none may be left unfired."""

from __future__ import annotations

from typing import Any

import aiohttp
import orjson
import pytest

from bridge.simulator.faults import KINDS
from bridge.simulator.ledger import Kind
from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from tests.component.simulator.client import Client, connected, until

SMALL = Options(accounts=12, split="D", seed=5)
PROVEN = {
    "token_penalty", "token_status", "token_error", "token_missing", "token_delay", "renew_penalty", "renew_status",
    "upgrade_status", "upgrade_drop", "silent_open", "authorize_status", "authorize_silent", "sync_penalty",
    "sync_status", "sync_silent", "part_delay", "drop", "close", "close_frame", "shutdown", "half_open", "frame_drop",
    "frame_truncated", "frame_garbage", "frame_binary", "frame_twice", "frame_delay",
    "list_lost", "list_short", "snapshot_cut",
    "frame_padded", "part_padded", "request_status", "order_status", "order_failure",
}  # fmt: skip


def test_every_fault_has_its_test() -> None:
    assert set(KINDS) == PROVEN


async def token_answer(simulator: Simulator, **body: Any) -> tuple[int, Any]:
    body = {"name": "a", "password": "b", **body}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{simulator.rest_url}/auth/accesstokenrequest", json=body) as answer,
    ):
        text = await answer.read()
        return answer.status, orjson.loads(text) if text else None


async def test_token_faults() -> None:
    async with Simulator(SMALL) as simulator:
        simulator.arm("token_penalty", seconds=0, captcha=True)
        _, ticket = await token_answer(simulator)
        assert (ticket["p-time"], ticket["p-captcha"]) == (0, True)
        assert "accessToken" in (await token_answer(simulator, **{"p-ticket": ticket["p-ticket"]}))[1]
        assert "p-ticket" in (await token_answer(simulator, **{"p-ticket": "forged"}))[1]
        simulator.arm("token_status", status=423)
        assert await token_answer(simulator) == (423, None)
        simulator.arm("token_error", text="no")
        assert await token_answer(simulator) == (200, {"errorText": "no"})
        simulator.arm("token_missing")
        assert "accessToken" not in (await token_answer(simulator))[1]
        simulator.arm("token_delay", seconds=0.05)
        assert "accessToken" in (await token_answer(simulator))[1]
        assert simulator.faults.unfired() == []


async def test_renewal_faults() -> None:
    async with Simulator(SMALL) as simulator, aiohttp.ClientSession() as http:
        _, first = await token_answer(simulator)
        headers = {"Authorization": f"Bearer {first['accessToken']}"}
        url = f"{simulator.rest_url}/auth/renewaccesstoken"
        simulator.arm("renew_penalty", seconds=4)
        async with http.get(url, headers=headers) as answer:
            assert (await answer.json())["p-time"] == 4
        simulator.arm("renew_status", status=500)
        async with http.get(url, headers=headers) as answer:
            assert answer.status == 500
        async with http.get(url, headers=headers) as answer:
            assert (await answer.json())["accessToken"] != first["accessToken"]
        assert simulator.faults.unfired() == []


async def test_upgrade_faults() -> None:
    async with Simulator(SMALL) as simulator, aiohttp.ClientSession() as http:
        simulator.arm("upgrade_status", status=429, retry_after=7)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(simulator.socket_url)
        assert refused.value.status == 429
        assert refused.value.headers is not None
        assert refused.value.headers["Retry-After"] == "7"
        simulator.arm("upgrade_drop", times=None)  # the client tries a second time by itself
        with pytest.raises(aiohttp.ClientError):
            await http.ws_connect(simulator.socket_url)
        assert simulator.faults.unfired() == []


async def silence(client: Client) -> bool:
    """Nothing comes although time passes and things happen."""
    await client.simulator.step(3)
    try:
        await client.ws.receive(timeout=0.3)
    except TimeoutError:
        return True
    return False


async def test_423_at_the_upgrade() -> None:
    async with Simulator(SMALL) as simulator, aiohttp.ClientSession() as http:
        simulator.arm("upgrade_status", status=423)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(simulator.socket_url)
        assert refused.value.status == 423
        assert simulator.faults.unfired() == []


@pytest.mark.parametrize("code", ["Maintenance", "ConnectionQuotaReached", "IPQuotaReached"])
async def test_every_shutdown_code(code: str) -> None:
    async with Simulator(SMALL) as simulator, connected(simulator) as client:
        await client.sync()
        simulator.arm("shutdown", code=code)
        assert await client.messages() == [{"e": "shutdown", "d": {"reasonCode": code}}]
        assert await client.frame() == "CLOSE 1000"
        assert simulator.ledger.sessions[0].end == f"shutdown {code}"


async def test_a_socket_that_never_says_anything() -> None:
    async with Simulator(SMALL.changed({"heartbeat_s": 0.05})) as simulator:
        simulator.arm("silent_open")
        async with connected(simulator) as client:
            assert await silence(client)
        assert simulator.faults.unfired() == []


async def test_authorize_faults() -> None:
    async with Simulator(SMALL) as simulator:
        simulator.arm("authorize_status", status=408, text="late")
        async with connected(simulator) as client:
            assert await client.authorize() == {"s": 408, "i": 0, "d": "late"}
        simulator.arm("authorize_silent")
        async with connected(simulator) as client:
            assert await client.frame() == "o"
            await client.send("authorize", 0, body="any")
            assert (await client.ask("account/list", 1))["i"] == 1
        assert simulator.faults.unfired() == []


async def test_sync_faults() -> None:
    async with Simulator(SMALL) as simulator, connected(simulator) as client:
        simulator.arm("sync_status", status=429)
        assert await client.sync() == [{"s": 429, "i": 1}]
        simulator.arm("sync_silent")
        await client.request_sync(number=2)
        assert (await client.ask("account/list", 3))["i"] == 3
        simulator.arm("sync_penalty", seconds=0)
        await client.request_sync(number=4)
        [ticket] = await client.messages()
        assert ticket["d"]["p-captcha"] is False
        await client.request_sync(number=5, **{"p-ticket": ticket["d"]["p-ticket"]})
        [answer] = await client.messages()
        assert (answer["i"], "accounts" in answer["d"]) == (5, True)
        assert simulator.faults.unfired() == []


async def test_a_late_part() -> None:
    async with Simulator(SMALL.changed({"split": "A", "parts": 2})) as simulator, connected(simulator) as client:
        simulator.arm("part_delay", seconds=0.2, skip=1)
        await client.sync()
        await simulator.step()
        assert (await client.messages())[0]["i"] == 1
        assert (await client.messages())[0]["e"] == "props"
        assert simulator.faults.unfired() == []


@pytest.mark.parametrize(("form", "seen"), [("empty", []), ("null", None), ("absent", ...)])
async def test_lists_are_lost_or_short(form: str, seen: Any) -> None:
    async with Simulator(SMALL) as simulator, connected(simulator) as client:
        await client.authorize()
        simulator.arm("list_lost", type="cashBalance", form=form)
        simulator.arm("list_short", type="account", keep=3)
        await client.request_sync()
        [answer] = await client.messages()
        assert (len(answer["d"]["accounts"]), answer["d"].get("cashBalances", ...)) == (3, seen)
        assert simulator.faults.unfired() == []


async def test_a_snapshot_is_cut_off() -> None:
    async with Simulator(SMALL.changed({"split": "A", "parts": 4})) as simulator, connected(simulator) as client:
        await client.authorize()
        simulator.arm("snapshot_cut", parts=2)
        await client.request_sync()
        parts = [(await client.messages())[0]["i"] for _ in range(2)]
        await simulator.step()
        assert (parts, (await client.messages())[0]["e"]) == ([1, 1], "props")
        assert simulator.faults.unfired() == []


async def test_faults_strike_late_parts_too() -> None:
    late = SMALL.changed({"split": "A", "parts": 3, "part_delay_s": 0.01})
    async with Simulator(late) as simulator, connected(simulator) as client:
        await client.authorize()
        simulator.arm("part_padded", bytes=100_000, skip=2)
        await client.request_sync()
        sizes = [len(await client.frame()) for _ in range(3)]
        assert sizes[2] == 100_000 > max(sizes[:2])
        assert simulator.faults.unfired() == []


@pytest.mark.parametrize(
    ("kind", "args", "frames", "end"),
    [
        ("close", {"code": 1012, "reason": "restart"}, ["CLOSE 1012"], "close"),
        ("close_frame", {}, ['c[3000,"Go away!"]', "CLOSE 1000"], "close"),
        ("close_frame", {"text": "c"}, ["c", "CLOSE 1000"], "close"),
        (
            "shutdown",
            {"code": "IPQuotaReached", "reason": "too many"},
            ['a[{"e":"shutdown","d":{"reasonCode":"IPQuotaReached","reason":"too many"}}]', "CLOSE 1000"],
            "shutdown IPQuotaReached",
        ),
    ],
)
async def test_orderly_ends(kind: str, args: dict[str, Any], frames: list[str], end: str) -> None:
    async with Simulator(SMALL) as simulator, connected(simulator) as client:
        await client.sync()
        simulator.arm(kind, **args)
        assert [await client.frame() for _ in frames] == frames
        assert simulator.ledger.sessions[0].end == end
        assert simulator.faults.unfired() == []


async def test_a_reset() -> None:
    async with Simulator(SMALL) as simulator, connected(simulator) as client:
        await client.sync()
        simulator.arm("drop")
        assert await client.frame() in ("CLOSED 1006", "ERROR 1006", "CLOSED None", "ERROR None")
        assert simulator.ledger.sessions[0].end == "drop"
        assert simulator.faults.unfired() == []


async def test_a_reset_after_some_frames_strikes_only_its_shard() -> None:
    async with Simulator(SMALL) as simulator, connected(simulator) as one, connected(simulator) as two:
        await one.sync(0, 2)
        await two.sync(1, 2)
        fault = simulator.arm("drop", skip=3, remainder=1)
        before = fault.fired
        await simulator.step(30)
        assert (before, fault.fired) == (0, 1)
        [left] = simulator.connections.values()
        assert left.remainder == 0
        assert simulator.ledger.sessions[1].kinds.count(Kind.EVENT) > 0


async def test_a_waiting_fault_strikes_a_quiet_socket_at_the_next_heartbeat() -> None:
    async with Simulator(SMALL.changed({"heartbeat_s": 0.05})) as simulator, connected(simulator) as client:
        await client.sync()
        fault = simulator.faults.arm("drop")
        await until(lambda: not simulator.connections)
        assert (fault.fired, simulator.faults.unfired(), simulator.ledger.sessions[0].end) == (1, [], "drop")


async def test_half_open() -> None:
    async with Simulator(SMALL.changed({"heartbeat_s": 0.05})) as simulator, connected(simulator) as client:
        await client.sync()
        simulator.arm("half_open")
        while not await silence(client):
            pass
        assert len(simulator.connections) == 1
        log = simulator.ledger.sessions[0]
        assert log.end == "half_open"
        assert Kind.WITHHELD in log.kinds
        assert simulator.faults.unfired() == []


async def test_who_is_half_open_ends_nothing_whatever_the_client_does_or_leaves_undone() -> None:
    quick = SMALL.changed({"client_timeout_s": 0.2, "authorize_timeout_s": 0.2, "max_sockets": 1})
    async with Simulator(quick) as simulator:
        simulator.arm("silent_open")
        async with connected(simulator) as client:
            assert await silence(client)
        await until(lambda: not simulator.connections)
    async with Simulator(quick) as simulator, connected(simulator) as client:
        await client.sync()
        simulator.arm("half_open")
        drop = simulator.arm("drop")
        async with connected(simulator) as other:
            await other.authorize()  # one socket too many
            while not await silence(client):
                pass
        assert not client.ws.closed
        assert drop.fired == 0


async def test_two_faults_need_two_sockets() -> None:
    async with Simulator(SMALL) as simulator, connected(simulator) as one:
        await one.sync()
        faults = [simulator.faults.arm(kind) for kind in ("close", "drop")]
        await simulator.step()
        assert [fault.fired for fault in faults] == [1, 0]
        async with connected(simulator) as two:
            await two.sync()
            await simulator.step()
        assert [fault.fired for fault in faults] == [1, 1]


async def events(client: Client, count: int) -> list[str]:
    return [await client.frame() for _ in range(count)]


async def place(simulator: Simulator, number: int) -> None:
    account = simulator.world.accounts[0].id
    simulator.place("order", "Created", {"id": number, "accountId": account})


def frame(number: int, account: int) -> str:
    entity = f'{{"id":{number},"accountId":{account}}}'
    return f'a[{{"e":"props","d":{{"entityType":"order","eventType":"Created","entity":{entity}}}}}]'


async def test_frame_faults() -> None:
    async with Simulator(SMALL) as simulator, connected(simulator) as client:
        await client.sync()
        account = simulator.world.accounts[0].id
        whole = [frame(n, account) for n in range(10)]
        expected = {
            "frame_drop": [],
            "frame_truncated": [whole[1][: len(whole[1]) // 2]],
            "frame_garbage": ["\x00garbage", whole[2]],
            "frame_binary": ["binary b'binary'", whole[3]],
            "frame_twice": [whole[4], whole[4]],
            "frame_delay": [whole[5], whole[6]],
        }
        for number, (kind, frames) in enumerate(expected.items()):
            simulator.arm(kind, **({"seconds": 0.05} if kind == "frame_delay" else {}))
            await place(simulator, number)
            if kind == "frame_delay":
                await place(simulator, number + 1)
            assert await events(client, len(frames)) == frames
        kinds = [Kind(k) for k in simulator.ledger.sessions[0].kinds if k != Kind.SNAPSHOT]
        assert kinds.count(Kind.WITHHELD) == 2
        assert kinds.count(Kind.AGAIN) == 1
        assert kinds.count(Kind.EVENT) == 5
        assert simulator.faults.unfired() == []


async def test_one_percent_of_the_frames_get_lost() -> None:
    async with Simulator(SMALL) as simulator, connected(simulator) as client:
        await client.sync()
        fault = simulator.arm("frame_drop", times=None, probability=0.05)
        await simulator.step(100)
        log = simulator.ledger.sessions[0]
        assert fault.fired > 3
        assert log.kinds.count(Kind.WITHHELD) >= fault.fired
        assert log.kinds.count(Kind.EVENT) > 5 * log.kinds.count(Kind.WITHHELD)


async def test_duplicates_by_share() -> None:
    async with Simulator(SMALL.changed({"duplicates": 0.5})) as simulator, connected(simulator) as client:
        await client.sync()
        await simulator.step(30)
        kinds = simulator.ledger.sessions[0].kinds
        assert kinds.count(Kind.EVENT) > kinds.count(Kind.AGAIN) > 10


async def test_huge_frames_are_padded_with_blanks() -> None:
    async with Simulator(SMALL) as simulator, connected(simulator) as client:
        await client.authorize()
        simulator.arm("part_padded", bytes=5_000_000)
        await client.request_sync()
        text = await client.frame()
        assert len(text) == 5_000_000
        assert len(orjson.loads(text[1:])[0]["d"]["accounts"]) == 12
        simulator.arm("frame_padded", bytes=4_200_000)
        await place(simulator, 77)
        text = await client.frame()
        assert len(text) == 4_200_000
        assert orjson.loads(text[1:])[0]["d"]["entity"]["id"] == 77
        assert simulator.faults.unfired() == []


async def test_faults_of_requests() -> None:
    async with Simulator(SMALL) as simulator, connected(simulator) as client:
        await client.authorize()
        simulator.arm("request_status", status=423)
        assert await client.ask("account/list", 1) == {"s": 423, "i": 1}
        simulator.arm("order_status", status=429)
        assert await client.ask("order/cancelorder", 2, body={"orderId": 1}) == {"s": 429, "i": 2}
        simulator.arm("order_failure", reason="SessionClosed", text="closed")
        failure = {"failureReason": "SessionClosed", "failureText": "closed"}
        assert (await client.ask("order/placeorder", 3, body={}))["d"] == failure
        assert simulator.faults.unfired() == []
