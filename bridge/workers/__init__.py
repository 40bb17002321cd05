"""Several processes under one command: the shards are dealt to workers, which start, answer and end as one bridge.

A worker is an ordinary bridge with fewer shards. Here is only what binds it to the others: a link to the supervisor,
one fate, and endpoints that speak for all.
"""
