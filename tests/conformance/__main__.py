"""`python -m tests.conformance [FOLDER]` goes through the checklist at the product's own pace and writes the report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from tests.conformance.checklist import REPORT_FOLDER

TESTS = Path(__file__).parent


def main() -> int:
    """Run the tests; returns pytest's exit status."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "conformance-report").resolve()
    command = [sys.executable, "-m", "pytest", "-q", "-o", "timeout=900", str(TESTS)]
    environment = {**os.environ, REPORT_FOLDER: str(folder)}
    status = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - our own tests
    Console().print(f"{folder}/conformance.md and conformance.json", markup=False, highlight=False)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
