"""The bridge of a release that had schema version 1 only: the same program with the schemas of then."""

from __future__ import annotations

from bridge import cli
from bridge.entities import schemas

present = schemas.value_schema


def as_then(name: str, version: int | None = None) -> schemas.Schema:
    """The present version was the first."""
    return present(name, version or 1)


if __name__ == "__main__":
    schemas.value_schema = as_then
    cli.main()
