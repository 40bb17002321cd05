from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tools.write_schemas import ROOT, main

FROZEN = {
    1: "157f1820a9d024ddcd156866d0912bf854fd483e14c35a0ff4c02b98e79d5b39",
    2: "ab1011f1a9855a707e71c8ec1c1d6e4343b06d075cce8bc4f01cacb7b886c297",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT, tmp_path / "schemas", ignore=shutil.ignore_patterns("control"))
    return tmp_path / "schemas"


def edit_table(root: Path, old: str, new: str) -> None:
    text = (root / "entities.json").read_text("utf-8")
    assert text.count(old) == 1, text.count(old)
    (root / "entities.json").write_text(text.replace(old, new), "utf-8")


def digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.avsc")):
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()


def test_the_files_are_what_the_table_says() -> None:
    assert main(["--check"]) == 0


def test_there_is_no_file_without_a_row() -> None:
    rows = {row["name"] for row in json.loads((ROOT / "entities.json").read_text("utf-8"))["entities"]}
    assert {path.stem for path in ROOT.glob("*.avsc")} == rows


@pytest.mark.parametrize("version", FROZEN)
def test_a_released_version_is_never_edited(version: int) -> None:
    assert digest(ROOT / "released" / str(version)) == FROZEN[version]
    assert {int(folder.name) for folder in (ROOT / "released").iterdir()} == FROZEN.keys()


def test_a_stale_file_is_reported_and_rewritten(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_table(root, '"doc": "false once busted/corrected"', '"doc": "false once busted"')
    assert main(["--check"], root) == 1
    assert capsys.readouterr().out == "fill.avsc is not as schemas/entities.json says\n"
    assert main([], root) == 0
    assert main(["--check"], root) == 0
    assert "false once busted" in (root / "fill.avsc").read_text("utf-8")


def test_a_change_to_what_is_released_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = digest(root / "released" / "1")
    edit_table(root, '"Side": {"1": ["Buy", "Sell"]}', '"Side": {"1": ["Buy", "Sell", "Short"]}')
    assert main([], root) == 1
    assert "released/1/fill.avsc is released and cannot change" in capsys.readouterr().out
    assert digest(root / "released" / "1") == before


def test_a_new_version_leaves_the_old_ones_alone(root: Path) -> None:
    before = [digest(root / "released" / version) for version in ("1", "2")]
    edit_table(root, '"versions": 2', '"versions": 3')
    edit_table(root, '"Side": {"1": ["Buy", "Sell"]}', '"Side": {"1": ["Buy", "Sell"], "3": ["Short"]}')
    edit_table(
        root,
        '   {"name": "finallyPaired", "type": "int32", "since": 1, "doc": "quantity of this fill already paired off"}',
        '   {"name": "venue", "type": "string", "since": 3, "doc": "where"},\n'
        '   {"name": "finallyPaired", "type": "int32", "since": 1, "doc": "quantity of this fill already paired off"}',
    )
    assert main([], root) == 0
    assert [digest(root / "released" / version) for version in ("1", "2")] == before
    fields = json.loads((root / "released" / "3" / "fill.avsc").read_text("utf-8"))["fields"]
    older = json.loads((root / "released" / "2" / "fill.avsc").read_text("utf-8"))["fields"]
    assert [f["name"] for f in fields] == [*(f["name"] for f in older[:-1]), "venue", "unmapped"]
    side = next(f for f in fields if f["name"] == "action")
    assert side["type"][1]["knownSymbols"] == ["Buy", "Sell", "Short"]
