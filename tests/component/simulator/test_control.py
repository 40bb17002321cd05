"""The simulator's own endpoints, REST, TLS, load and the process."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.simulator.catalogue import TYPES
from bridge.simulator.options import Options
from bridge.simulator.server import Simulator
from tests.component.simulator.client import connected, until

SMALL = Options(accounts=12, split="D", seed=5)


class Control:
    def __init__(self, simulator: Simulator, http: aiohttp.ClientSession) -> None:
        self.simulator, self.http = simulator, http

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else orjson.dumps(body)
        async with self.http.request(method, f"{self.simulator.control_url}{path}", data=data) as answer:
            return answer.status, await answer.json(content_type=None)

    async def lines(self, path: str) -> list[Any]:
        async with self.http.get(f"{self.simulator.control_url}{path}") as answer:
            return [orjson.loads(line) for line in (await answer.read()).splitlines()]


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    async with Simulator(SMALL) as simulator, aiohttp.ClientSession() as http:
        yield Control(simulator, http)


async def test_status(control: Control) -> None:
    async with connected(control.simulator) as client:
        await client.sync(1, 2)
        _, status = await control.call("GET", "")
        assert status["sockets"] == [{"socket": 1, "remainder": 1, "synced": True, "silent": False, "backlog": 0}]
        assert status["sessions"] == 1
        assert status["rest"] == control.simulator.rest_url


async def test_steps_rate_and_pause(control: Control) -> None:
    status, answer = await control.call("POST", "/step", {"steps": 5})
    assert (status, answer["events"]) == (200, control.simulator.produced)
    assert answer["events"] > 5
    await control.call("POST", "/rate", {"rate": 500})
    await until(lambda: control.simulator.produced > answer["events"] + 50)
    assert (await control.call("POST", "/pause"))[1]["rate"] == 0
    assert await control.call("GET", "/check") == (200, [])


async def test_the_rate_is_an_option_too(control: Control) -> None:
    await control.call("POST", "/options", {"rate": 500})
    await until(lambda: control.simulator.produced > 50)
    assert (await control.call("GET", ""))[1]["rate"] == 500
    await control.call("POST", "/pause")
    assert (await control.call("GET", "/options"))[1]["rate"] == 0


async def test_the_session_rolls_by_itself_and_resends_if_so_switched(control: Control) -> None:
    simulator = control.simulator
    async with connected(simulator) as client:
        await client.sync()
        await simulator.step(20)
        orders = set(simulator.world.store.table("order"))
        await control.call("POST", "/options", {"roll_every_s": 0.05, "roll_resend": 5})
        log = simulator.ledger.sessions[0]
        await until(lambda: log.kinds.count(2) > 2)
        await control.call("POST", "/options", {"roll_every_s": 0})
        archived = {c.id for c in simulator.ledger.changes if (c.entity_type, c.event) == ("order", "Archived")}
        assert archived == orders
        assert simulator.world.check() == []


async def test_the_ledger_tells_which_shards_should_see_a_version(control: Control) -> None:
    await control.simulator.step(5)
    for line in await control.lines("/ledger/events?divisor=3"):
        expected = [0, 1, 2] if line["account"] is None else [line["account"] % 3]
        assert line["shards"] == expected
    by_user = await control.lines("/ledger/state?divisor=2&expression=modUserId")
    assert all(line["shards"] == [line["user"] % 2] for line in by_user if line["user"])
    assert "shards" not in (await control.lines("/ledger/events"))[0]
    for query in ("divisor=0", "divisor=2&expression=modOrderId", "divisor=x"):
        assert (await control.call("GET", f"/ledger/events?{query}"))[0] == 400


async def test_the_ledger_is_streamed(control: Control) -> None:
    async with connected(control.simulator) as client:
        await client.sync(0, 2)
        await control.simulator.step(30)
        events = await control.lines("/ledger/events")
        assert [line["n"] for line in events] == [c.number for c in control.simulator.ledger.changes]
        last = {(line["type"], line["id"]): line for line in events}
        state = await control.lines("/ledger/state")
        alive = [line for line in last.values() if line["event"] in ("Created", "Updated")]
        assert sorted(line["n"] for line in state) == sorted(line["n"] for line in alive)
        one = await control.lines("/ledger?type=order&id=" + str(_an_order(control)))
        assert one[0]["event"] == "Created"
        assert {line["type"] for line in one} == {"order"}
        [session] = await control.lines("/ledger/sessions")
        assert (session["remainder"], session["divisor"], session["ended_us"]) == (0, 2, 0)
        deliveries = await control.lines("/ledger/deliveries")
        sent = [number for _, number, _, kind, _ in deliveries if kind == 1]
        assert len(sent) == session["events"] > 10
        times = [at for _, _, at, _, _ in deliveries]
        assert times == sorted(times)
        after = events[-10]["n"]
        assert len(await control.lines(f"/ledger/events?after={after}")) == 9


def _an_order(control: Control) -> int:
    return next(iter(control.simulator.world.store.table("order")))


async def test_the_ledger_as_files(control: Control, tmp_path: Path) -> None:
    _, answer = await control.call("POST", "/ledger/write", {"path": str(tmp_path / "run")})
    events = (tmp_path / "run" / "events.ndjson").read_bytes().splitlines()
    assert answer["lines"] == len(events) == len(control.simulator.ledger.changes)


async def test_faults_by_http(control: Control) -> None:
    status, fault = await control.call("POST", "/faults", {"kind": "sync_status", "times": 2, "args": {"status": 423}})
    assert (status, fault["point"], fault["fired"]) == (200, "sync", 0)
    async with connected(control.simulator) as client:
        assert (await client.sync())[0]["s"] == 423
    assert (await control.call("GET", "/faults"))[1][0]["fired"] == 1
    await control.call("DELETE", "/faults")
    async with connected(control.simulator) as client:
        assert (await client.sync())[0]["s"] == 200


async def test_options_by_http(control: Control) -> None:
    assert (await control.call("POST", "/options", {"split": "C"}))[1]["split"] == "C"
    async with connected(control.simulator) as client:
        [message] = await client.sync()
        assert isinstance(message["d"], list)
    assert (await control.call("GET", "/options"))[1]["split"] == "C"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/options", {"spilt": "C"}),
        ("/faults", {"kind": "fire"}),
        ("/faults", {}),
        ("/faults", {"kind": "drop", "speed": 1}),
        ("/rate", {"rate": -1}),
        ("/rate", {}),
        ("/inject", {"entityType": "order", "entity": {"id": "x"}}),
        ("/load", {"events": 0}),
        ("/load", {"speed": 1}),
        ("/step", {"steps": "many"}),
        ("/step", []),
    ],
)
async def test_mistakes_are_400_with_a_sentence(control: Control, path: str, body: Any) -> None:
    async with control.http.post(f"{control.simulator.control_url}{path}", data=orjson.dumps(body)) as answer:
        assert answer.status == 400
        assert len(await answer.text()) > 5


async def test_an_unknown_control_endpoint_is_404(control: Control) -> None:
    assert (await control.call("GET", "/nothing"))[0] == 404
    assert (await control.call("PUT", "/rate", {}))[0] == 404


async def test_any_text_can_be_injected_into_one_shard(control: Control) -> None:
    async with connected(control.simulator) as one, connected(control.simulator) as two:
        await one.sync(0, 2)
        await two.sync(1, 2)
        _, answer = await control.call("POST", "/inject", {"frame": "a[oops", "remainder": 1})
        assert answer == {"sockets": 1}
        assert await two.frame() == "a[oops"
        await control.call("POST", "/inject", {"frame": "x"})
        assert await one.frame() == "x"


async def test_an_injected_entity_is_part_of_the_truth(control: Control) -> None:
    account = control.simulator.world.accounts[0].id
    async with connected(control.simulator) as client:
        await client.sync()
        entity = {"id": 77, "accountId": account, "odd": [1]}
        await control.call("POST", "/inject", {"entityType": "order", "eventType": "Created", "entity": entity})
        [message] = await client.messages()
        assert message["d"] == {"entityType": "order", "eventType": "Created", "entity": entity}
        assert (await control.lines("/ledger?type=order&id=77"))[0]["account"] == account
        await control.call("POST", "/inject", {"entityType": "order", "eventType": "Deleted", "entity": {"id": 77}})
        assert (await client.messages())[0]["d"]["eventType"] == "Deleted"


async def test_many_entities_can_be_injected_frame_by_frame(control: Control) -> None:
    account = control.simulator.world.accounts[0].id
    one, two, three = ({"entityType": "position", "entity": {"id": n, "accountId": account}} for n in (1, 2, 3))
    async with connected(control.simulator) as client:
        await client.sync()
        _, answer = await control.call(
            "POST", "/inject", {"frames": [[one, two], [three, one | {"eventType": "Deleted"}]]}
        )
        assert answer == {"events": 4}
        seen = [[(m["d"]["eventType"], m["d"]["entity"]["id"]) for m in await client.messages()] for _ in range(2)]
    assert seen == [[("Created", 1), ("Created", 2)], [("Created", 3), ("Deleted", 1)]]


async def test_what_comes_before_an_event_that_cannot_be_has_happened(control: Control) -> None:
    account = control.simulator.world.accounts[0].id
    one = {"entityType": "position", "entity": {"id": 1, "accountId": account}}
    never = {"entityType": "position", "eventType": "Deleted", "entity": {"id": 2}}
    async with connected(control.simulator) as client:
        await client.sync()
        assert (await control.call("POST", "/inject", {"frames": [[one, never]]}))[0] == 400
        assert [m["d"]["entity"]["id"] for m in await client.messages()] == [1]
    assert [line["event"] for line in await control.lines("/ledger?type=position&id=1")] == ["Created"]


async def test_the_session_roll_archives_without_a_word_and_resends(control: Control) -> None:
    simulator = control.simulator
    async with connected(simulator) as client:
        await client.sync()
        await simulator.step(30)
        orders = len(simulator.world.store.table("order"))
        _, answer = await control.call("POST", "/roll", {"resend": 20})
        assert answer["archived"] > orders > 10
        log = simulator.ledger.sessions[0]
        assert log.kinds.count(2) > 0
        events = await control.lines("/ledger/events")
        assert sum(line["event"] == "Archived" for line in events) == answer["archived"]
    async with connected(simulator) as client:
        [snapshot] = await client.sync()
        assert snapshot["d"]["orders"] == []
        assert snapshot["d"]["cashBalances"]


async def test_load_is_fast_and_stands_in_the_ledger(control: Control) -> None:
    async with connected(control.simulator) as client:
        await client.sync(1, 3)

        async def count() -> int:
            events = 0
            while events < 20_000 + 50:
                events += sum(m["d"]["entity"]["id"] >= 700_000_000_000 for m in await client.messages() if "e" in m)
            return events

        reader = asyncio.create_task(count())
        _, answer = await control.call("POST", "/load", {"events": 20_000, "per_frame": 10, "keys": 50})
        assert (answer["events"], answer["sockets"]) == (20_000, 1)
        assert await reader == 20_050
        ledger = control.simulator.ledger
        assert ledger.counts()["events_sent"] == 20_050
        final = {c.id: orjson.loads(c.json) for c in ledger.state() if c.id >= 700_000_000_000}
        stored = control.simulator.world.store.table("order") | control.simulator.world.store.table("fill")
        assert len(final) == 50
        assert all(stored[number] == final[number] for number in final if number in stored)
        *_, last = (c for c in ledger.events() if c.entity_type == "order" and c.id in final)
        assert orjson.loads(last.json) == final[last.id]
        numbers = [c.number for c in ledger.events()]
        assert len(set(numbers)) == len(numbers)
        assert control.simulator.world.check() == []


async def test_load_at_a_pace(control: Control) -> None:
    async with connected(control.simulator) as client:
        await client.sync()
        answer = await control.simulator.load(events=200, per_frame=1, rate=1000, keys=10)
        assert answer["events"] == 200
        assert answer["seconds"] > 0.15


async def token(control: Control, **body: Any) -> tuple[int, Any]:
    url = f"{control.simulator.rest_url}/auth/accesstokenrequest"
    async with control.http.post(url, json=body) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_tokens_over_rest(control: Control) -> None:
    _, granted = await token(control, name="acme", password="x", cid=1042, sec="s")
    assert granted["name"] == "acme"
    assert granted["expirationTime"].endswith("Z")
    headers = {"Authorization": f"Bearer {granted['accessToken']}"}
    for path in ("/auth/me", "/Auth/Me"):
        async with control.http.get(control.simulator.rest_url + path, headers=headers) as answer:
            assert (await answer.json())["name"] == "acme"
    async with control.http.get(control.simulator.rest_url + "/auth/renewAccessToken", headers=headers) as answer:
        renewed = await answer.json()
        assert renewed["accessToken"] != granted["accessToken"]
        assert renewed["expirationTime"] >= granted["expirationTime"]
    async with control.http.get(control.simulator.rest_url + "/auth/me") as answer:
        assert (answer.status, await answer.json()) == (401, "Access is denied")
    async with control.http.get(control.simulator.rest_url + "/account/list", headers=headers) as answer:
        assert len(await answer.json()) == 12
    async with control.http.get(control.simulator.rest_url + "/nothing/there", headers=headers) as answer:
        assert (answer.status, await answer.json()) == (404, "Not found: nothing/there")


async def test_reads_are_the_same_over_http_and_over_the_socket(control: Control) -> None:
    simulator = control.simulator
    await simulator.step(30)
    fill = next(iter(simulator.world.store.table("fill").values()))
    account = simulator.world.accounts[0]
    reads = {
        "account/list": "", "account/item": f"id={account.id}", "account/items": f"ids={account.id},1",
        "contract/find": "name=ESZ6", "product/suggest": "t=m&l=1", "fill/deps": f"masterid={fill['orderId']}",
        "fill/ldeps": f"masterids={fill['orderId']},1", "account/ldeps": f"masterids={account.user_id}",
        "contract/suggest": "t=%45s", "account/find": "name=nobody", "order/item": "id=", "fill/nothing": "",
    }  # fmt: skip
    async with connected(simulator) as client:
        await client.authorize()
        headers = {"Authorization": f"Bearer {(await token(control, name='a', password='b'))[1]['accessToken']}"}
        for number, (path, query) in enumerate(reads.items(), 1):
            by_socket = await client.ask(path, number, query)
            async with control.http.get(f"{simulator.rest_url}/{path}?{query}", headers=headers) as answer:
                assert (answer.status, await answer.json()) == (by_socket["s"], by_socket["d"]), path
            if path in ("fill/deps", "fill/ldeps"):
                assert fill["id"] in {row["id"] for row in by_socket["d"]}
            assert by_socket["s"] == 200 or path in ("account/find", "order/item", "fill/nothing")


async def test_every_documented_type_answers_list_and_deps(control: Control) -> None:
    await control.simulator.step(200)
    async with connected(control.simulator) as client:
        await client.authorize()
        for number, kind in enumerate(TYPES.values(), 1):
            rows = (await client.ask(f"{kind.name}/list", number))["d"]
            if kind.master and rows:
                found = await client.ask(f"{kind.name}/deps", number, f"masterid={rows[0][kind.master]}")
                assert rows[0] in found["d"], kind.name


async def test_oauth_over_http(control: Control) -> None:
    url = f"{control.simulator.rest_url}/auth/oauthtoken"
    body = {
        "grant_type": "authorization_code",
        "code": "c",
        "redirect_uri": "r",
        "client_id": "i",
        "client_secret": "s",
    }
    async with control.http.post(url, data=body) as answer:  # as a form, which OAuth asks for
        granted = await answer.json()
    async with connected(control.simulator) as client:
        assert (await client.authorize(granted["access_token"]))["s"] == 200
    async with control.http.post(url, json=body) as answer:
        assert (answer.status, (await answer.json())["error"]) == (200, "invalid_grant")
    control.simulator.arm("token_penalty")
    async with control.http.post(url, json=body) as answer:
        assert "p-ticket" in await answer.json()


async def test_pages_in_a_browser_may_be_clients_but_not_of_the_control(control: Control) -> None:
    rest = control.simulator.rest_url
    async with control.http.options(f"{rest}/auth/accesstokenrequest", headers={"Origin": "http://page"}) as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, "*")
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    async with control.http.get(f"{rest}/account/list") as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, "*")
    async with control.http.get(control.simulator.control_url) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_syncrequest_over_rest_is_a_snapshot_and_nothing_more(control: Control) -> None:
    _, granted = await token(control, name="acme", password="x")
    headers = {"Authorization": f"Bearer {granted['accessToken']}"}
    url = f"{control.simulator.rest_url}/user/syncrequest"
    async with control.http.post(url, json={"entityTypes": ["account"]}, headers=headers) as answer:
        assert len((await answer.json())["accounts"]) == 12
    async with control.http.post(url, json={"entityTypes": 5}, headers=headers) as answer:
        assert answer.status == 400
    assert not control.simulator.ledger.sessions


async def test_credentials() -> None:
    options = Options(accounts=2, name="acme", password="right")
    async with Simulator(options) as simulator, aiohttp.ClientSession() as http:
        control = Control(simulator, http)
        assert "accessToken" in (await token(control, name="acme", password="right"))[1]
        status, answer = await token(control, name="acme", password="wrong")
        assert (status, list(answer)) == (200, ["errorText"])
        assert "errorText" in (await token(control, name="acme"))[1]
        simulator.set_options({"bad_login": "401"})
        assert (await token(control, name="eve", password="right"))[0] == 401


Key = ec.EllipticCurvePrivateKey


def certificate(name: str, key: Key, issuer: str, signer: Key, *, ca: bool) -> bytes:
    """A certificate in PEM: of an authority, or of a server at 127.0.0.1."""
    now = datetime.now(UTC)
    subject, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (name, issuer))
    builder = x509.CertificateBuilder(by, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if not ca:
        names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca, pem, key = (tmp_path / name for name in ("ca.pem", "server.pem", "server.key"))
    ca.write_bytes(certificate("an authority", authority, "an authority", authority, ca=True))
    pem.write_bytes(certificate("simulator", server, "an authority", authority, ca=False))
    plain = serialization.NoEncryption()
    key.write_bytes(server.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    trust = ssl.create_default_context(cafile=str(ca))
    options = Options(accounts=2, certificate=str(pem), private_key=str(key))
    async with Simulator(options) as simulator, aiohttp.ClientSession() as http:
        assert simulator.socket_url.startswith("wss://127.0.0.1")
        body = {"name": "a", "password": "b"}
        async with http.post(f"{simulator.rest_url}/auth/accesstokenrequest", json=body, ssl=trust) as answer:
            assert "accessToken" in await answer.json()
        async with http.ws_connect(simulator.socket_url, ssl=trust) as ws:
            assert (await ws.receive_str(timeout=20)) == "o"
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(simulator.rest_url)


async def test_the_process_says_where_it_listens_and_ends_on_sigterm() -> None:
    process = await _process("--accounts", "3", "--shards", "2", "--rate", "20", "--split", "B", "--nulls")
    assert process.stdout is not None
    ready = orjson.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    assert (ready["accounts"], ready["shards"]) == (3, 2)
    async with aiohttp.ClientSession() as http, http.get(f"{ready['control']}/options") as answer:
        options = await answer.json()
        assert (options["split"], options["nulls"], options["rate"]) == ("B", True, 20.0)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_the_process_ends_with_its_parent() -> None:
    code = (
        "import subprocess,sys,os;"
        "p=subprocess.Popen([sys.executable,'-m','bridge.simulator','--accounts','2','--parent-pid',str(os.getpid())],"
        "stdout=subprocess.PIPE,text=True);print(p.stdout.readline(),flush=True);sys.stdin.read()"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = orjson.loads(await asyncio.wait_for(parent.stdout.readline(), 60))["pid"]
    assert _runs(child)
    parent.kill()
    await parent.wait()
    await until(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    """A zombie does not count: whoever inherited it may be slow to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def _process(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bridge.simulator", *arguments, stdout=pipe, stderr=pipe, env={**os.environ}
    )
