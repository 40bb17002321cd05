"""Login: point 1 of the vendor's checklist."""

from __future__ import annotations

import time
from pathlib import Path

import orjson

from bridge.simulator.server import Simulator
from bridge.source.credentials import Token
from bridge.source.tokenfile import TokenFile
from tests.conformance.checklist import PACE
from tests.conformance.client import World, world
from tests.conformance.evidence import Evidence, point


def handshake(made: World, wire: str) -> list[str]:
    """What passed on a socket but heartbeats, the token left out; the first three."""
    lines = [x for x in made.tap.lines if x.wire == wire and x.text not in {"h", "[]"}]
    return [f"{'->' if x.to_server else '<-'} {plain(x.text)}" for x in lines[:3]]


def plain(text: str) -> str:
    """A frame without its token, and with the members of messages in the order of the alphabet."""
    if text.startswith("a["):
        return "a" + orjson.dumps(orjson.loads(text[1:]), option=orjson.OPT_SORT_KEYS).decode()
    return text.partition("sim.")[0]


ACCEPTED = ["<- o", "-> authorize\n0\n\n", '<- a[{"i":0,"s":200}]']


@point("1.1")
async def test_a_good_token_is_accepted(evidence: Evidence) -> None:
    async with world() as made:
        await made.live()
        await made.log_off()
        (wire,) = made.tap.wires()
        assert handshake(made, wire) == ACCEPTED
        evidence.did.append("Waited for `o`, sent the token, waited for its acceptance, and only then the syncrequest.")
        evidence.show(made.tap, [x for x in made.tap.lines if x.text not in {"h", "[]"}], most=7)


@point("1.4")
async def test_the_connection_stays(evidence: Evidence) -> None:
    async with world() as made:
        client = await made.live()
        await made.simulator.step(20)
        await made.watch(PACE.stable_s)
        await made.simulator.step(20)
        await made.settled(client)
        assert client.lost == []
        assert len(made.tap.wires()) == 1
        lived = made.tap.lines[-1].at - made.tap.lines[0].at
        await made.log_off()
        assert len(made.tap.requests("authorize")) == 1
        evidence.did.append("One socket, authorised once; events arrived before and after it was watched.")
        evidence.measured("watched for", lived)
        evidence.unproven.append("Days on end, and the network between a firm and the service.")


@point("1.2")
async def test_an_invalid_token_is_refused(evidence: Evidence, tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    await keep(path, "sim.0123456789abcdef0123456789abcdef")
    async with world(token_path=path) as made:
        await made.live()
        await made.log_off()
        refused_and_replaced(made, "Invalid access token")
    evidence.did.append(
        "The token file held a token that nobody had issued. It was refused with 401, thrown away, and a new one got."
    )
    evidence.show(made.tap, [x for x in made.tap.lines if x.text not in {"h", "[]"}], most=12)


@point("1.3")
async def test_an_expired_token_is_refused(evidence: Evidence, tmp_path: Path) -> None:
    path, granted = tmp_path / "token.json", ""

    def expired(simulator: Simulator) -> None:
        nonlocal granted
        granted = simulator.tokens.grant("acme_admin", time.time() - 100_000).text

    async with world(token_path=path, prepare=expired) as made:
        await keep(path, granted)
        await made.live()
        await made.log_off()
        refused_and_replaced(made, "Invalid access token")
    evidence.did.append(
        "The token file held a token that had expired. It was refused with 401, thrown away, and a new one got."
    )
    evidence.show(made.tap, [x for x in made.tap.lines if x.text not in {"h", "[]"}], most=12)


async def keep(path: Path, text: str) -> None:
    """A token file that says that its token is good for long."""
    life_s = 4800.0
    token = Token(
        value=text, expires_at=time.time() + life_s, life_s=life_s, skew_s=0.0, name="acme_admin", environment="demo"
    )
    await TokenFile(path, lock_s=1.0).write(token)


def refused_and_replaced(made: World, reason: str) -> None:
    first, second = made.tap.wires()
    assert handshake(made, first)[2] == f'<- a[{{"d":"{reason}","i":0,"s":401}}]'
    assert handshake(made, second) == ACCEPTED
    assert [x.text for x in made.tap.sent(first) if "syncrequest" in x.text] == []
    assert [x.text for x in made.tap.sent(first)][-1] == "(closed 1000)"
    assert len(made.tap.requests("auth/accesstokenrequest")) == 1
