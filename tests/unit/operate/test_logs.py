"""Several processes write to one standard error."""

from __future__ import annotations

import subprocess
import sys

import orjson

PROGRAM = """
import io, os, sys

class Raw(io.FileIO):
    def write(self, data):
        os.write(1, str(len(data)).encode() + b"\\n")
        return super().write(data)

sys.stderr = io.TextIOWrapper(Raw(2, "w"), write_through=True)  # as it is with PYTHONUNBUFFERED

import structlog
from bridge.operate import logs
logs.configure("json", "info", worker=2)
for length in (1, 3000, 20_000):
    structlog.get_logger().info("something", text="x" * length, shard=3)
"""


def test_each_line_is_written_at_once_and_says_whose_it_is() -> None:
    """Else lines of several processes would be torn, in the container image at least, which does not buffer."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)  # noqa: S603 - our own
    lines = ran.stderr.splitlines(keepends=True)
    assert [int(size) for size in ran.stdout.split()] == [len(line) for line in lines]
    found = [orjson.loads(line) for line in lines]
    assert [(x["worker"], x["shard"], len(x["text"])) for x in found] == [(2, 3, n) for n in (1, 3000, 20_000)]
