"""syncbridge: from a broker's WebSocket stream to Kafka topics, losslessly.

The rooms follow the data: `entities` (what the things are), `source` (the broker's API), `changes` (what happened),
`kafka` (where it goes), `shard` (one shard's life). `app` wires them; `cli` is the command. `simulator` is a fake
broker that shares no code with the rest, so that it can prove the rest wrong.
"""
