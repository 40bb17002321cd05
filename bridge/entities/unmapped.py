"""Names in the map `unmapped`: where a value stood that its schema does not know or cannot hold.

A field of the entity itself is named by its plain name; anything deeper by JSON Pointer (RFC 6901), which begins with
a slash. A field of the entity whose own name begins with a slash is written as a pointer too, so that no name is
ambiguous.
"""

from __future__ import annotations

Path = tuple[str, ...]


def name_of(path: Path) -> str:
    """The name of a path of field names from the entity down."""
    if len(path) == 1 and not path[0].startswith("/"):
        return path[0]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def path_of(name: str) -> Path:
    """The path that a name stands for."""
    if not name.startswith("/"):
        return (name,)
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/"))
