from __future__ import annotations

import asyncio

import pytest

from bridge.shard.turns import Turns

FOR_EVER_S = 60.0


async def test_who_waits_for_a_turn_goes_after_the_one_before() -> None:
    turns, order = Turns(FOR_EVER_S), []

    async def write(name: str) -> None:
        async with turns.turn(wait=True):
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(write(name))
    assert order == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]


async def test_patience_ends_and_takes_nobodys_turn() -> None:
    turns = Turns(patience_s=0.0)
    async with turns.turn(wait=True):
        async with turns.turn(wait=True):
            pass
        assert turns.taken
    assert not turns.taken


async def test_who_has_plenty_neither_waits_nor_holds_up_others() -> None:
    turns = Turns(FOR_EVER_S)
    async with turns.turn(wait=True), turns.turn(wait=False):
        assert turns.taken
    async with turns.turn(wait=False):
        assert not turns.taken


async def test_a_turn_ends_with_an_error_and_waiting_can_be_cancelled() -> None:
    turns = Turns(FOR_EVER_S)

    async def fail_while_another_waits() -> None:
        async with turns.turn(wait=True):
            waiting = asyncio.create_task(turns.turn(wait=True).__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await fail_while_another_waits()
    assert not turns.taken
