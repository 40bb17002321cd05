"""Rate limits: point 4 of the vendor's checklist."""

from __future__ import annotations

from typing import Any

from bridge.simulator.server import Simulator
from tests.conformance.checklist import PACE
from tests.conformance.client import world
from tests.conformance.evidence import Evidence, point
from tests.conformance.tap import Line, Tap, as_json

SYNC, LOGIN = "user/syncrequest", "auth/accesstokenrequest"
HOUR_S = 3600.0


def armed(*kinds: str, **args: Any) -> Any:
    def arm(simulator: Simulator) -> None:
        for kind in kinds:
            simulator.arm(kind, **args)

    return arm


def ticket(tap: Tap, wire: str) -> tuple[Line, str]:
    """The answer that holds a ticket, and the ticket."""
    told = next(x for x in tap.answers('"p-ticket"') if x.wire.startswith(wire))
    return told, told.text.partition('"p-ticket":"')[2].partition('"')[0]


@point("4.1", "4.2", "4.3")
async def test_a_ticket_is_waited_for_and_sent_back(evidence: Evidence) -> None:
    async with world(prepare=armed("sync_penalty", "token_penalty", seconds=PACE.penalty_s)) as made:
        client = await made.live()
        await made.settled(client)
        await made.log_off()
        tap = made.tap
    assert client.completed == 1
    for endpoint, wire in ((LOGIN, "http"), (SYNC, "socket")):
        asked, again = tap.requests(endpoint)
        told, text = ticket(tap, wire)
        first, second = as_json(asked.text), as_json(again.text)
        assert second == {**first, "p-ticket": text}
        waited = again.at - told.at
        assert waited >= 0.95 * PACE.penalty_s
        evidence.measured(f"p-time of {endpoint} was {PACE.penalty_s:g} s, waited", waited, most=PACE.penalty_s + 2.0)
    evidence.did.append(
        "Login and syncrequest were answered by a ticket with status 200. Neither was taken for an answer; each "
        "request was sent once more after p-time, its body unchanged but for p-ticket, and then answered."
    )
    evidence.show(tap, [*tap.requests(LOGIN), *tap.requests(SYNC), *tap.answers('"p-ticket"')])


@point("4.4")
async def test_a_captcha_stops_the_client(evidence: Evidence) -> None:
    async with world(prepare=armed("sync_penalty", captcha=True)) as made:
        client = made.start()
        await made.until(lambda: client.lost)
        said = len(made.tap.sent())
        await made.watch(PACE.away_s)
        tap = made.tap
        assert [x.text for x in tap.sent()[said:] if x.text != "(closed 1000)"] == []
        assert len(tap.requests(SYNC)) == 1
    (lost,) = client.lost
    assert (lost.cause, lost.wait_s) == ("captcha", HOUR_S)
    assert client.source.delay(lost, False) >= HOUR_S
    evidence.did.append("The ticket said p-captcha: the session ended, and the next attempt was put off by an hour.")
    evidence.measured("the wait that follows", client.source.delay(lost, False))
    evidence.measured("watched without a word from the client", PACE.away_s)
    evidence.unproven.append("The hour was not sat out; the delay and the silence at its beginning were seen.")
    evidence.show(
        tap, [*tap.requests(SYNC), *tap.answers('"p-ticket"'), *(x for x in tap.sent() if "(closed" in x.text)]
    )
