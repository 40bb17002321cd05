"""The guard that every scene ends with would notice a secret."""

from __future__ import annotations

import pytest

from bridge.devkit.stage import Plan
from tests.integration.bridge.scene import PASSWORD, SEC, Scene


@pytest.mark.parametrize(
    "text", [PASSWORD, f'{{"sec":"{SEC}"}}', "Bearer sim.0123456789abcdef0123456789abcdef01234567"]
)
def test_a_secret_in_what_was_said_is_found(text: str) -> None:
    made = Scene(Plan())
    made._search_for_secrets([("a log", "sim.log is no token")])
    with pytest.raises(AssertionError, match="a log tells a secret"):
        made._search_for_secrets([("a log", text)])
