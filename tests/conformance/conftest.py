"""Collects the evidence of all tests of this folder, and writes the report if one is wanted."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.conformance.checklist import report_folder
from tests.conformance.evidence import Evidence, write

COLLECTED = pytest.StashKey[list[Evidence]]()
MINE = pytest.StashKey[Evidence]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "point(*numbers): points of the vendor's checklist that a test shows")
    config.stash[COLLECTED] = []


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Where a test writes down what it did and saw."""
    marker = request.node.get_closest_marker("point")
    assert marker is not None, "every test here shows a point of the checklist"
    mine = Evidence(tuple(marker.args), request.node.name)
    request.node.stash[MINE] = mine
    request.config.stash[COLLECTED].append(mine)
    return mine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    made = yield
    mine = item.stash.get(MINE, None)
    if mine is not None and call.when == "call":
        mine.passed, mine.seconds = made.passed, round(made.duration, 3)
        if made.failed:
            mine.did.append(f"It failed: {call.excinfo.exconly() if call.excinfo else 'for no known reason'}")
    return made


def pytest_sessionfinish(session: pytest.Session) -> None:
    folder = report_folder()
    collected: list[Any] = session.config.stash[COLLECTED]
    if folder is not None and collected:
        write(collected, folder)
