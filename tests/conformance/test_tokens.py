"""Stage 1 of the vendor's conformance: tokens."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from bridge.simulator.server import Simulator
from bridge.source.credentials import Token
from bridge.source.tokenfile import TokenFile
from tests.conformance.checklist import PACE
from tests.conformance.client import DIVISOR, world
from tests.conformance.evidence import Evidence, point
from tests.conformance.tap import Line, Tap, as_json

LOGIN, RENEW = "auth/accesstokenrequest", "auth/renewaccesstoken"


def answered(tap: Tap, request: Line) -> Line | None:
    """The answer to an HTTP request, None as long as there is none; one at a time is under way here."""
    return next((x for x in tap.lines if x.wire == "http" and not x.to_server and x.at >= request.at), None)


def exchanges(tap: Tap, endpoint: str) -> list[tuple[Line, Line]]:
    """Requests and their answers."""
    return [(x, answer) for x in tap.requests(endpoint) if (answer := answered(tap, x)) is not None]


@point("0.1", "0.2", "0.3")
async def test_tokens_are_got_and_renewed_ahead_of_their_end(evidence: Evidence) -> None:
    """Should this machine stand still until a token has expired, it is replaced, and the next one is looked at."""
    async with world(keep_token=True, token_lifetime_s=PACE.token_s) as made:
        client = await made.live()
        await made.until(lambda: [1 for _, answer in exchanges(made.tap, RENEW) if answer.text.startswith("200")])
        await made.log_off()
        tap = made.tap

    renewal, renewed = next(each for each in exchanges(tap, RENEW) if each[1].text.startswith("200"))
    login, granted = next(
        each
        for each in exchanges(tap, LOGIN)
        if renewal.text.endswith(f"Bearer {as_json(each[1].text)['accessToken']}")
    )
    first, second = as_json(granted.text), as_json(renewed.text)
    assert first["accessToken"] != second["accessToken"]
    ends = [datetime.fromisoformat(x["expirationTime"]) for x in (first, second)]
    assert ends[0] < ends[1]
    assert [lost.cause for lost in client.lost] == ["stopped"]
    later_s = (ends[1] - ends[0]).total_seconds()
    evidence.did.append(f"Renewed with the first token while that was good; the new one ends {later_s:.1f} s later.")
    evidence.measured("token answered after", granted.at - login.at, most=2.0)
    evidence.measured("renewal answered after", renewed.at - renewal.at, most=1.0)
    evidence.measured(f"of its {PACE.token_s:g} s the token had lived", renewal.at - login.at)
    evidence.unproven.append("How fast the service itself answers.")
    evidence.show(tap, [line for line in tap.lines if line.wire == "http"])


def refuse_renewal(simulator: Simulator) -> None:
    simulator.arm("renew_status", status=401)


@point("0.4")
async def test_a_token_that_can_no_longer_be_renewed_is_replaced(evidence: Evidence) -> None:
    async with world(keep_token=True, token_lifetime_s=PACE.token_s, prepare=refuse_renewal) as made:
        tap = made.tap

        def replaced() -> bool:
            refused = [answer for _, answer in exchanges(tap, RENEW) if answer.text.startswith("401")]
            return bool(refused and [1 for x, _ in exchanges(tap, LOGIN) if x.at > refused[0].at])

        client = await made.live()
        await made.until(replaced)
        await made.simulator.step(20)
        await made.settled(client)
        await made.log_off()

    assert (client.completed, [lost.cause for lost in client.lost]) == (1, ["stopped"])
    evidence.did.append("The renewal was answered by 401; the client logged in anew, and its socket stayed open.")
    evidence.show(tap, [line for line in tap.lines if line.wire == "http"])


@point("0.5")
async def test_one_session_serves_all_sockets_and_a_restart(evidence: Evidence, tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    async with world(token_path=path) as made:
        for remainder in range(DIVISOR):
            await made.live(remainder=remainder)
        await made.log_off()
        assert made.simulator.tokens.issued == 1
        used = {x.text.rpartition("\n")[2] for x in made.tap.requests("authorize")}
        assert len(used) == 1
        assert len(made.tap.requests("authorize")) == DIVISOR
        evidence.did.append(f"{DIVISOR} sockets were authorised with the token of one login.")
        evidence.show(made.tap, [*made.tap.requests(LOGIN), *made.tap.requests("authorize")])

    kept = TokenFile(path, lock_s=1.0).read()
    assert isinstance(kept, Token)
    assert kept.value in used
    assert kept.remaining_s(time.time()) > 60
    evidence.did.append("The token was kept in a file of mode 0600, so that a restart does not begin a second session.")
    assert path.stat().st_mode & 0o777 == 0o600
