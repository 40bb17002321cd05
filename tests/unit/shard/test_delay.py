from __future__ import annotations

import asyncio
import time

from bridge.shard.delay import Delay


async def test_a_call_is_made_once_and_later_when_it_is_put_off() -> None:
    made: list[float] = []
    loop, called = asyncio.get_running_loop(), asyncio.Event()

    def call() -> None:
        made.append(loop.time())
        called.set()

    delay = Delay(0.05, call)
    delay.put_off()  # it was not begun
    delay.begin()
    time.sleep(0.04)  # noqa: ASYNC251 - nothing can be called meanwhile
    put_off = loop.time()
    delay.put_off()
    await called.wait()
    assert made[0] >= put_off + 0.049
    delay.put_off()  # it has been made
    await asyncio.sleep(0.07)
    assert len(made) == 1


async def test_a_call_that_is_forgotten_is_not_made() -> None:
    made: list[bool] = []
    delay = Delay(0.01, lambda: made.append(True))
    delay.begin()
    delay.forget()
    delay.put_off()
    await asyncio.sleep(0.03)
    assert not made
