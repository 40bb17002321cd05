from __future__ import annotations

import pytest

from bridge.entities.unmapped import Path, name_of, path_of


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("venue",), "venue"),
        (("tradeDate", "hour"), "/tradeDate/hour"),
        (("/tradeDate/hour",), "/~1tradeDate~1hour"),
        (("a~/b", "c~1"), "/a~0~1b/c~01"),
        (("a/b",), "a/b"),
        (("",), ""),
        (("", ""), "//"),
        (("/",), "/~1"),
        (("~0",), "~0"),
    ],
)
def test_a_name_and_its_path_stand_for_each_other(path: Path, name: str) -> None:
    assert name_of(path) == name
    assert path_of(name) == path
