"""`python -m bridge` is `syncbridge`."""

from bridge.cli import main

main()
