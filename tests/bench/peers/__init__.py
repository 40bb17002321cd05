"""Two straightforward programs for the same task, to measure against: what one would write in an afternoon.

Each follows all shards with the same libraries as the bridge (websockets, orjson, fastavro, aiohttp, aiokafka) and
writes each entity as flat Avro, framed for a schema registry, into the partition of its shard: at least once, without
state and without transactions. After a reconnect the new snapshot is published as upserts. `python -m
tests.bench.peers.awaited` and `...pipelined` read the bridge's own environment and differ in how they send.
"""
