"""Every point of the checklist has a test, and the report says what the tests found."""

from __future__ import annotations

import ast
from pathlib import Path

import orjson

from tests.conformance.checklist import CHECKLIST
from tests.conformance.evidence import Evidence, write
from tests.conformance.tap import Line, Tap

FOLDER = Path(__file__).parent


def test_every_point_has_a_test_and_every_test_a_point() -> None:
    shown: set[str] = set()
    for path in FOLDER.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
                calls = [d for d in node.decorator_list if isinstance(d, ast.Call) and isinstance(d.func, ast.Name)]
                numbers = {a.value for d in calls for a in d.args if isinstance(a, ast.Constant)}
                assert numbers, node.name
                shown |= {str(number) for number in numbers}
    assert shown == set(CHECKLIST)


def test_the_report_fails_a_point_without_evidence_or_with_a_failed_test(tmp_path: Path) -> None:
    good = [Evidence((number,), f"test_of_{number}", passed=True) for number in CHECKLIST]
    assert write(good, tmp_path)["passed"]
    assert not write(good[1:], tmp_path)["passed"]
    made = write([*good, Evidence(("1.1", "1.2"), "test_of_both", did=["It failed"])], tmp_path)
    assert {p["point"] for p in made["points"] if not p["passed"]} == {"1.1", "1.2"}
    assert orjson.loads((tmp_path / "conformance.json").read_bytes()) == orjson.loads(orjson.dumps(made))
    text = (tmp_path / "conformance.md").read_text(encoding="utf-8")
    assert f"**{len(CHECKLIST) - 2} of {len(CHECKLIST)} points passed.**" in text
    assert "| 1.2 | Login | an invalid token is refused with 401 and handled cleanly | **not passed** |" in text
    assert text.count("* It failed") == 1


def test_a_transcript_holds_no_secret_and_is_cut() -> None:
    tap = Tap("http://127.0.0.1:1")
    texts = [
        "authorize\n0\n\nsim.0123456789abcdef",
        'POST /v1/auth/accesstokenrequest {"name": "acme", "password": "hunter2"}',
        "GET /v1/auth/renewaccesstoken Bearer sim.00ff",
        '200 {"accessToken":"sim.00ff","mdAccessToken":"ff00.mis"}',
        "\x00garbage",
        "x" * 1000,
    ]
    tap.lines = [Line(number, "socket 1", True, text) for number, text in enumerate(texts, 5)]
    evidence = Evidence(("1.1",), "test")
    evidence.show(tap, tap.lines)
    assert evidence.transcript[0] == "    0.000 s  socket 1  -> authorize\\n0\\n\\n***"
    assert not [line for line in evidence.transcript for secret in ("sim.", "hunter2", "ff00") if secret in line]
    assert evidence.transcript[-2].endswith("-> \\x00garbage")
    assert evidence.transcript[-1].endswith("... (1000 characters)")
    evidence.show(tap, tap.lines, most=2)
    assert evidence.transcript[-1] == "... and 4 more"
