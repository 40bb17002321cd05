"""The composition root: the only room that builds objects which do I/O, and hands them to each other.

`cluster` from settings to Kafka's and the registry's clients, `source` to the broker's, `shards` one shard's objects,
`run` the process. Refuses to decide anything that happens later; that is `shard`'s.
"""
