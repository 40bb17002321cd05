"""Scenarios in which a whole bridge, on the embedded Kafka, must lose nothing; the oracle and figures say how it went.

Each module here holds one or more of them, registered with `scenario`. `make oracle` plays all at full size,
`make test` plays those that have a small size scaled down. To add one: write a module with a function like those here.
"""
