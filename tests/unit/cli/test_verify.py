from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog
from typer.testing import CliRunner

from bridge.cli import app
from bridge.cli.judging import SHOWN, explain
from bridge.oracle.report import Report


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """A command sets up logging for its process; here others use it afterwards."""
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give either --simulator or --ledger"),
        (["--ledger", "x", "--simulator", "y"], "give either --simulator or --ledger"),
        (["--ledger", "x", "--watch", "1"], "--watch needs a --simulator"),
        (["--ledger", "nowhere"], "nowhere holds no ledger"),
    ],
)
def test_where_the_truth_is_must_be_said_once(words: list[str], sentence: str) -> None:
    outcome = CliRunner().invoke(app, ["verify", *words], env={"COLUMNS": "200"}, catch_exceptions=False)
    assert (outcome.exit_code, sentence in outcome.stderr) == (2, True), outcome.stderr


def test_what_differs_is_shown_with_the_first_of_the_offending_records(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(events_sent=1200, records_committed=1300, sockets=(4, 1))
    for offset in range(30):
        report.blame("invented", "this never happened", type="order", id=600, partition=2, offset=offset)
    report.blame("lost", "not committed")
    explain(report)
    first, second, third, *offences = capsys.readouterr().out.splitlines()
    assert first == "1 sockets asked for another sharding and were not judged"
    assert second == "1,200 events sent, 1,300 records committed"
    assert third == "WRONG: {'invented': 30, 'lost': 1}"
    assert [json.loads(line)["offset"] for line in offences] == list(range(SHOWN))
    assert json.loads(offences[0])["what"] == "this never happened"


def test_a_good_verdict_is_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    explain(Report(events_sent=5, records_committed=7, sockets=(2, 0), latency_ms={"p50": 3.0, "p99": 9.5}))
    assert capsys.readouterr().out.splitlines() == [
        "5 events sent, 7 records committed, latency p50 3.0 ms, p99 9.5 ms",
        "all of it is right",
    ]
