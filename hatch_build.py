"""The build back-end's hook: a wheel with the accelerator where a C compiler is found, a pure one elsewhere."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class AcceleratorHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds `bridge/speed`; see there for what it is."""

    _scratch: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build in place for an editable install, else into the wheel. Never fails: the program works without."""
        sys.path.insert(0, self.root)
        try:
            from bridge.speed.build import FILE, NotBuilt, build, tag  # noqa: PLC0415 - the project to be built
        finally:
            sys.path.remove(self.root)
        try:
            if version == "editable":
                build(Path(self.root) / "bridge" / "speed")
                return
            self._scratch = tempfile.TemporaryDirectory()
            build_data["force_include"][str(build(Path(self._scratch.name)))] = f"bridge/speed/{FILE}"
        except NotBuilt as reason:
            self.app.display_warning(f"syncbridge is built without its accelerator: {reason}")
        else:
            build_data["pure_python"], build_data["tag"] = False, tag()

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Clean up."""
        if self._scratch is not None:
            self._scratch.cleanup()
