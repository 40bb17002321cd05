import asyncio
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.source.credentials import Token
from bridge.source.tokenfile import TokenFile

TOKEN = Token(value="eyJ.A", expires_at=5000.5, life_s=4800, skew_s=-3.0, name="n", environment="demo", user_id=15460)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_token_survives_in_a_file_only_its_owner_can_read(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "token.json", lock_s=1)

    await file.write(TOKEN)
    await file.write(replace(TOKEN, value="eyJ.B", user_id=None))

    assert file.read() == replace(TOKEN, value="eyJ.B", user_id=None)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["token.json"]


def test_no_file_is_no_token(tmp_path: Path) -> None:
    assert TokenFile(tmp_path / "token.json", lock_s=1).read() is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"version":1}', b'{"version":2,"value":"x"}', b"\xff"])
def test_a_file_that_is_none_of_ours_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token.json"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"."):
        TokenFile(path, lock_s=1).read()


async def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "token.json").mkdir()

    with pytest.raises(OSError, match=r"."):
        await TokenFile(tmp_path / "token.json", lock_s=1).write(TOKEN)

    assert names(tmp_path) == ["token.json"]


async def test_one_holder_at_a_time(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "token.json", lock_s=30)
    inside = 0

    async def hold() -> None:
        nonlocal inside
        async with file.locked() as mine:
            assert mine
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.01)
            inside -= 1

    await asyncio.gather(*(hold() for _ in range(4)))


async def test_a_lock_kept_for_too_long_is_not_waited_for(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "token.json", lock_s=0.1)

    async with file.locked() as first, file.locked() as second:
        assert first
        assert not second
    async with file.locked() as third:
        assert third
