from __future__ import annotations

from typing import Any

import pytest

from bridge.simulator.oauth import REFRESH_S, Grants
from bridge.simulator.options import Options
from bridge.simulator.tokens import Tokens

CLIENT = {"client_id": "app", "client_secret": "s"}
CODE = {"grant_type": "authorization_code", "code": "c1", "redirect_uri": "https://app.example/", **CLIENT}


def refresh(token: str) -> dict[str, Any]:
    return {"grant_type": "refresh_token", "refresh_token": token, **CLIENT}


def test_a_code_gives_an_access_token_once() -> None:
    tokens = Tokens(Options(token_lifetime_s=60))
    grants = Grants(tokens, 1)
    answer = grants.answer(CODE, 100)
    assert tokens.refusal(answer["access_token"], 159) is None
    assert (answer["token_type"], answer["expires_in"], answer["refresh_token_expires_in"]) == ("bearer", 60, REFRESH_S)
    assert grants.answer(CODE, 100)["error"] == "invalid_grant"


def test_refresh_tokens_rotate_and_expire() -> None:
    grants = Grants(Tokens(Options()), 1)
    first = grants.answer(CODE, 0)
    second = grants.answer(refresh(first["refresh_token"]), 10)
    assert second["access_token"] != first["access_token"]
    assert grants.answer(refresh(first["refresh_token"]), 11)["error"] == "invalid_grant"
    assert grants.answer(refresh(second["refresh_token"]), 10 + REFRESH_S)["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({**CODE, "code": ""}, "invalid_request"),
        ({**CODE, "client_secret": None}, "invalid_request"),
        ({**CODE, "redirect_uri": 5}, "invalid_request"),
        (refresh("forged"), "invalid_grant"),
    ],
)
def test_errors_have_a_code_and_a_description(body: dict[str, Any], error: str) -> None:
    answer = Grants(Tokens(Options()), 1).answer(body, 0)
    assert (answer["error"], isinstance(answer["error_description"], str)) == (error, True)
