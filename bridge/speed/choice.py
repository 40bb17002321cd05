"""Whether this process uses the accelerator."""

from __future__ import annotations

import os
from typing import Final

from bridge.speed.build import FOLDER, digest, refused


def _choose() -> tuple[bool, str]:
    if refused(os.environ):
        return False, "SYNCBRIDGE_PURE is set"
    try:
        from bridge.speed import _native  # noqa: PLC0415 - it may not be there
    except ImportError as missing:
        return False, f"no extension was built: {missing}"
    if (FOLDER / "native.h").exists() and digest() != _native.SOURCES:  # an installed package has no sources
        return False, "the extension was built from other sources; `make venv` builds it anew"
    return True, "compiled"


COMPILED, REASON = _choose()
"""Whether the accelerator is used, and if not, why."""
IMPLEMENTATION: Final = "compiled" if COMPILED else "pure"
"""For the log, `/status` and measurements."""
