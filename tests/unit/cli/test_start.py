"""How much `syncbridge run` loads before it can connect: until then everything that happens is lost history."""

from __future__ import annotations

import subprocess
import sys

FOREIGN = ("bridge.simulator", "bridge.oracle", "bridge.devkit.demo", "bridge.devkit.kafka")


def test_a_start_does_not_load_the_rooms_of_other_verbs() -> None:
    code = "import sys, bridge.cli; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    modules = loaded.stdout.split()
    assert "bridge.app.run" in modules
    assert [name for name in modules if name.startswith(FOREIGN)] == []
