"""Asks a Kafka node on this machine whether it is there, and of which cluster it is."""

from __future__ import annotations

import asyncio
import contextlib

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bridge.devkit.node import HOST


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def describe(port: int) -> tuple[str | None, int]:
    """Cluster id and number of brokers as the node behind `port` knows them; None and 0 if it does not answer yet."""
    if not await _listens(port):  # the client would log each refused connection as an error
        return None, 0
    admin = AIOKafkaAdminClient(bootstrap_servers=f"{HOST}:{port}", request_timeout_ms=2000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        return cluster["cluster_id"], len(cluster["brokers"])
    except (KafkaError, OSError, TimeoutError):
        return None, 0
    finally:
        await admin.close()
