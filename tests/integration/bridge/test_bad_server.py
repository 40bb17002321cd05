"""A server that refuses, resets, falls silent and sends garbage: the bridge comes back each time and loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import Bridge, Scene, until

PATIENT = {"source.idle_s": "4"}
LIVELY = {"heartbeat_s": "0.5"}
BEFORE: dict[str, dict[str, Any]] = {"upgrade_status": {"status": 503}, "upgrade_drop": {"skip": 1}, "silent_open": {}}
WHILE_LIVE: list[tuple[str, dict[str, Any], str]] = [
    ("drop", {}, "dropped"),
    ("half_open", {}, "idle"),
    ("close", {"code": 1001}, "closed"),
    ("close_frame", {}, "go_away"),
    ("frame_garbage", {}, "garbage"),
    ("frame_truncated", {}, "garbage"),
    ("frame_binary", {}, "garbage"),
]
NONSENSE: list[Callable[[], str]] = [lambda: 'a[{"oops', lambda: 'a["' + "x" * (70 << 20) + '"]']


async def test_tokens_are_refused_and_expire(scene: Make) -> None:
    """No token at first; then one that lives seconds, cannot be renewed once, and is revoked in the middle."""
    made = await scene(simulator={"token_lifetime_s": "8"})
    await made.arm("token_missing")
    await made.arm("token_status", status=503, skip=1)
    await made.arm("token_penalty", seconds=1, skip=2)
    await made.arm("renew_status", status=401)
    await made.arm("authorize_status", status=401)
    bridge = await made.start().ready()
    troubles = [x["cause"] for x in bridge.log("token_trouble")]
    assert troubles == ["unreadable", "server_error"]
    await made.step(20)
    await made.fired("renew_status")
    await made.arm("drop", remainder=1)
    await made.fired("drop")
    await bridge.live(1)
    await made.step(20)
    await bridge.drained()
    await made.judged_ok()
    assert "expired" in [x["cause"] for x in bridge.log("token_trouble")]


async def test_sockets_are_refused_reset_silent_and_talk_nonsense(scene: Make) -> None:
    made = await scene(settings=PATIENT, simulator=LIVELY)
    for kind, args in BEFORE.items():
        await made.arm(kind, **args)
    bridge = await made.start().ready()
    causes = [x["cause"] for x in bridge.log("session_ended")]
    assert sorted(causes) in (["bad_handshake", "idle", "server_error"], ["idle", "server_error", "unreachable"])
    for number, (kind, args, cause) in enumerate(WHILE_LIVE, 2):
        await made.arm(kind, remainder=0, **args)
        await strike(made, kind, bridge, number)
        causes.append(cause)
    for number, frame in enumerate(NONSENSE, 2 + len(WHILE_LIVE)):
        await made.control("POST", "inject", {"frame": frame(), "remainder": 0})
        await next_session(made, bridge, number)
    causes += ["garbage", "oversized"]
    await made.step(10)
    await bridge.drained()
    assert [x["cause"] for x in bridge.log("session_ended")] == causes
    assert [s["sessions"] for s in await bridge.shards()] == [len(causes) - len(BEFORE) + 1, 1]
    await made.judged_ok()

    told = await made.topics("bridge.dead-letter", "bridge.events")
    letters = [r["value"] for r in told["bridge.dead-letter"]]
    assert [x["reason"] for x in letters if x["part"] == 0] == ["garbage"] * 4 + ["oversized"]
    assert letters[-1]["length"] == (70 << 20) + 5
    assert (letters[0]["raw"], letters[2]["raw"], letters[3]["raw"]) == ("\x00garbage", "binary", 'a[{"oops')
    assert letters[1]["raw"].startswith('a[{"e":"props"')
    lost = [r["value"]["cause"] for r in told["bridge.events"] if r["value"]["event"] == "session_lost"]
    gaps = [r["value"]["cause"] for r in told["bridge.events"] if r["value"]["event"] == "gap"]
    assert lost == gaps == causes[len(BEFORE) :]


async def strike(made: Scene, kind: str, bridge: Bridge, session: int) -> None:
    """Let things happen until a fault has fired, and the shard has come back from it."""
    while not (await made.faults())[kind]:
        await made.step(2)
    await next_session(made, bridge, session)


async def next_session(made: Scene, bridge: Bridge, number: int) -> None:
    """Wait until shard 0 is live again, while things go on happening."""

    async def look() -> bool:
        shard = (await bridge.shards())[0]
        return bool(shard["phase"] == "live" and shard["sessions"] >= number)

    await made.step(5)
    await until(look, f"session {number} of shard 0\n{bridge.process.tail()}")
