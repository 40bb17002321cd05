"""How the accelerator is built: one call of the C compiler. `python -m bridge.speed` builds it in place.

Standard library only: the build back-end's hook (`hatch_build.py`) uses this before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
FILE: Final = "_native.abi3.so"
"""The extension's name on Linux and macOS, for every CPython from 3.11 on."""
MOST_S: Final = 300
_FLAGS: Final = ("-std=c11", "-O2", "-fPIC", "-fvisibility=hidden", "-Wall")


class NotBuilt(Exception):
    """There will be no extension; the text says why. The program works without it."""


def refused(environ: Mapping[str, str]) -> bool:
    """Whether `SYNCBRIDGE_PURE` asks for Python, when building as when starting."""
    return environ.get("SYNCBRIDGE_PURE", "") not in {"", "0"}


def digest() -> str:
    """What the sources are, so that an extension built from others is noticed."""
    found = hashlib.sha256()
    for path in sorted([*FOLDER.glob("*.c"), *FOLDER.glob("*.h")]):
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def tag() -> str:
    """The wheel tag of an extension built here: the stable interface of 3.11, this platform."""
    system = sysconfig.get_platform().replace("universal2", platform.machine())  # we build for this processor only
    return "cp311-abi3-" + system.replace("-", "_").replace(".", "_")


def command(target: Path) -> list[str]:
    """The call of the compiler: `CC` if it is set, else the one that Python was built with."""
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    sources = sorted(str(path) for path in FOLDER.glob("*.c"))
    link = ("-bundle", "-undefined", "dynamic_lookup") if sys.platform == "darwin" else ("-shared",)
    include = "-I" + sysconfig.get_path("include")
    return [*shlex.split(compiler), *_FLAGS, f'-DSOURCES="{digest()}"', include, *link, *sources, "-o", str(target)]


def build(folder: Path = FOLDER) -> Path:
    """Build the extension into a folder; one that is in use there is replaced, not written over.

    Raises:
        NotBuilt: not wanted, not possible on this platform, no compiler, or it failed.
    """
    if refused(os.environ):
        raise NotBuilt("SYNCBRIDGE_PURE is set")
    if os.name != "posix" or sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise NotBuilt("it is for CPython with its lock, on Linux and macOS")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".build") as scratch:
        fresh = Path(scratch) / FILE
        try:
            done = subprocess.run(  # noqa: S603 - the compiler that the environment names
                command(fresh), capture_output=True, text=True, check=False, timeout=MOST_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotBuilt(f"no C compiler could be run: {error}") from None
        if done.returncode:
            raise NotBuilt(f"the C compiler failed:\n{done.stderr.strip()}")
        return fresh.replace(folder / FILE)
