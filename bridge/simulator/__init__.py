"""A fake Tradovate that can also be started by hand. Imports nothing of the rest of the package."""
