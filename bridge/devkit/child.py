"""Becomes the given program, which then cannot outlive its parent: `python child.py PROGRAM ARGUMENTS...`.

Started with a pipe as standard input whose other end only the parent holds. A forked watcher reads it, sees its end
when the parent ends, however it ends (SIGKILL included), and kills the program. This process itself becomes the
program, so that the pid which the parent knows is the program's own. It imports nothing of the package: it is started
as a plain file.
"""

from __future__ import annotations

import os
import signal
import sys


def _watch(program: int) -> None:
    while os.read(0, 1):
        pass
    if os.getppid() == program:  # still our parent: it lives, and its pid has not gone to somebody else
        os.kill(program, signal.SIGKILL)


def main(command: list[str]) -> None:
    """Fork the watcher, then become `command`."""
    program = os.getpid()
    if os.fork() == 0:
        _watch(program)
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.execv(command[0], command)  # noqa: S606 - that is its purpose


if __name__ == "__main__":
    main(sys.argv[1:])
