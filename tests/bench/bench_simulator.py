"""How fast the simulator sends prepared load, alone on one processor: it must never be the bottleneck of a benchmark.

Run as `python -m tests.bench.bench_simulator`. Plain sockets on the other processor take the bytes and count events.
"""

from __future__ import annotations

import argparse
import base64
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil

MARK = b'"e":"props"'
TYPES = ["order", "fill", "position", "cashBalance", "marginSnapshot"]


def post(url: str, body: Any) -> Any:
    """A JSON request."""
    with urllib.request.urlopen(url, orjson.dumps(body)) as answer:  # noqa: S310 - loopback
        return orjson.loads(answer.read())


def masked(text: str) -> bytes:
    """A client's text message as a WebSocket frame with a mask of zeros."""
    data = text.encode()
    return b"\x81" + bytes((0x80 | 126,)) + len(data).to_bytes(2, "big") + bytes(4) + data


class Reader(threading.Thread):
    """One synced socket that reads as fast as it can.

    Attributes:
        events: how many it has got.
    """

    def __init__(self, ready: dict[str, Any], token: str, remainder: int, divisor: int) -> None:
        super().__init__(daemon=True)
        self.events = 0
        url = urlsplit(ready["socket"])
        self._socket = socket.create_connection((url.hostname, url.port))
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self._socket.sendall(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        sharding = {"expressionType": "modAccountId", "divisor": divisor, "remainder": remainder}
        body = {"splitResponses": True, "entityTypes": TYPES, "shardingExpression": sharding}
        self._socket.sendall(masked(f"authorize\n0\n\n{token}"))
        self._socket.sendall(masked(f"user/syncrequest\n1\n\n{orjson.dumps(body).decode()}"))

    def run(self) -> None:
        """Counts the events in what comes; a mark may lie across two reads."""
        buffer, rest = bytearray(1 << 20), b""
        while size := self._socket.recv_into(buffer):
            data = rest + buffer[:size]
            self.events += data.count(MARK)
            rest = bytes(data[-len(MARK) + 1 :])


def measure(sockets: int, per_frame: int, events: int) -> str:
    """One run: events a second in all, and what one costs."""
    cpus = sorted(psutil.Process().cpu_affinity())
    psutil.Process().cpu_affinity(cpus[1:] or cpus)
    command = [sys.executable, "-m", "bridge.simulator", "--accounts", "200", "--client-timeout-s", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603
        try:
            simulator = psutil.Process(process.pid)
            simulator.cpu_affinity(cpus[:1])
            assert process.stdout is not None
            ready = orjson.loads(process.stdout.readline())
            token = post(f"{ready['rest']}/auth/accesstokenrequest", {"name": "a", "password": "b"})["accessToken"]
            readers = [Reader(ready, token, remainder, sockets) for remainder in range(sockets)]
            for reader in readers:
                reader.start()
            while sum(s["synced"] for s in orjson.loads(_get(ready["control"]))["sockets"]) < sockets:
                pass
            before, seen = sum(simulator.cpu_times()[:2]), sum(r.events for r in readers)
            answer = post(f"{ready['control']}/load", {"events": events // sockets, "per_frame": per_frame})
            cpu = sum(simulator.cpu_times()[:2]) - before
            post(f"{ready['control']}/pause", {})
            while sum(r.events for r in readers) - seen < answer["events"]:
                pass
        finally:
            process.kill()
            psutil.Process().cpu_affinity(cpus)
    rate, cost = answer["events"] / answer["seconds"], cpu / answer["events"] * 1e6
    return f"{sockets} sockets, {per_frame:2} events a frame: {rate:9,.0f} events/s, {cost:.2f} us of CPU an event"


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - loopback
        data: bytes = answer.read()
        return data


def main() -> None:
    """Print one line for each setting."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=2_000_000)
    events = arguments.parse_args().events
    for sockets in (1, 4):
        for per_frame in (10, 1):
            sys.stdout.write(measure(sockets, per_frame, events) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
