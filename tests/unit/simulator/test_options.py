from __future__ import annotations

from typing import Any

import pytest

from bridge.simulator.options import OptionError, Options


@pytest.mark.parametrize(
    "values",
    [
        {"split": "E"}, {"accounts": -1}, {"accounts": 1.5}, {"accounts": True}, {"rate": "fast"}, {"nulls": 1},
        {"name": 5}, {"certificate": "server.pem"}, {"heartbeat_s": -0.5},
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(values))):
        Options(**values)


def test_whole_numbers_are_good_durations() -> None:
    assert Options(heartbeat_s=2).heartbeat_s == 2.0


def test_options_change_while_running() -> None:
    options = Options()
    assert options.changed({"split": "B", "nulls": True}).split == "B"
    assert options.split == "A"


@pytest.mark.parametrize(("name", "text"), [("spilt", "no option 'spilt'"), ("seed", "cannot change")])
def test_not_every_option_changes(name: str, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        Options().changed({name: 1})


def test_the_password_is_not_shown() -> None:
    assert "secret" not in str(Options(password="secret").as_json())
