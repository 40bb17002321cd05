"""One shard's life: channel, reader, writer, runner, and the fleet of them. Sees source and kafka through Protocols."""
