"""What both programs have in common: the login, the sockets, Avro, and the loop that starts again."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import date, datetime, time
from typing import Any

import aiohttp
import fastavro
import orjson
import uvloop
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from bridge.entities.catalogue import SNAPSHOT_TYPES, type_of_list
from bridge.entities.schemas import key_schema, value_schema

BEAT_S = 2.5
AGAIN_S = 1.0
_READ: dict[str, Callable[[Any], Any]] = {
    "timestamp-millis": datetime.fromisoformat,
    "date": lambda day: date(**day),
    "time-millis": lambda moment: time(**moment),
}
Codec = Callable[[dict[str, Any]], bytes]
Send = Callable[[AIOKafkaProducer, str, int, bytes, bytes | None], Awaitable[None]]
"""Sends one record: producer, topic, partition, key, value."""


def setting(name: str) -> str:
    """A setting of the bridge, from its environment."""
    return os.environ[f"SYNCBRIDGE_{name}"]


class Program:
    """One program: `send` is what makes the difference between the two."""

    def __init__(self, http: aiohttp.ClientSession, producer: AIOKafkaProducer, send: Send) -> None:
        self._http, self._producer, self._send = http, producer, send
        self._codecs: dict[str, tuple[str, Codec, Codec]] = {}
        self._token = ""

    async def run(self) -> None:
        """Log in and follow all shards for ever."""
        login = {"name": setting("SOURCE__NAME"), "password": setting("SOURCE__PASSWORD")}
        async with self._http.post(f"{setting('SOURCE__REST_URL')}/auth/accesstokenrequest", json=login) as answer:
            self._token = (await answer.json(content_type=None))["accessToken"]
        divisor = int(setting("SHARDING__DIVISOR"))
        await asyncio.gather(*(self._follow(shard, divisor) for shard in range(divisor)))

    async def _follow(self, shard: int, divisor: int) -> None:
        sharding = {"expressionType": "modAccountId", "divisor": divisor, "remainder": shard}
        wanted = {"splitResponses": True, "entityTypes": SNAPSHOT_TYPES, "shardingExpression": sharding}
        sync = f"user/syncrequest\n1\n\n{orjson.dumps(wanted).decode()}"
        while True:
            try:
                async with connect(setting("SOURCE__SOCKET_URL"), max_size=None, ping_interval=None) as socket:
                    beating = asyncio.create_task(_beat(socket))
                    try:
                        await self._read(socket, shard, sync)
                    finally:
                        beating.cancel()
            except (OSError, WebSocketException) as problem:
                print(f"shard {shard}: {problem}", file=sys.stderr)
            await asyncio.sleep(AGAIN_S)

    async def _read(self, socket: ClientConnection, shard: int, sync: str) -> None:
        async for frame in socket:
            if frame == "o":
                await socket.send(f"authorize\n0\n\n{self._token}")
            for message in orjson.loads(frame[1:]) if frame[0] == "a" else ():
                if message.get("i") == 0:
                    await socket.send(sync)
                for name, entity, gone in _entities(message):
                    await self._publish(shard, name, entity, gone=gone)

    async def _publish(self, shard: int, name: str, entity: dict[str, Any], *, gone: bool) -> None:
        if name not in self._codecs:
            topic = f"{setting('KAFKA__TOPIC_PREFIX')}.{name}"
            key = await self._codec(f"{topic}-key", key_schema(name))
            self._codecs[name] = topic, key, await self._codec(f"{topic}-value", value_schema(name))
        topic, key, value = self._codecs[name]
        await self._send(self._producer, topic, shard, key(entity), None if gone else value(entity))

    async def _codec(self, subject: str, schema: dict[str, Any]) -> Codec:
        """Register a schema; gives what makes framed Avro of an entity."""
        body = {"schema": json.dumps(schema)}
        async with self._http.post(f"{setting('REGISTRY__URL')}/subjects/{subject}/versions", json=body) as answer:
            head = b"\x00" + (await answer.json(content_type=None))["id"].to_bytes(4, "big")
        parsed = fastavro.parse_schema(schema)
        readers = dict(_readers(schema))

        def encode(entity: dict[str, Any]) -> bytes:
            told = {n: _READ[readers[n]](v) if v is not None and n in readers else v for n, v in entity.items()}
            out = io.BytesIO()
            out.write(head)
            fastavro.schemaless_writer(out, parsed, told)
            return out.getvalue()

        return encode


def _readers(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for field in schema["fields"]:
        for kind in field["type"] if isinstance(field["type"], list) else ():
            if isinstance(kind, dict) and kind.get("logicalType") in _READ:
                yield field["name"], kind["logicalType"]


def _entities(message: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Type, content and whether it has been deleted, of all that a message holds: rows of the snapshot, or an event."""
    if message.get("i") == 1:
        yield from ((type_of_list(name), row, False) for name, rows in message["d"].items() for row in rows or ())
    elif message.get("e") == "props":
        event = message["d"]
        yield event["entityType"], event["entity"], event["eventType"] == "Deleted"


async def _beat(socket: ClientConnection) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        await socket.send("[]")


async def _run(send: Send, **producer: Any) -> None:
    async with (
        aiohttp.ClientSession() as http,
        AIOKafkaProducer(bootstrap_servers=setting("KAFKA__BOOTSTRAP_SERVERS"), acks="all", **producer) as writer,
    ):
        await Program(http, writer, send).run()


def main(send: Send, **producer: Any) -> None:
    """Run until the process is ended; `producer` are arguments of AIOKafkaProducer."""
    uvloop.run(_run(send, **producer))
