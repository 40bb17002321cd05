"""The broker's API: frames, messages and session are pure; socket, tokens and budget do the I/O."""
