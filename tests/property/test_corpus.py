"""What `make fuzz` has found stays mended, and it can find something."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.fuzz import pipeline
from tests.fuzz.pipeline import Pipeline, Tally
from tests.fuzz.scripts import CORPUS, kept, read, reduced
from tests.fuzz.seeds import SHAPES, _transcript
from tests.fuzz.tokens import logins
from tests.fuzz.worker import batch, decoder, failure

GREETING = [b"o", b'a[{"s":200,"i":0}]']
EVENT = b'a[{"e":"props","d":{"entityType":"order","eventType":"Created","entity":{"id":1}}}]'
SNAPSHOT = b'a[{"s":200,"i":1,"d":{"orders":[]}}]'


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.json")), ids=lambda path: path.stem)
async def test_what_was_found_stays_mended(path: Path) -> None:
    assert await failure(read(path), decoder()) is None


async def test_spoilt_sessions_are_understood_or_end_with_a_cause() -> None:
    found = await batch(1, "ordinary", [await _transcript(SHAPES[1])], decoder())
    assert "error" not in found, found.get("error")
    assert found["records"] > 100
    assert len(found["causes"]) > 1


async def test_events_of_a_session_become_records_that_can_be_read() -> None:
    tally = Tally()
    played = Pipeline(tally)
    lost = await played.play([*GREETING, SNAPSHOT, 3.0, EVENT])
    await played.readable(decoder())
    assert (lost.cause, tally.frames, tally.sessions) == ("dropped", 4, 1)
    assert [len(r) for t, r in played.last.batches.items() if t.endswith(".order")] == [1]


async def test_a_failure_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if `garbage` were a cause that nobody counts."""
    monkeypatch.setattr(pipeline, "CAUSES", pipeline.CAUSES - {"garbage"})
    script: pipeline.Script = [*GREETING, SNAPSHOT, 3.0, EVENT, EVENT, "pause", "resume", b"a[{", EVENT]
    error = await failure([script])
    assert error is not None
    assert "is not documented" in error

    async def fails(shorter: pipeline.Script) -> bool:
        return await failure([shorter]) is not None

    small = await reduced(script, fails)
    assert small == [b"a[{"]
    (tmp_path / "x.json").write_text(kept([small]), "utf-8")
    assert read(tmp_path / "x.json") == [small]


async def test_whatever_answers_a_login_gives_a_token_or_an_error_that_is_foreseen() -> None:
    found = await logins(Random(1), 300)  # noqa: S311 - to be repeated, not to be secret
    assert sum(found.values()) == 300
    assert {"granted", "refused", "penalty", "rate_limited", "server_error"} <= set(found)
