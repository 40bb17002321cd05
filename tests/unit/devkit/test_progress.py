from __future__ import annotations

import io

from rich.console import Console

from bridge.devkit.progress import Bar, Lines


def test_lines_say_begin_quarters_and_end() -> None:
    out = io.StringIO()
    lines = Lines(out)
    with lines.running("fetching", 8):
        for number in range(8):
            lines.advance(f"file {number}")
    assert out.getvalue().splitlines() == [
        "fetching",
        "2/8 (file 1)",
        "4/8 (file 3)",
        "6/8 (file 5)",
        "fetched and verified",
    ]


def test_bar_reaches_its_end() -> None:
    out = io.StringIO()
    bar = Bar(Console(file=out, force_terminal=True, width=100))
    with bar.running("fetching", 3):
        for _ in range(3):
            bar.advance("file")
    assert "fetching" in out.getvalue()
    assert "3/3" in out.getvalue()
