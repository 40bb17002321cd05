"""One shard's life: channel, reader, writer, claim, runner; and the fleet of them.

A shard is one socket, one task that writes, one producer, one partition of every topic. Order from socket to partition
is kept because nothing in between runs concurrently for one shard.
"""
