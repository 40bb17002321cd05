"""Free TCP ports on the loopback interface for servers that must know their port before they start."""

from __future__ import annotations

import random
import socket

# Below the range from which systems take the ports of outgoing connections (32768 on Linux, 49152 elsewhere): a port
# given out by the system ("port 0") could be taken by any client while the server that owns it restarts.
_FIRST, _LAST = 15000, 32000
_TRIES = 1000


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """`count` different ports that nobody listens on now.

    Raises:
        OSError: none could be found.
    """
    found: list[int] = []
    for port in random.sample(range(_FIRST, _LAST), min(_TRIES, _LAST - _FIRST)):
        if len(found) == count:
            break
        if _is_free(host, port):
            found.append(port)
    if len(found) < count:
        raise OSError(f"no free port between {_FIRST} and {_LAST}")
    return found


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: an ended connection does not count
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
