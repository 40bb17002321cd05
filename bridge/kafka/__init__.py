"""Where it goes: framing, records, state log and topic plans are pure; topics, producer, restore and registry do I/O.

Refuses to know sockets, sessions and what changed; it is handed changes and whole transactions.
"""
