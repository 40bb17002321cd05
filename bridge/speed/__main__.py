"""`python -m bridge.speed`: build the accelerator in place, for work on the repository."""

from __future__ import annotations

import sys

from bridge.speed.build import NotBuilt, build


def main() -> None:
    """Say on stderr what came of it. It is no failure when there is none: the program is slower, not broken."""
    try:
        told = f"built {build()}"
    except NotBuilt as reason:
        told = f"syncbridge will run without its accelerator: {reason}"
    sys.stderr.write(told + "\n")


if __name__ == "__main__":
    main()
