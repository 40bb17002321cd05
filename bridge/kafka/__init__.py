"""Where it goes: records are pure; topics, producer, restore and registry do the I/O."""
