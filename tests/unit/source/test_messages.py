from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.source.messages import Penalty, Response, Shutdown, TokenGranted, business_failure


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"i": 1, "s": 200, "d": {}}, Response(1, 200, {})),
        ({"s": 429, "i": 7}, Response(7, 429, None)),
        ({"i": 1.0, "s": 200.0}, Response(1, 200, None)),
        ({"s": 401}, Response(None, 401, None)),
        ({"i": "1", "s": True, "d": "x"}, Response(None, None, "x")),
        ({"i": 10**400, "s": 1e308}, Response(10**400, None, None)),
        ({"i": 1, "s": 2**63}, Response(1, None, None)),
        ({"i": 1, "s": -1}, Response(1, None, None)),
    ],
)
def test_a_response_is_read_whatever_it_holds(message: dict[str, Any], expected: Response) -> None:
    assert Response.of(message) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"p-ticket": "b1a2f0c4", "p-time": 15, "p-captcha": False}, Penalty("b1a2f0c4", 15.0, False, "")),
        ({"p-ticket": "t", "p-time": 0.5}, Penalty("t", 0.5, False, "")),
        ({"p-ticket": "t", "p-time": "3", "p-message": "slow"}, Penalty("t", 3.0, False, "slow")),
        ({"p-captcha": True}, Penalty("", 60.0, True, "")),
        ({"p-ticket": 17, "p-time": -5}, Penalty("17", 0.0, False, "")),
        ({"p-ticket": "t", "p-time": "soon"}, Penalty("t", 60.0, False, "")),
        ({"p-ticket": "t", "p-time": 10**400}, Penalty("t", 60.0, False, "")),
        ({"p-ticket": "t", "p-time": "inf"}, Penalty("t", 60.0, False, "")),
        ({"orders": []}, None),
        ([{"p-ticket": "t"}], None),
        (None, None),
    ],
)
def test_a_penalty_is_told_from_other_data(data: Any, expected: Penalty | None) -> None:
    assert Penalty.of(data) == expected


def test_shutdown_codes() -> None:
    maintenance = Shutdown.of({"reasonCode": "Maintenance", "reason": "see you"})

    assert maintenance == Shutdown("Maintenance", "see you")
    assert maintenance.is_maintenance
    assert not maintenance.is_quota
    assert Shutdown.of({"reasonCode": "ConnectionQuotaReached"}).is_quota
    assert Shutdown.of({"reasonCode": "IPQuotaReached"}).is_quota
    assert Shutdown.of("text") == Shutdown("", "text")
    assert Shutdown.of(None) == Shutdown("", "")
    assert Shutdown.of({"reasonCode": {"a": 1}}).code == '{"a": 1}'


def test_a_token_answer_needs_a_token() -> None:
    body = {"accessToken": " eyJ.A ", "expirationTime": "2026-08-21T15:40:30.056Z", "userId": 15460}

    granted = TokenGranted.of(body)

    assert granted == TokenGranted("eyJ.A", datetime(2026, 8, 21, 15, 40, 30, 56000, UTC).timestamp(), 15460)
    assert "eyJ" not in repr(granted)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"errorText": "no"},
        {"accessToken": ""},
        {"accessToken": None},
        {"accessToken": "a\nb"},
        {"accessToken": "é"},
        [],
    ],
)
def test_no_token_in_the_body_is_no_grant(body: Any) -> None:
    assert TokenGranted.of(body) is None


@pytest.mark.parametrize("time", [None, 5, "", "soon", "2026-13-01T00:00:00Z"])
def test_an_expiration_time_that_cannot_be_read_is_none(time: Any) -> None:
    granted = TokenGranted.of({"accessToken": "t", "expirationTime": time})

    assert granted is not None
    assert granted.expires_at is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"errorText": "Incorrect username or password."}, "Incorrect username or password."),
        ({"failureReason": "NoRight", "failureText": "ask"}, "NoRight ask"),
        ({"failureReason": "NoRight"}, "NoRight"),
        ({"violations": [{"constraint": "x"}]}, '[{"constraint": "x"}]'),
        ({"failureReason": "Success"}, None),
        ({"errorText": ""}, None),
        ({"users": []}, None),
        ([], None),
    ],
)
def test_business_failures_hide_behind_status_200(data: Any, text: str | None) -> None:
    assert business_failure(data) == text
