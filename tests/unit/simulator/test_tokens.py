from __future__ import annotations

import pytest

from bridge.simulator.options import Options
from bridge.simulator.tokens import Tokens


def test_a_token_is_good_until_it_expires() -> None:
    tokens = Tokens(Options(token_lifetime_s=100))
    token = tokens.grant("acme", now=0)
    assert tokens.refusal(token.text, 99) is None
    assert tokens.refusal(token.text, 100) == (401, "Expired Access Token")
    assert tokens.refusal("nonsense", 0) == (401, "Access is denied")


def test_renewal_gives_a_later_token_of_the_same_session() -> None:
    tokens = Tokens(Options(token_lifetime_s=100, max_sessions=2))
    first = tokens.grant("acme", now=0)
    renewed = tokens.renew(first, now=50)
    assert renewed.text != first.text
    assert renewed.expires_s == 150
    tokens.grant("acme", now=60)
    assert tokens.refusal(first.text, 61) is None
    assert tokens.refusal(renewed.text, 61) is None


def test_one_session_too_many_ends_the_oldest() -> None:
    tokens = Tokens(Options(max_sessions=2))
    held = [tokens.grant("acme", now=0).text for _ in range(3)]
    refusals = [tokens.refusal(text, 1) for text in held]
    assert refusals == [(408, "Session is over"), None, None]


def test_a_revoked_token_is_refused() -> None:
    tokens = Tokens(Options())
    token = tokens.grant("acme", now=0)
    tokens.revoke(token.text)
    assert tokens.refusal(token.text, 1) == (401, "Session is over")


def test_a_ticket_is_good_once_and_not_too_early() -> None:
    tokens = Tokens(Options())
    ticket = tokens.ticket(3, now=10, captcha=False)
    assert ticket["p-time"] == 3
    assert not tokens.redeem(ticket["p-ticket"], 12)
    assert not tokens.redeem("other", 14)
    assert not tokens.redeem(None, 14)
    assert tokens.redeem(ticket["p-ticket"], 13)
    assert not tokens.redeem(ticket["p-ticket"], 14)


@pytest.mark.parametrize("status", ["408", "429", "500"])
def test_what_the_token_of_an_ended_session_is_answered(status: str) -> None:
    tokens = Tokens(Options().changed({"max_sessions": 1, "evicted_status": status}))
    token = tokens.grant("acme", now=0)
    tokens.grant("acme", now=1)
    assert tokens.refusal(token.text, 2) == (int(status), "Session is over")


def test_an_unknown_token_has_not_expired() -> None:
    tokens = Tokens(Options(token_lifetime_s=100))
    token = tokens.grant("acme", now=0)
    assert [tokens.expired(token.text, now) for now in (99, 100)] == [False, True]
    assert not tokens.expired("", 100)
