"""A desk for dead letters over a real state, whose errands are run at once: nothing else is going on."""

from __future__ import annotations

from typing import Any

from bridge.changes.letters import Retrial
from bridge.shard.letters import LetterDesk, Work
from tests.unit.changes.scene import Scene


def retrial_of(scene: Scene, *, max_value_bytes: int = 100_000) -> Retrial:
    return Retrial(scene.state, scene.kinds, scene.reconciler, max_value_bytes)


def letters_of(shard: int, scene: Scene | None = None) -> LetterDesk:
    made = scene or Scene(remainder=shard)

    async def carry_out(work: Work, received_us: int) -> Any:  # noqa: ARG001 - as the runner's
        return work()[1]

    return LetterDesk(retrial_of(made), carry_out)
