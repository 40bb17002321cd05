from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.simulator.director import load, shipped
from bridge.simulator.scenario import ACTIONS, ScenarioError, parse

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")
HEAD = 'title = "t"\n'


@pytest.mark.parametrize("name", shipped())
def test_shipped_scenarios_can_be_played(name: str) -> None:
    scenario = load(name)
    assert scenario.title
    for step in scenario.steps:
        assert list(step.actions) == [name for name in ACTIONS if name in step.actions]


def test_shipped_scenarios_are_documented() -> None:
    table = DOCUMENT.split("\n## Scenario files\n")[1].split("\n## ")[0]
    documented = dict(re.findall(r"^\| `([\w-]+)` \| (.+) \|$", table, re.MULTILINE))
    assert documented.keys() & shipped().keys() == shipped().keys()
    assert set(ACTIONS) <= documented.keys()


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + "[options]\naccounts = 3\n[[steps]]\nafter_s = 2\nrate = 5\npause = true\n")
    scenario = load(str(path))
    assert (scenario.title, scenario.options) == ("t", {"accounts": 3})
    assert (scenario.steps[0].after_s, scenario.steps[0].actions) == (2, {"rate": 5, "pause": True})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("title", "not TOML"),
        ("[options]", "a scenario has a title"),
        (HEAD + "step = 1", "the file: there is no step; did you mean steps?"),
        (HEAD + "[options]\nacounts = 1", "options: .*acounts"),
        (HEAD + "[options]\nsplit = 'E'", "options: split is one of A, B, C, D"),
        (HEAD + "steps = [1]", "step 1 is no table"),
        (HEAD + "[[steps]]\nafter = 1", "step 1: there is no after; did you mean after_s?"),
        (HEAD + "[[steps]]\nrate = true", "step 1: rate is int or float, not True"),
        (HEAD + "[[steps]]\npause = 1", "step 1: pause is bool, not 1"),
        (HEAD + "[[steps]]\nafter_s = -1", "step 1: after_s is not negative"),
        (HEAD + "[[steps]]\n[[steps]]\noptions = {spilt = 'A'}", "step 2: there is no option 'spilt'"),
        (HEAD + "[[steps]]\noptions = {accounts = 1}", "step 1: accounts cannot change"),
        (HEAD + "[[steps]]\nfaults = [{kind = 'dorp'}]", "step 1: there is no fault 'dorp'"),
        (HEAD + "[[steps]]\nfaults = ['drop']", "step 1: a fault is a table with a kind"),
        (HEAD + "[[steps]]\nfaults = [{kind = 'drop', args = {code = 1}}]", "step 1: drop has no argument 'code'"),
        (HEAD + "[[steps]]\nroll = {resent = 1}", "roll: there is no resent; did you mean resend?"),
        (HEAD + "[[steps]]\ninject = {text = 'x'}", "inject: there is no text"),
    ],
)
def test_mistakes_are_named_before_anything_begins(text: str, sentence: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(sentence).replace(r"\.\*", ".*").replace(r"\ ", " ")):
        parse(text)


def test_a_scenario_that_does_not_exist() -> None:
    with pytest.raises(ScenarioError, match=r"cannot read nonsense.*shipped are bad-data"):
        load("nonsense")
