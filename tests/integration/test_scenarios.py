"""The scenarios of `make oracle`, scaled down."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.devkit.kafka import EmbeddedKafka
from tests.scenarios.registry import Ground, Scenario, line, scenarios

SMALL = [each for each in scenarios().values() if each.small]


@pytest.mark.parametrize("chosen", SMALL, ids=lambda each: each.name)
async def test_scenario(
    chosen: Scenario, kafka: EmbeddedKafka, unique_prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = await chosen.play(Ground(kafka, unique_prefix, tmp_path, small=True))
    assert figures, "a scenario fails by an error of its own, and otherwise says what it has done"
    with capsys.disabled():
        print(f"\n{line(chosen.name, figures)}")
